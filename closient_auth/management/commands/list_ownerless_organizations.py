from django.core.management import CommandError
from django.db.models import Prefetch

from closient_auth.management.base import DatabaseCommand, iter_pages
from closient_auth.models import Membership, Organization
from closient_auth.roles import Role


class Command(DatabaseCommand):
    help = (
        "List the organizations without an active Owner, and exit with 1 if there are any. An organization can lose "
        "its last Owner if your project deactivates users or bypasses the models."
    )

    def handle(self, *args: object, **options: object) -> None:
        owners = Membership.objects.filter(role=Role.OWNER).select_related("user")
        organizations = Organization.objects.prefetch_related(Prefetch("memberships", owners, to_attr="owners"))
        count = 0
        for organization in iter_pages(organizations):
            # Check in Python, as a custom user model may compute ``is_active``.
            if not any(owner.user.is_active for owner in organization.owners):
                self.stdout.write(f"{organization.pk} {organization.slug}")
                count += 1
        if count:
            noun = "organization has" if count == 1 else "organizations have"
            raise CommandError(f"{count} {noun} no active Owner. In the admin, make an active user the Owner.")
