from typing import Any

from django.core.management import CommandError
from django.db.models import Prefetch

from closient_auth.management.base import DatabaseCommand, iter_pages
from closient_auth.memberships import get_memberships
from closient_auth.models import Membership, Organization
from closient_auth.models.people import has_active_user, with_users
from closient_auth.roles import Role


class Command(DatabaseCommand):
    help = (
        "List the organizations without an active Owner, and exit with 1 if there are any. An organization can lose "
        "its last Owner if your project deactivates users or bypasses the models."
    )

    def handle(self, *args: object, **options: Any) -> None:
        if not get_memberships().uses_roles:
            raise CommandError(
                "Your project has members of its own (CLOSIENT_AUTH['MEMBERSHIPS']), and so its own rule."
            )
        owners = with_users(Membership.objects.filter(role=Role.OWNER))
        organizations = Organization.objects.prefetch_related(Prefetch("memberships", owners, to_attr="owners"))
        # Check in Python, as a custom user model may compute ``is_active``. Find all before writing, so that a reader
        # who closes the pipe does not change the exit status.
        ownerless = [
            {"id": str(organization.pk), "slug": organization.slug, "name": organization.name}
            for organization in iter_pages(organizations)
            if not any(has_active_user(owner) for owner in organization.owners)
        ]
        if options["json"]:
            self.write_json(ownerless, is_list=True)
        else:
            self.write((f"{row['id']} {row['slug']}" for row in ownerless), is_list=True)
        if ownerless:
            noun = "organization has" if len(ownerless) == 1 else "organizations have"
            raise CommandError(f"{len(ownerless)} {noun} no active Owner. In the admin, make an active user the Owner.")
