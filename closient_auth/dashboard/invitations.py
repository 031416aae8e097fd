"""The invitations of an organization: sending, resending and withdrawing them."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any, NamedTuple

from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import DatabaseError, IntegrityError, router
from django.db.models import QuerySet
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.functional import cached_property
from django.utils.text import format_lazy
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from closient_auth.core.responses import without_transaction
from closient_auth.dashboard.frame import FormPage, OrganizationPage
from closient_auth.forms import LinesField
from closient_auth.models import Invitation
from closient_auth.models.addresses import fold_address
from closient_auth.models.invitations import InvitationState
from closient_auth.models.locks import is_deadlock
from closient_auth.models.people import get_person_name
from closient_auth.models.restrictions import MAX_QUOTED
from closient_auth.moments import get_time_until
from closient_auth.roles import Permission, Role, may_change_role

MAX_ADDRESSES = 20
DAY = timedelta(days=1)
OPEN = (InvitationState.PENDING, InvitationState.EXPIRED)


class Result(NamedTuple):
    """What became of one address. ``kind`` is the CSS class of the badge."""

    email: str
    kind: str
    title: Any
    text: Any = ""
    invitation: Invitation | None = None


# The badges of the errors that are nobody's fault. The text is the model's.
TITLES = {
    "already_member": ("off", _("Already a member")),
    "already_invited": ("off", _("Already invited")),
    "too_many_mails": ("warn", _("Too many mails")),
    "throttled": ("warn", _("Not sent yet")),
}


class InviteForm(forms.Form):
    emails = LinesField(
        label=_("E-mail addresses"),
        help_text=format_lazy(_("One on each line, at most {number}."), number=MAX_ADDRESSES),
        widget=forms.Textarea(attrs={"rows": 4, "spellcheck": "false", "autocomplete": "off", "inputmode": "email"}),
    )
    role = forms.ChoiceField(label=_("Role"), initial=Role.EDITOR)

    def __init__(self, *args: Any, roles: Iterable[Role], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["role"].choices = [(role.value, role.label) for role in roles]  # type: ignore[attr-defined]

    def clean_emails(self) -> list[str]:
        lines = dict.fromkeys(self.cleaned_data["emails"])
        # Count first: the comparison takes long for thousands of addresses.
        if len(lines) > MAX_ADDRESSES:
            raise ValidationError(gettext("Invite at most %d people at a time.") % MAX_ADDRESSES, code="too_many")
        addresses = list({fold_address(address): address for address in lines}.values())
        # Nothing is sent before somebody has corrected the mistake.
        if invalid := [address for address in addresses if not _is_address(address)]:
            text = ngettext("%s is not an e-mail address.", "%s are not e-mail addresses.", len(invalid))
            raise ValidationError(text % ", ".join(line[:MAX_QUOTED] for line in invalid), code="invalid")
        return addresses


class StateFilter(forms.Form):
    state = forms.ChoiceField(
        label=_("State"), choices=[("", _("All states")), *InvitationState.choices], required=False
    )


@method_decorator(without_transaction, name="dispatch")
class InvitationPages(FormPage, OrganizationPage):
    """What the pages about invitations share."""

    tab = "invitations"
    permission = Permission.MANAGE_MEMBERS
    needs_roles = True
    form_class: Any = forms.Form

    def get_queryset(self) -> QuerySet[Invitation]:
        # The page after a change shows the change, also if a replica lags.
        invitations = Invitation.objects.using(router.db_for_write(Invitation)).filter(organization=self.organization)
        return invitations.select_related("organization", "invited_by").order_by("-created_at", "pk")

    @cached_property
    def invitation(self) -> Invitation:
        found: Invitation = self.find(self.get_queryset(), self.kwargs["pk"])
        return found

    def may_invite(self, role: str) -> bool:
        """Return whether the user may invite people with this role."""
        return may_change_role(self.rank, None, role, own=False)

    def show_results(self, results: list[Result]) -> HttpResponseBase:
        """Return the page with the links. It is the response to the form itself, as the links are stored nowhere."""
        sent = sum(result.invitation is not None and not result.invitation.last_error for result in results)
        title = ngettext("%d invitation is on its way", "%d invitations are on their way", sent) % sent
        context = super().get_context_data(
            form=None,
            title=title if sent else gettext("No invitation was sent"),
            results=results,
            has_links=any(result.invitation is not None and result.invitation.url for result in results),
        )
        return self.response_class(
            request=self.request,
            template="closient_auth/dashboard/invitations_sent.html",
            context=context,
            using=self.template_engine,
        )


class InvitationsPage(InvitationPages):
    title = _("Invitations")
    kind = "invitation"
    template_name = "closient_auth/dashboard/invitations.html"
    button = _("Send the invitations")

    def get_form(self, form_class: Any = None) -> InviteForm:
        return InviteForm(**self.get_form_kwargs(), roles=[role for role in Role if self.may_invite(role)])

    def save(self, form: InviteForm) -> HttpResponseBase:
        role = form.cleaned_data["role"]
        return self.show_results([self.invite(*row, role) for row in enumerate(form.cleaned_data["emails"])])

    def invite(self, index: int, email: str, role: str) -> Result:
        """Invite one of the addresses. An error of one does not hide the links of the others."""
        try:
            # The form has counted the first.
            if index:
                self.count_change()
            invitation = Invitation.objects.invite(
                organization=self.organization, email=email, by=self.actor, role=role
            )
        except ValidationError as error:
            kind, title = TITLES.get(getattr(error, "code", None) or "", ("bad", _("Not sent")))
            return Result(email, kind, title, " ".join(error.messages))
        except DatabaseError as error:
            if not isinstance(error, IntegrityError) and not is_deadlock(error):
                raise
            return Result(email, "bad", _("Not sent"), _("Somebody changed this at the same moment. Try again."))
        return _get_result(invitation)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        form = StateFilter(self.request.GET)
        # An unknown value filters nothing, and the form says so.
        state = form.cleaned_data["state"] if form.is_valid() else ""
        invitations: Any = self.get_queryset()
        rows = self.paginate(invitations.in_state(state) if state else invitations)
        void = Invitation.objects.using(router.db_for_write(Invitation)).find_void(rows.object_list)
        return super().get_context_data(
            rows=rows,
            invitations=[self.describe(invitation, invitation.pk in void) for invitation in rows],
            filter=form,
            is_filtered=bool(state),
            **kwargs,
        )

    def describe(self, invitation: Invitation, is_void: bool) -> dict[str, Any]:
        inviter, is_open = invitation.invited_by, invitation.state in OPEN
        # Every Manager may withdraw an invalid invitation.
        needed = Role.EDITOR if is_void or invitation.state == InvitationState.EXPIRED else invitation.role
        reason: Any = ""
        if is_void and inviter is None:
            reason = _("The account of the person who invited is gone.")
        elif is_void:
            reason = gettext("%(name)s may no longer invite people as %(role)s.") % {
                "name": get_person_name(inviter),
                "role": invitation.get_role_display(),
            }
        return {
            "invitation": invitation,
            "inviter": get_person_name(inviter) if inviter else "",
            "badge": _get_badge(invitation, is_void),
            "reason": reason,
            "may_resend": is_open and self.may_invite(invitation.role),
            "may_withdraw": is_open and self.may_invite(needed),
        }


class ResendPage(InvitationPages):
    title = _("Send the invitation again")
    button = _("Send again")
    kind = "invitation"
    template_name = "closient_auth/dashboard/invitation_change.html"

    def save(self, form: forms.Form) -> HttpResponseBase:
        self.invitation.resend(by=self.actor)
        return self.show_results([_get_result(self.invitation)])

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        text = gettext("%s gets a new mail with a new link, which is valid for seven days. The old link stops working.")
        return super().get_context_data(
            text=text % self.invitation.email, cancel_url=self.get_url("invitations"), **kwargs
        )


class WithdrawPage(InvitationPages):
    title = _("Withdraw the invitation")
    button = _("Withdraw")
    is_dangerous = True
    template_name = "closient_auth/dashboard/invitation_change.html"

    def save(self, form: forms.Form) -> HttpResponseBase:
        self.invitation.withdraw(by=self.actor)
        return self.redirect("invitations", gettext("The invitation to %s is withdrawn.") % self.invitation.email)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        text = gettext("The link that %s has got stops working. You can invite the same address again.")
        return super().get_context_data(
            text=text % self.invitation.email, cancel_url=self.get_url("invitations"), **kwargs
        )


def _is_address(text: str) -> bool:
    try:
        validate_email(fold_address(text))
    except ValidationError:
        return False
    return True


def _get_result(invitation: Invitation) -> Result:
    if invitation.last_error:
        text = _("The mail server did not take the mail. Send it again later, or pass the link on yourself.")
        return Result(invitation.email, "bad", _("Could not be sent"), text, invitation)
    return Result(invitation.email, "good", _("Sent"), "", invitation)


def _get_badge(invitation: Invitation, is_void: bool) -> tuple[str, Any]:
    """Return the CSS class and the text of the badge."""
    state = invitation.state
    if state != InvitationState.PENDING:
        return ("good" if state == InvitationState.ACCEPTED else "off"), state.label
    if is_void:
        return "off", _("Void")
    if invitation.last_error:
        return "bad", _("Could not be sent")
    now = timezone.now()
    left = invitation.expires_at - now
    if left < DAY:
        return "warn", gettext("Expires in %s") % get_time_until(invitation.expires_at, now)
    # ``get_time_until()`` would say "6 days" a minute after the mail, which says seven.
    days = (left + DAY / 2).days
    return "good", ngettext("Expires in %d day", "Expires in %d days", days) % days
