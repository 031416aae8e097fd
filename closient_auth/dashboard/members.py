from django.utils.translation import gettext_lazy as _

from closient_auth.dashboard.frame import OrganizationPage
from closient_auth.roles import Permission


class MembersPage(OrganizationPage):
    title = _("Members")
    template_name = "closient_auth/dashboard/page.html"
    tab = "members"
    permission = Permission.VIEW_ORGANIZATION
