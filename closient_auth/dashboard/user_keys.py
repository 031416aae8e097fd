"""The members' user keys that can act in an organization."""

from typing import Any, ClassVar

from django import forms
from django.db import router
from django.http.response import HttpResponseBase
from django.utils.translation import gettext_lazy as _

from closient_auth.dashboard.frame import FormPage, OrganizationPage
from closient_auth.memberships import get_memberships
from closient_auth.models import ApiKey
from closient_auth.models.api_keys import ApiKeyQuerySet
from closient_auth.roles import Permission

REFUSE, ACCEPT = "refuse", "accept"


class AccessForm(forms.Form):
    """Two buttons."""

    access = forms.ChoiceField(choices=[(REFUSE, REFUSE), (ACCEPT, ACCEPT)])


class UserKeysPage(FormPage, OrganizationPage):
    """The list of the keys, and the switch for all of them."""

    title = _("User keys of members")
    template_name = "closient_auth/dashboard/user_keys.html"
    tab = "keys"
    permission = Permission.MANAGE_API_KEYS
    kind: ClassVar[str] = "organization"
    form_class = AccessForm

    def get_keys(self) -> ApiKeyQuerySet:
        keys = ApiKey.objects.using(router.db_for_write(ApiKey)).able_in(self.organization)
        return keys.select_related("user").order_by("-created_at", "pk")

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        rows = self.paginate(self.get_keys())
        rows.object_list = [
            {
                "api_key": api_key,
                "is_shut_out": api_key.is_shut_out_of(self.organization),
                "url": self.get_url("user-key-access", pk=str(api_key.pk)),
            }
            for api_key in rows
        ]
        context = {"rows": rows, "lists_users": get_memberships().lists_users}
        urls = {"keys": self.get_url("keys"), "user_keys": self.get_url("user-keys")}
        return super().get_context_data(**context, urls=urls, **kwargs)

    def save(self, form: Any) -> HttpResponseBase:
        is_refused = form.cleaned_data["access"] == REFUSE
        self.organization.allow_user_keys(not is_refused, by=self.actor)
        refused, accepted = _("User keys are refused here from now on."), _("User keys of members work here again.")
        return self.redirect("user-keys", refused if is_refused else accepted)


class UserKeyAccess(UserKeysPage):
    """The button that shuts one key out, or lets it in."""

    http_method_names = ["post"]
    kind = "api_key"

    def save(self, form: Any) -> HttpResponseBase:
        api_key = self.find(self.get_keys(), self.kwargs["pk"])
        if form.cleaned_data["access"] == REFUSE:
            api_key.shut_out(self.organization, by=self.actor)
            return self.redirect("user-keys", _("The key is shut out. It works elsewhere as before."))
        api_key.let_in(self.organization, by=self.actor)
        return self.redirect("user-keys", _("The key is let in again."))
