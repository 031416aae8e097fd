from django.utils.translation import gettext_lazy as _

from closient_auth.dashboard.frame import Page


class OwnKeysPage(Page):
    title = _("My keys")
    template_name = "closient_auth/dashboard/page.html"
