from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import router, transaction
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from closient_auth.actors import get_actor
from closient_auth.admin.base import CONFIRMED, AuditedAdmin, get_staff
from closient_auth.admin.filters import InvitationStateFilter, InviterFilter, OrganizationFilter
from closient_auth.admin.key_columns import show_badge
from closient_auth.memberships import get_memberships
from closient_auth.models import Invitation
from closient_auth.models.invitations import InvitationState
from closient_auth.moments import show_expiry, show_moment

# What happened to an invitation, in the order of the page. New fields of the model belong here.
HISTORY = ["created_at", "last_sent_at", "expires_at", "accepted_at", "declined_at", "withdrawn_at"]
# The states in which an invitation can be withdrawn and sent again.
OPEN = (InvitationState.PENDING, InvitationState.EXPIRED)


@admin.register(Invitation)
class InvitationAdmin(AuditedAdmin):
    list_display = ["email", "organization", "role", "state", "invited_by", "sent", "expiry"]
    list_filter = [InvitationStateFilter, "role", OrganizationFilter, InviterFilter]
    list_select_related = ["organization", "invited_by"]
    search_fields = ["email"]
    ordering = ["-created_at", "pk"]
    trail_filter = "row"

    @admin.display(description=_("state"))
    def state(self, invitation: Invitation) -> str:
        return show_badge(invitation.state, invitation.state.label)

    @admin.display(description=_("sent"), ordering=Coalesce("last_sent_at", "created_at"))
    def sent(self, invitation: Invitation) -> str:
        sent = show_moment(invitation.last_sent_at or invitation.created_at)
        if not invitation.last_error:
            return sent
        # The class of the error would take the width of the address.
        text = '{}<br><span class="refused" title="{}">{}</span>'
        return format_html(text, sent, invitation.last_error, gettext("could not be sent"))

    @admin.display(description=_("mail"))
    def mail(self, invitation: Invitation) -> str:
        if invitation.last_error:
            text = gettext("could not be sent (%s)") % invitation.last_error
            return format_html('<span class="refused">{}</span>', text)
        return "-" if invitation.last_sent_at is None else gettext("handed over to the mail server")

    @admin.display(description=_("expires"), ordering="expires_at")
    def expiry(self, invitation: Invitation) -> str:
        # The expiry of an invitation that has ended otherwise says nothing.
        return show_expiry(invitation.expires_at) if invitation.state in OPEN else "-"

    def get_fieldsets(self, request: HttpRequest, obj: Invitation | None = None) -> list[Any]:
        main = ["email", "organization", "role", "state", "invited_by"]
        return [(None, {"fields": main}), (_("History"), {"fields": [*HISTORY, "mail", "id"]})]

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        # Lookups such as ``?hashed_token__startswith=`` would reveal the hash digit by digit.
        return not lookup.startswith("hashed_token") and super().lookup_allowed(lookup, value, request)

    def get_urls(self) -> list[URLPattern]:
        prefix = f"{self.opts.app_label}_{self.opts.model_name}"
        view = self.admin_site.admin_view
        return [
            path("<path:object_id>/withdraw/", view(self.withdraw_view), name=f"{prefix}_withdraw"),
            path("<path:object_id>/resend/", view(self.resend_view), name=f"{prefix}_resend"),
            *super().get_urls(),
        ]

    def has_module_permission(self, request: HttpRequest) -> bool:
        # A project with members of its own has invitations of its own.
        return get_memberships().uses_roles and super().has_module_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return get_memberships().uses_roles and super().has_view_permission(request, obj)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # The fields are only read. The buttons are for staff with Django's permission.
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # An invitation stays as a record. Django asks with each ``obj`` before it deletes their organization.
        return obj is not None

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        raise PermissionDenied

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        is_open = context["original"].state in OPEN
        context |= {"show_delete": False, "show_actions": is_open and self._may_manage(request)}
        return super().render_change_form(request, context, *args, **kwargs)

    def withdraw_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask before the withdrawal of an invitation, and withdraw it if the request is a confirmed POST."""
        invitation = self._get_managed(request, object_id)
        if not request.POST.get(CONFIRMED):
            return self._ask(request, invitation, _("Withdraw invitation"), is_withdrawn=True)
        return self._act(request, invitation, "withdraw")

    def resend_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask before a mail, and send the invitation again if the request is a confirmed POST."""
        invitation = self._get_managed(request, object_id)
        if not request.POST.get(CONFIRMED):
            return self._ask(request, invitation, _("Resend invitation"), is_withdrawn=False)
        return self._act(request, invitation, "resend")

    def _may_manage(self, request: HttpRequest) -> bool:
        return get_memberships().uses_roles and request.user.has_perm("closient_auth.change_invitation")

    def _get_managed(self, request: HttpRequest, object_id: str) -> Invitation:
        if not self._may_manage(request):
            raise PermissionDenied
        invitation: Invitation = self.get_row(request, object_id)
        return invitation

    def _ask(self, request: HttpRequest, invitation: Invitation, title: Any, *, is_withdrawn: bool) -> HttpResponse:
        context = {"invitation": invitation, "is_withdrawn": is_withdrawn, "fields": {CONFIRMED: "yes"}}
        return self.render_confirmation(request, "invitation/question", title, invitation, **context)

    def _act(self, request: HttpRequest, invitation: Invitation, verb: str) -> HttpResponse:
        staff: Any = request.user
        try:
            with transaction.atomic(using=router.db_for_write(Invitation)):
                if verb == "withdraw":
                    text, message = gettext("Withdrawn."), _("The invitation to %s is withdrawn.")
                    invitation.withdraw(by=get_staff(request))
                else:
                    text, message = gettext("Sent again."), _("The invitation to %s was sent again.")
                    # An invitation is valid only while its inviter may invite, and staff status is not enough for this.
                    invitation.resend(by=get_actor(request))
                LogEntry.objects.log_actions(staff.pk, [invitation], CHANGE, text)
        except PermissionDenied as error:
            self.message_user(request, str(error), messages.ERROR)
        except ValidationError as error:
            self.message_user(request, " ".join(error.messages), messages.ERROR)
        else:
            if invitation.last_error and verb == "resend":
                text = gettext("The mail to %s could not be sent.") % invitation.email
                self.message_user(request, text, messages.ERROR)
            else:
                self.message_user(request, message % invitation.email, messages.SUCCESS)
        return self.redirect_to_row(request, invitation.pk)
