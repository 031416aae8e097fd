"""Accept or decline an invitation.

The link in the mail contains the token. ``JoinLink`` moves it into the session at once and redirects to an address without
it: the address of a page ends up in the browser's history, in ``Referer`` and in screenshots. The session keeps the token
until the invitation is answered or turns out to be invalid. ``login()`` keeps the session of somebody who was not signed in;
``SignOut`` takes the token into the next session.
"""

import re
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import ValidationError
from django.db import router
from django.http import Http404, HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.utils.crypto import constant_time_compare, salted_hmac
from django.utils.decorators import method_decorator
from django.utils.functional import cached_property
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables

from closient_auth.dashboard.frame import FormPage, Page, get_name
from closient_auth.models import Invitation, Membership
from closient_auth.models.addresses import mask_address
from closient_auth.models.invitations import INVALID, TOKEN_LENGTH, InvitationState, hash_token
from closient_auth.models.people import get_person_name

# The key of the token in the session.
SESSION_KEY = "_closient_auth_invitation"
TOKEN = re.compile(rf"(?<![A-Za-z0-9])[A-Za-z0-9]{{{TOKEN_LENGTH}}}(?![A-Za-z0-9])")


@sensitive_variables()
def get_token(request: HttpRequest) -> str:
    """Return the token of the invitation that the person is looking at, or an empty text."""
    return str(request.session.get(SESSION_KEY, ""))


@sensitive_variables()
def set_token(request: HttpRequest, token: str) -> None:
    """Keep the token in the session."""
    request.session[SESSION_KEY] = token


def forget_token(request: HttpRequest) -> None:
    """Remove the token from the session."""
    request.session.pop(SESSION_KEY, None)


def get_mark(request: HttpRequest) -> str:
    """Return what the form of an invitation says about it. It does not reveal the token."""
    return salted_hmac("closient_auth.dashboard.join", get_token(request), algorithm="sha256").hexdigest()


@sensitive_variables()
def is_known(token: str, user: Any) -> bool:
    """Return whether the user can answer the invitation with this token, or has accepted it.

    Without a user, somebody has to sign in first, and then it may turn out who has accepted it.
    """
    rows = Invitation.objects.using(router.db_for_write(Invitation)).in_state(InvitationState.ACCEPTED)
    if user is None and rows.filter(hashed_token=hash_token(token)).exists():
        return True
    try:
        Invitation.objects.find_valid(token, accepter=user)
    except ValidationError:
        return False
    return True


class JoinLink(Page):
    """The link in the mail. It changes nothing: programs that check mails follow links, too."""

    needs_login = False
    needs_roles = True

    @sensitive_variables()
    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        # Anybody can send requests with made-up tokens: these leave no session in the store.
        if is_known(kwargs["token"], request.user if self.is_signed_in else None):
            set_token(request, kwargs["token"])
        else:
            forget_token(request)
        response = HttpResponseRedirect(self.get_url("invitation"))
        response.headers["Referrer-Policy"] = "no-referrer"
        return response


class AnswerForm(forms.Form):
    """The answer to the invitation that the page has shown.

    The session has only one. Another tab, or a link that somebody else has sent, may have replaced it since.
    """

    shown = forms.CharField(required=False)

    def __init__(self, *args: Any, mark: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.mark = mark

    def clean(self) -> None:
        if not constant_time_compare(self.cleaned_data.get("shown", ""), self.mark):
            text = _("You have opened another invitation since. This is the one that you have opened last.")
            raise ValidationError(text, code="other_invitation")


class InvitationPage(FormPage, Page):
    """The invitation of the session, and the button to join."""

    title = _("Invitation")
    needs_login = False
    needs_roles = True
    kind = "acceptance"
    form_class: Any = AnswerForm
    template_name = "closient_auth/dashboard/invitation.html"

    def get_form_kwargs(self) -> dict[str, Any]:
        return {**super().get_form_kwargs(), "mark": get_mark(self.request)}

    @cached_property
    @sensitive_variables()
    def invitation(self) -> Invitation | None:
        """The invitation of the session for the signed-in user, or ``None``. The token of an invalid one is removed."""
        token, user = get_token(self.request), self.request.user
        try:
            return Invitation.objects.find_valid(token, accepter=user) if token else None  # type: ignore[arg-type]
        except ValidationError:
            forget_token(self.request)
            return None

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return self.lead_member() or super().get(request, *args, **kwargs)

    def lead_member(self) -> HttpResponseBase | None:
        """Return a redirect to the organization for somebody who has accepted the invitation, and ``None`` for others."""
        invitation, user = self.invitation if self.is_signed_in else None, self.request.user
        membership = invitation and invitation.find_membership(user)  # type: ignore[arg-type]
        if not membership:
            return None
        forget_token(self.request)
        organization = membership.organization
        text = gettext("You are a member of %s.") % organization.name
        return self.redirect("organization", text, organization=get_name(organization))

    @sensitive_variables()
    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        if not self.is_signed_in:
            return redirect_to_login(self.get_url("invitation"))
        # A second click comes after the first has used the token up.
        if not get_token(request):
            return self.redirect("home")
        return super().post(request, *args, **kwargs)

    def save(self, form: forms.Form) -> HttpResponseBase:
        membership = self.answer()
        forget_token(self.request)
        return welcome(self, membership)

    @sensitive_variables()
    def answer(self) -> Membership:
        user: Any = self.request.user
        return Invitation.objects.accept(get_token(self.request), user, by=self.actor)

    def form_invalid(self, form: forms.Form) -> Any:
        # Another request may have accepted the invitation in the meantime.
        return self.lead_member() or super().form_invalid(form)

    @sensitive_variables()
    def get_stranger(self) -> dict[str, Any] | None:
        """Return the context for somebody who has to sign in first, or ``None``."""
        token = get_token(self.request)
        if not token or not is_known(token, None):
            forget_token(self.request)
            return None
        # Whoever has found the link should not learn who invites whom.
        login = redirect_to_login(self.get_url("invitation"))
        return {"step": "sign_in", "login_url": login.url, "title": _("You are invited")}

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        user = self.request.user
        invitation = self.invitation if self.is_signed_in else None
        context: dict[str, Any] = {"step": "invalid", "invalid": INVALID}
        if not self.is_signed_in:
            context = self.get_stranger() or context
        elif invitation is not None and invitation.is_for(user):  # type: ignore[arg-type]
            names = {"name": get_person_name(invitation.invited_by), "organization": invitation.organization.name}
            context = {
                "step": "answer",
                "invitation": invitation,
                "shown": get_mark(self.request),
                "inviter": names["name"],
                "title": gettext("%(name)s invites you to join %(organization)s") % names,
            }
        elif invitation is not None:
            context = {"step": "other", "address": mask_address(invitation.email)}
        return super().get_context_data(**context, **kwargs)


class DeclinePage(InvitationPage):
    http_method_names = ["post"]

    @sensitive_variables()
    def save(self, form: forms.Form) -> HttpResponseBase:
        user: Any = self.request.user
        Invitation.objects.decline(get_token(self.request), user, by=self.actor)
        forget_token(self.request)
        return self.redirect("home", _("You have declined the invitation."))


class CodeForm(forms.Form):
    code = forms.CharField(
        label=_("Code or link in the mail"),
        max_length=2000,
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false", "autocapitalize": "none"}),
    )

    def __init__(self, *args: Any, user: Any = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user

    @sensitive_variables()
    def clean_code(self) -> str:
        tokens = TOKEN.findall(self.cleaned_data["code"])
        # One text for all causes, as in the model.
        if not tokens or not is_known(tokens[-1], self.user):
            raise ValidationError(INVALID, code="invalid_invitation")
        return str(tokens[-1])


@method_decorator(sensitive_post_parameters("code"), name="dispatch")
class CodePage(FormPage, Page):
    """Take the code or the link of an invitation."""

    title = _("I have an invitation code")
    button = _("Show the invitation")
    needs_roles = True
    form_class = CodeForm

    def get_form_kwargs(self) -> dict[str, Any]:
        return {**super().get_form_kwargs(), "user": self.request.user}

    @sensitive_variables()
    def save(self, form: CodeForm) -> HttpResponseBase:
        set_token(self.request, form.cleaned_data["code"])
        return self.redirect("invitation")

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(cancel_url=self.get_url("home"), **kwargs)


class OwnInvitationPage(FormPage, Page):
    """Answer an invitation to a verified address of the user, without its token."""

    http_method_names = ["post"]
    needs_roles = True
    kind = "acceptance"
    form_class: Any = forms.Form

    @cached_property
    def invitation(self) -> Invitation:
        user: Any = self.request.user
        for invitation in Invitation.objects.for_user(user):
            if str(invitation.pk) == self.kwargs["pk"]:
                return invitation
        raise Http404

    def form_invalid(self, form: forms.Form) -> HttpResponseRedirect:
        for text in form.non_field_errors():
            messages.error(self.request, str(text))
        return self.redirect("home")


class AcceptOwnPage(OwnInvitationPage):
    def save(self, form: forms.Form) -> HttpResponseBase:
        user: Any = self.request.user
        return welcome(self, self.invitation.accept_as(user, by=self.actor))


class DeclineOwnPage(OwnInvitationPage):
    def save(self, form: forms.Form) -> HttpResponseBase:
        user: Any = self.request.user
        self.invitation.decline_as(user, by=self.actor)
        return self.redirect("home", _("You have declined the invitation."))


def welcome(page: Page, membership: Membership) -> HttpResponseRedirect:
    """Return a redirect to the organization of a new member."""
    names = {"organization": membership.organization.name, "role": membership.get_role_display()}
    text = gettext("You are a member of %(organization)s now. Your role is %(role)s.") % names
    return page.redirect("organization", text, organization=get_name(membership.organization))
