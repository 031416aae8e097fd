"""Pages of a person that belong to no organization: the list of organizations, a new one, and signing out."""

from typing import Any

from django import forms
from django.conf import settings
from django.contrib.auth import logout
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import resolve_url
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from closient_auth.dashboard.frame import FormPage, OrganizationPage, Page, SlugField, get_name
from closient_auth.dashboard.join import CodeForm, get_token, set_token
from closient_auth.memberships import get_memberships
from closient_auth.models import Invitation, Organization
from closient_auth.models.organizations import may_create_organizations
from closient_auth.models.people import get_person_name


class HomePage(Page):
    title = _("Organizations")
    template_name = "closient_auth/dashboard/home.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        user: Any = self.request.user
        # A project with members of its own has invitations of its own.
        uses_roles = get_memberships().uses_roles
        invitations = Invitation.objects.for_user(user) if uses_roles else []
        return super().get_context_data(
            invitations=[
                {
                    "invitation": invitation,
                    "inviter": get_person_name(invitation.invited_by),
                    "is_verified": invitation.is_verified_for(user),
                }
                for invitation in invitations
            ],
            may_create=uses_roles and may_create_organizations(user),
            code_form=CodeForm() if uses_roles else None,
            **kwargs,
        )


class OrganizationForm(forms.Form):
    name = forms.CharField(label=_("Name"), max_length=255)
    slug = SlugField(required=False, note=_("Leave it empty to have one made from the name."))


class NewOrganizationPage(FormPage, Page):
    title = _("Create an organization")
    button = _("Create the organization")
    needs_roles = True
    kind = "organization"
    form_class = OrganizationForm

    def enter(self) -> None:
        super().enter()
        if not may_create_organizations(self.request.user):
            raise PermissionDenied(gettext("You may not create organizations."))

    def save(self, form: OrganizationForm) -> HttpResponseBase:
        data = form.cleaned_data
        user: Any = self.request.user
        organization = Organization.objects.create_organization(
            name=data["name"], slug=data["slug"] or None, owner=user, by=self.actor
        )
        text = gettext("%s is ready. You are its Owner.") % organization.name
        return self.redirect("organization", text, organization=get_name(organization))

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(cancel_url=self.get_url("home"), **kwargs)


class OrganizationHome(OrganizationPage):
    """The first page of an organization that the role of the user opens."""

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        tabs = self.get_frame()["tabs"]
        # A host's members may have no permission at all.
        return HttpResponseRedirect(tabs[0]["url"] if tabs else self.get_url("home", organization=None))


class SignOut(Page):
    http_method_names = ["post"]

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        # The name of a page, and no address: nobody can send the person to another site.
        keeps_invitation = request.POST.get("then") == "invitation"
        token = get_token(request) if keeps_invitation else ""
        logout(request)
        if token:
            # ``logout()`` has emptied the session. The person has just shown this invitation to be in the same browser.
            set_token(request, token)
            return redirect_to_login(self.get_url("invitation"))
        return HttpResponseRedirect(resolve_url(settings.LOGOUT_REDIRECT_URL or settings.LOGIN_URL))
