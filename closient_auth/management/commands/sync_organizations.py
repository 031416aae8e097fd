from argparse import ArgumentParser
from typing import Any
from uuid import UUID

from django.core.management import CommandError
from django.db import router
from django.db.models import ProtectedError, RestrictedError

from closient_auth.management.base import DatabaseCommand, iter_pages, printable
from closient_auth.memberships import get_memberships
from closient_auth.models import ApiKey, Organization
from closient_auth.models.anchors import (
    ANCHOR_ID,
    ANCHOR_NAME,
    delete_orphan,
    find_orphans,
    find_teams,
    get_name,
    make_anchor,
    rename_anchor,
)

# What a dry run says.
WOULD = {"created": "would create", "renamed": "would rename", "deleted": "would delete"}


class Command(DatabaseCommand):
    help = (
        "Give each team of your project its organization (setting MEMBERSHIPS): create the missing ones, correct their "
        "names, and list those that belong to no team. You can interrupt the command and run it again."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--dry-run", action="store_true", help="show what would be done, and change nothing")
        parser.add_argument(
            "--delete-orphans", action="store_true", help="delete the organizations of no team that have no active key"
        )
        with_keys = "with --delete-orphans: delete those with active keys as well"
        parser.add_argument("--with-keys", action="store_true", help=with_keys)

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
            # With a wrong class, the organizations of all customers may look like orphans.
            is_deleted = options["delete_orphans"] and (options["with_keys"] or not live_keys)
            event = self.handle_orphan(organization) if is_deleted else "orphan"
            if event:
                row = _describe(event, None, organization.name, organization.pk)
                rows.append({**row, "live_keys": live_keys})
        if options["json"]:
            self.write_json(rows, is_list=True)
        else:
            self.write((_to_line(row, self.is_dry) for row in rows), is_list=True)
        events = [row["event"] for row in rows]
        if self.is_dry:
            self.note("Nothing was changed (--dry-run).")
        elif "orphan" in events:
            if options["delete_orphans"]:
                self.note("Orphans with active keys were kept. Delete them with --delete-orphans --with-keys.")
            else:
                self.note("The keys of the orphans work. Delete these organizations with --delete-orphans.")
        elif not rows and not options["json"]:
            self.note("Each team has its organization. Nothing was changed.")
        if protected := events.count("protected"):
            noun = "organization was" if protected == 1 else "organizations were"
            raise CommandError(f"{protected} {noun} not deleted, because rows of your project refer to them.")

    def repair(self, team: Any) -> dict[str, Any] | None:
        """Create or rename the organization of a team, unless it is a dry run. Return a description of the change."""
        pk, name = getattr(team, ANCHOR_ID), get_name(team)
        if pk is None:
            if self.is_dry:
                return _describe("created", team, name, None)
            # Another process may have been quicker.
            organization = make_anchor(team, self.using)
            return None if organization is None else _describe("created", team, name, organization.pk)
        if getattr(team, ANCHOR_NAME) == name or not (self.is_dry or rename_anchor(pk, name, self.using)):
            return None
        return _describe("renamed", team, name, pk)

    def handle_orphan(self, organization: Organization) -> str:
        """Delete an organization, unless it is a dry run. Return what happened; nothing if another process was quicker."""
        if self.is_dry:
            return "deleted"
        try:
            return "deleted" if delete_orphan(organization.pk, self.using) else ""
        except (ProtectedError, RestrictedError):
            return "protected"


def _describe(event: str, team: Any, name: str, organization_id: UUID | None) -> dict[str, Any]:
    return {
        "event": event,
        "team": None if team is None else str(team.pk),
        "organization": None if organization_id is None else str(organization_id),
        "name": name,
    }


def _to_line(row: dict[str, Any], is_dry: bool) -> str:
    team = "no team" if row["team"] is None else f"team {row['team']}"
    live_keys = f"  {row['live_keys']} active keys" if "live_keys" in row else ""
    event = WOULD.get(row["event"], row["event"]) if is_dry else row["event"]
    return printable(f"{event}  {row['organization'] or '-'}  {team}  {row['name']}{live_keys}")
