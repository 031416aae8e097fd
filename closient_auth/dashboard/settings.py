"""The settings of an organization, and what ends a membership or the organization itself."""

from collections import Counter
from copy import copy
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import router
from django.db.models import ProtectedError, RestrictedError
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext_lazy
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables

from closient_auth.conf import conf
from closient_auth.dashboard.frame import FormPage, OrganizationPage, SlugField, get_name, require_attempt
from closient_auth.limits.windows import Window
from closient_auth.memberships import get_memberships
from closient_auth.models import ApiKey, Membership, Organization
from closient_auth.models.people import get_full_name, get_person_name, has_inactive_user
from closient_auth.roles import Permission, Role

# How often a person may try their password. Whoever finds an open browser must not guess it here.
PASSWORD_WINDOWS = (Window(5, 60), Window(20, 86_400))


class RenameForm(forms.Form):
    name = forms.CharField(
        label=gettext_lazy("Name"),
        max_length=255,
        help_text=gettext_lazy("Members and invited people see this name."),
    )
    slug = SlugField(note=gettext_lazy("Programs that use the slug stop working when you change it."))


class SettingsPage(FormPage, OrganizationPage):
    title = gettext_lazy("Settings")
    template_name = "closient_auth/dashboard/settings.html"
    tab = "settings"
    permission = Permission.VIEW_ORGANIZATION
    kind = "organization"
    form_class = RenameForm

    @property
    def may_rename(self) -> bool:
        # A project with members of its own names its organizations itself.
        return get_memberships().uses_roles and self.allows(Permission.DELETE_ORGANIZATION)

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not get_memberships().uses_roles:
            raise Http404
        self.require(Permission.DELETE_ORGANIZATION)
        return super().post(request, *args, **kwargs)

    def get_initial(self) -> dict[str, Any]:
        return {"name": self.organization.name, "slug": self.organization.slug}

    def save(self, form: RenameForm) -> HttpResponseBase:
        values = form.cleaned_data
        # If this fails, the frame still needs the old slug.
        organization = copy(self.organization)
        organization.rename(name=values["name"], slug=values["slug"], by=self.actor)
        return self.redirect("settings", _("The settings are saved."), organization=get_name(organization))

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        uses_roles, role = get_memberships().uses_roles, self.role
        actions = {
            "user_keys_allowed": self.allows(Permission.MANAGE_API_KEYS),
            "leave": uses_roles and role is not None,
            "transfer": uses_roles and role == Role.OWNER,
            "delete": self.may_rename,
        }
        return super().get_context_data(
            may_rename=self.may_rename,
            slug=get_memberships().get_slug(self.organization),
            urls={name.replace("-", "_"): self.get_url(name) for name in DANGERS},
            actions=actions,
            is_dangerous_here=any(actions[name] for name in ("leave", "transfer", "delete")),
            header=conf.HEADER,
            limits=_get_limits(),
            **kwargs,
        )


DANGERS = ("user-keys-allowed", "leave", "transfer", "delete")


def _get_limits() -> list[tuple[str, int, str]]:
    """Return the labels and the values of the limits that hold for keys, and what 0 means."""
    unlimited, no_maximum = _("unlimited"), _("no maximum")
    return [
        (_("Requests per minute"), conf.RATE_LIMIT_PER_MINUTE, unlimited),
        (_("Requests per day"), conf.RATE_LIMIT_PER_DAY, unlimited),
        (_("Publishable keys, per minute"), conf.PUBLISHABLE_RATE_LIMIT_PER_MINUTE, unlimited),
        (_("Highest limit per minute"), conf.MAX_RATE_LIMIT_PER_MINUTE, no_maximum),
        (_("Highest limit per day"), conf.MAX_RATE_LIMIT_PER_DAY, no_maximum),
        (_("Active keys at a time"), conf.MAX_ACTIVE_KEYS, no_maximum),
        (_("Days until a new key expires"), conf.KEY_LIFETIME_DAYS, _("no expiry")),
        (_("Longest lifetime in days"), conf.MAX_KEY_LIFETIME_DAYS, no_maximum),
    ]


class DangerPage(FormPage, OrganizationPage):
    """A page that asks for a confirmation, below the settings."""

    tab = "settings"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(
            settings_url=self.get_url("settings"), cancel_url=self.get_url("settings"), **kwargs
        )


class UserKeysForm(forms.Form):
    # What the page asked, as somebody may have changed it in the meantime.
    allowed = forms.TypedChoiceField(
        choices=[("yes", "yes"), ("no", "no")], coerce=lambda text: text == "yes", widget=forms.HiddenInput
    )


class UserKeysAllowed(DangerPage):
    template_name = "closient_auth/dashboard/user_keys_allowed.html"
    permission = Permission.MANAGE_API_KEYS
    kind = "organization"
    form_class = UserKeysForm

    def get_initial(self) -> dict[str, Any]:
        return {"allowed": "no" if self.organization.user_keys_allowed else "yes"}

    def save(self, form: UserKeysForm) -> HttpResponseBase:
        allowed = form.cleaned_data["allowed"]
        self.organization.allow_user_keys(allowed, by=self.actor)
        text = _("Members can use their user keys here.") if allowed else _("User keys are refused here from now on.")
        return self.redirect("settings", text)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        allowed = self.organization.user_keys_allowed
        return super().get_context_data(
            title=_("Refuse user keys") if allowed else _("Allow user keys"),
            number=ApiKey.objects.able_in(self.organization).count() if allowed else 0,
            button=_("Refuse user keys") if allowed else _("Allow user keys"),
            is_dangerous=allowed,
            **kwargs,
        )


class OwnMembershipPage(DangerPage):
    """A page about the membership of the user, for members alone."""

    needs_roles = True

    def enter(self) -> None:
        super().enter()
        # A superuser who is no member gets the 404 of ``DoesNotExist``.
        rows = Membership.objects.using(router.db_for_write(Membership)).select_related("organization", "user")
        self.membership = rows.get(organization=self.organization, user=self.request.user.pk)


class TransferForm(forms.Form):
    member = forms.ModelChoiceField(
        label=gettext_lazy("New Owner"), queryset=Membership.objects.none(), empty_label=gettext_lazy("Choose a member")
    )
    role = forms.ChoiceField(
        label=gettext_lazy("Your own role afterwards"),
        choices=[(role.value, role.label) for role in Role if role != Role.OWNER],
        initial=Role.MANAGER.value,
        widget=forms.RadioSelect,
    )

    def __init__(self, *args: Any, own: Membership, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        rows = Membership.objects.using(own._state.db).filter(organization=own.organization_id).exclude(pk=own.pk)
        rows = rows.exclude(has_inactive_user(rows)).select_related("user").order_by("created_at", "pk")
        field: Any = self.fields["member"]
        field.queryset = rows
        field.label_from_instance = _describe_member


def _describe_member(membership: Membership) -> str:
    name, username = get_full_name(membership.user), membership.user.get_username()
    return f"{f'{name} ({username})' if name else username}, {membership.get_role_display()}"


class TransferPage(OwnMembershipPage):
    title = gettext_lazy("Hand over the ownership")
    template_name = "closient_auth/dashboard/transfer.html"
    permission = Permission.DELETE_ORGANIZATION
    kind = "member"
    form_class = TransferForm
    button = gettext_lazy("Hand over the ownership")
    is_dangerous = True

    def enter(self) -> None:
        super().enter()
        if self.membership.role != Role.OWNER:
            raise PermissionDenied(_("Only an Owner can hand over the ownership."))

    def get_form_kwargs(self) -> dict[str, Any]:
        return {**super().get_form_kwargs(), "own": self.membership}

    def save(self, form: TransferForm) -> HttpResponseBase:
        to, role = form.cleaned_data["member"].user, Role(form.cleaned_data["role"])
        live_keys = list(self.organization.transfer_ownership(to, by=self.actor, role=role))
        if live_keys:
            names = ", ".join(map(str, live_keys))
            messages.warning(self.request, _("These keys that you created go on working: %s.") % names)
        text = _("%(name)s is an Owner now, and your role is %(role)s.")
        return self.redirect("settings", text % {"name": get_person_name(to), "role": role.label})


class DeleteForm(forms.Form):
    name = forms.CharField(max_length=255, widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}))
    password = forms.CharField(
        label=gettext_lazy("Your password"),
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )

    def __init__(self, *args: Any, organization: Organization, user: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.wanted, self.user = get_name(organization), user
        self.fields["name"].label = _("Type “%s” to confirm") % self.wanted
        # People who sign in elsewhere have none here.
        if not (conf.DASHBOARD_CONFIRM_PASSWORD and user.has_usable_password()):
            del self.fields["password"]

    def clean_name(self) -> str:
        if self.cleaned_data["name"] != self.wanted:
            raise ValidationError(_("This is not “%s”.") % self.wanted, code="other_name")
        return self.wanted

    @sensitive_variables()
    def clean_password(self) -> str:
        # Count before the comparison: requests at the same moment could all be the last one.
        text = ngettext_lazy(
            "Too many attempts. Try again in %d second.", "Too many attempts. Try again in %d seconds."
        )
        require_attempt(f"password:{self.user.pk}", PASSWORD_WINDOWS, text)
        if not self.user.check_password(self.cleaned_data["password"]):
            raise ValidationError(_("This is not your password."), code="wrong_password")
        # Nobody needs it any more, and an error report would show it.
        return ""


@method_decorator(sensitive_post_parameters("password"), name="dispatch")
class DeletePage(DangerPage):
    title = gettext_lazy("Delete the organization")
    template_name = "closient_auth/dashboard/delete.html"
    permission = Permission.DELETE_ORGANIZATION
    needs_roles = True
    form_class = DeleteForm
    button = gettext_lazy("Delete the organization")
    is_dangerous = True
    # What refused to go, and how many of it.
    in_the_way: tuple[tuple[str, int], ...] = ()

    def get_form_kwargs(self) -> dict[str, Any]:
        return {**super().get_form_kwargs(), "organization": self.organization, "user": self.request.user}

    def save(self, form: DeleteForm) -> HttpResponseBase:
        name = self.organization.name
        try:
            self.organization.delete(by=self.actor)
        except (ProtectedError, RestrictedError) as error:
            self.in_the_way = _count_rows(error)
            raise
        return self.redirect("home", _("%s is deleted.") % name, organization=None)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        organization = self.organization
        return super().get_context_data(
            keys=organization.api_keys.active().count(),
            user_keys=organization.restricted_user_keys.active().count(),
            members=organization.memberships.count(),
            invitations=organization.invitations.in_state("pending").count(),
            in_the_way=self.in_the_way,
            **kwargs,
        )


def _count_rows(error: ProtectedError | RestrictedError) -> tuple[tuple[str, int], ...]:
    """Return the names of the models in the way, and the number of rows. The rows themselves may be nobody's business."""
    rows: Any = error.protected_objects if isinstance(error, ProtectedError) else error.restricted_objects
    return tuple(sorted(Counter(str(row._meta.verbose_name_plural) for row in rows).items()))
