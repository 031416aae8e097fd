from __future__ import annotations

from django.core.management import CommandError
from django.db.models import Prefetch

from closient_auth.management.base import DatabaseCommand
from closient_auth.management.pages import iter_pages
from closient_auth.models import Membership, Organization
from closient_auth.roles import Role


class Command(DatabaseCommand):
    help = (
        "List organizations without an active Owner, and exit with 1 if there is one. This package never makes any, but "
        "a project does that deactivates users or writes past the models."
    )

    def handle(self, *args: object, **options: object) -> None:
        owners = Membership.objects.filter(role=Role.OWNER).select_related("user")
        organizations = Organization.objects.prefetch_related(Prefetch("memberships", owners, to_attr="owners"))
        count = 0
        for organization in iter_pages(organizations):
            # In Python, as the rule itself: a custom user model may compute ``is_active``.
            if not any(owner.user.is_active for owner in organization.owners):  # type: ignore[attr-defined]
                self.stdout.write(f"{organization.pk} {organization.slug}")
                count += 1
        if count:
            noun = "organization has" if count == 1 else "organizations have"
            raise CommandError(
                f"{count} {noun} no active Owner: in the admin, give the role to an active member, or add one as Owner."
            )
