from django.utils.translation import gettext_lazy as _

from closient_auth.dashboard.frame import OrganizationPage
from closient_auth.roles import Permission


class InvitationsPage(OrganizationPage):
    title = _("Invitations")
    template_name = "closient_auth/dashboard/page.html"
    tab = "invitations"
    permission = Permission.MANAGE_MEMBERS
