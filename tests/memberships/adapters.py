"""The classes that these projects name in ``CLOSIENT_AUTH["MEMBERSHIPS"]``."""

from __future__ import annotations

from django.contrib.auth import get_user_model

from closient_auth.memberships import Memberships
from closient_auth.models import Organization
from closient_auth.models.memberships import RoleMemberships
from closient_auth.roles import Permission
from tests.memberships.models import Team, TeamRole

PERMISSIONS = {
    "lead": [
        "organization.view_organization",
        "organization.contribute_organization",
        "organization.manage_api_keys",
        "organization.manage_members",
    ],
    "clerk": ["organization.view_organization", "orders.refund"],
    "guest": [],
}


class TeamMemberships(Memberships):
    # Another model of these tests is linked to an organization as well.
    model = "tests.Team"
    permissions = ["orders.refund", "organization.view_organization"]

    def get_organizations(self, user):
        return Organization.objects.filter(team__roles__user=user)

    def get_permissions(self, user, organization):
        roles = TeamRole.objects.filter(team__organization=organization, user=user).values_list("name", flat=True)
        return {permission for role in roles for permission in PERMISSIONS[role]}

    def named(self, organizations, name):
        return organizations.filter(team__code=name)


class CompanyMemberships(Memberships):
    model = "tests.Company"

    def get_organizations(self, user):
        return Organization.objects.filter(pk__in=user.employments.exclude(joined_at=None).values("company"))

    def get_permissions(self, user, organization):
        return ["organization.view_organization", "organization.manage_api_keys"]

    def get_users(self, organization):
        return get_user_model().objects.filter(
            employments__company=organization.pk, employments__joined_at__isnull=False
        )


class NamedRoles(RoleMemberships):
    """Our own members, with other names in URLs."""

    def named(self, organizations, name):
        return organizations.filter(name__iexact=name)


class CalledTeams(TeamMemberships):
    """The name of a team is whatever this attribute is."""

    name: object = None

    def get_name(self, obj):
        return self.name


class UnknownTeams(TeamMemberships):
    def get_model(self):
        return None


class MisspelledTeams(TeamMemberships):
    model = "tests.Teem"


class ListedTeams(TeamMemberships):
    def get_users(self, organization):
        return get_user_model().objects.filter(team_roles__team__organization=organization.pk)


class OpenTeams(TeamMemberships):
    """A mistake: all users are listed as members."""

    def get_users(self, organization):
        return get_user_model().objects.all()


class TextMemberships(TeamMemberships):
    """A mistake: a string instead of a list."""

    def get_permissions(self, user, organization):
        return "organization.view_organization"


class SilentMemberships(TeamMemberships):
    """A mistake: no ``return``."""

    def get_permissions(self, user, organization):
        pass


class AllMemberships(TeamMemberships):
    """Each member has all permissions."""

    def get_permissions(self, user, organization):
        return [*Permission, "orders.refund"]


class KeyMemberships(TeamMemberships):
    """Each member manages keys, and may not view."""

    def get_permissions(self, user, organization):
        return [Permission.MANAGE_API_KEYS]


class SluggedMemberships(TeamMemberships):
    """The teams have no names of their own in URLs."""

    named = Memberships.named


class HandleMemberships(TeamMemberships):
    """Clients see the names that URLs use."""

    def get_slug(self, organization):
        return organization.team.code


class AnchoredTeams(TeamMemberships):
    """As documented: the organization behind a row of the project."""

    def get_anchor(self, obj):
        return obj.organization if isinstance(obj, Team) else None


class TrustingTeams(TeamMemberships):
    """A mistake: each row is taken for a team."""

    def get_anchor(self, obj):
        return obj.organization


class UnionTeams(TeamMemberships):
    """The members are a union, which has no ``distinct()``."""

    def get_users(self, organization):
        users = get_user_model().objects.filter(team_roles__team__organization=organization.pk)
        return users.filter(team_roles__name="lead").union(users.exclude(team_roles__name="lead"))


class TimedTeams(TeamMemberships):
    """The names in URLs are times, such as 2030-01-01."""

    def named(self, organizations, name):
        return organizations.filter(created_at=name)


class NumberedTeams(TeamMemberships):
    """The names in URLs are the primary keys of teams."""

    def named(self, organizations, name):
        return organizations.filter(team=name)


class CarelessTeams(TeamMemberships):
    """A mistake: the organizations to choose from are forgotten."""

    def named(self, organizations, name):
        return Organization.objects.filter(team__code=name)
