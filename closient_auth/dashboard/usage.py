from django.utils.translation import gettext_lazy as _

from closient_auth.dashboard.frame import OrganizationPage
from closient_auth.roles import Permission


class UsagePage(OrganizationPage):
    title = _("Usage")
    template_name = "closient_auth/dashboard/page.html"
    tab = "usage"
    permission = Permission.MANAGE_API_KEYS
