from django.utils.translation import gettext_lazy as _

from closient_auth.dashboard.frame import OrganizationPage
from closient_auth.roles import Permission


class AuditPage(OrganizationPage):
    title = _("Audit log")
    template_name = "closient_auth/dashboard/page.html"
    tab = "audit"
    permission = Permission.MANAGE_MEMBERS
