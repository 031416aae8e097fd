"""Pages of a person that belong to no organization: the list of organizations, a new one, and signing out."""

from typing import Any

from django.conf import settings
from django.contrib.auth import logout
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import resolve_url
from django.utils.translation import gettext_lazy as _

from closient_auth.dashboard.frame import OrganizationPage, Page


class HomePage(Page):
    title = _("Organizations")
    template_name = "closient_auth/dashboard/home.html"


class OrganizationHome(OrganizationPage):
    """The first page of an organization that the role of the user opens."""

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        tabs = self.get_frame()["tabs"]
        # A host's members may have no permission at all.
        return HttpResponseRedirect(tabs[0]["url"] if tabs else self.get_url("home", organization=None))


class SignOut(Page):
    http_method_names = ["post"]

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        logout(request)
        return HttpResponseRedirect(resolve_url(settings.LOGOUT_REDIRECT_URL or settings.LOGIN_URL))
