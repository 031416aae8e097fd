from argparse import ArgumentParser
from typing import Any

from django.core.management import CommandError
from django.db import router

from closient_auth.management.base import DatabaseCommand, iter_pages, printable
from closient_auth.memberships import get_memberships
from closient_auth.models import ApiKey, Organization
from closient_auth.models.anchors import (
    ANCHOR_ID,
    ANCHOR_NAME,
    find_orphans,
    find_teams,
    get_name,
    make_anchor,
    rename_anchor,
)


class Command(DatabaseCommand):
    help = (
        "Give each team of your project its organization (setting MEMBERSHIPS): create the missing ones, correct their "
        "names, and list those that belong to no team. You can interrupt the command and run it again."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--dry-run", action="store_true", help="show what would be done, and change nothing")
        parser.add_argument(
            "--delete-orphans", action="store_true", help="delete the organizations of no team, with their keys"
        )

    def handle(self, *args: object, **options: Any) -> None:
        if get_memberships().uses_roles:
            raise CommandError("CLOSIENT_AUTH['MEMBERSHIPS'] is not set, so there are no teams to synchronize.")
        # The organizations and the teams refer to each other, so they are in one database.
        self.using, self.is_dry = router.db_for_write(Organization), bool(options["dry_run"])
        orphans = find_orphans(self.using)
        if options["delete_orphans"] and orphans.count() == Organization.objects.using(self.using).count() > 0:
            raise CommandError("No organization belongs to a team. Is CLOSIENT_AUTH['MEMBERSHIPS'] the right class?")
        rows = [row for team in iter_pages(find_teams(self.using)) if (row := self.repair(team))]
        for organization in iter_pages(orphans):
            live_keys = ApiKey.objects.using(self.using).active().filter(organization=organization).count()
            row = _describe("deleted" if options["delete_orphans"] else "orphan", None, organization.name, organization)
            rows.append({**row, "live_keys": live_keys})
            if options["delete_orphans"] and not self.is_dry:
                organization.delete(using=self.using)
        if options["json"]:
            self.write_json(rows, is_list=True)
        else:
            self.write(map(_to_line, rows), is_list=True)
        if self.is_dry:
            self.note("Nothing was changed (--dry-run).")
        elif any(row["event"] == "orphan" for row in rows):
            self.note("The keys of the orphans work. Delete these organizations with --delete-orphans.")

    def repair(self, team: Any) -> dict[str, Any] | None:
        """Create or rename the organization of a team, unless it is a dry run. Return a description of the change."""
        pk, name = getattr(team, ANCHOR_ID), get_name(team)
        if pk is None:
            organization = None if self.is_dry else make_anchor(team, self.using)
            # Another process may have been quicker.
            return _describe("created", team, name, organization) if self.is_dry or organization else None
        if getattr(team, ANCHOR_NAME) == name:
            return None
        organization = Organization.objects.using(self.using).get(pk=pk)
        if not self.is_dry:
            rename_anchor(organization, name, self.using)
        return _describe("renamed", team, name, organization)


def _describe(event: str, team: Any, name: str, organization: Organization | None) -> dict[str, Any]:
    return {
        "event": event,
        "team": None if team is None else str(team.pk),
        "organization": None if organization is None else str(organization.pk),
        "name": name,
    }


def _to_line(row: dict[str, Any]) -> str:
    team = "no team" if row["team"] is None else f"team {row['team']}"
    live_keys = f"  {row['live_keys']} active keys" if "live_keys" in row else ""
    return printable(f"{row['event']}  {row['organization'] or '-'}  {team}  {row['name']}{live_keys}")
