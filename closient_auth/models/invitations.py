"""Invite people to an organization by e-mail."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from hashlib import sha256
from uuid import uuid4

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.mail import send_mail
from django.db import models, router, transaction
from django.utils import timezone
from django.utils.crypto import get_random_string
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_variables

from closient_auth.memberships import get_memberships
from closient_auth.models.actors import Actor, By, acting, as_actor, get_restricted_key
from closient_auth.models.addresses import fold_address, get_address_field
from closient_auth.models.audit import AuditEntry, Event
from closient_auth.models.mails import render_mail, to_line
from closient_auth.models.memberships import Membership
from closient_auth.models.organizations import Organization
from closient_auth.models.people import get_users, is_active
from closient_auth.roles import Role, may_change_role

logger = logging.getLogger("closient_auth")

LIFETIME = timedelta(days=7)
# 32 of 62 characters give 190 bits, so a fast hash is enough, as for API keys (OWASP ASVS 6.5.2).
TOKEN_LENGTH = 32


class InvitationState(models.TextChoices):
    PENDING = "pending", _("Pending")
    ACCEPTED = "accepted", _("Accepted")
    WITHDRAWN = "withdrawn", _("Withdrawn")
    EXPIRED = "expired", _("Expired")


# All causes share one message, so guessing tokens reveals nothing about existing invitations.
INVALID = _("This invitation is invalid or has expired. Ask for a new one.")

_OPEN = models.Q(accepted_at__isnull=True, withdrawn_at__isnull=True)


class InvitationQuerySet(models.QuerySet["Invitation"]):
    def in_state(self, state: str) -> InvitationQuerySet:
        """Return the invitations in this ``InvitationState``. Raise ``ValueError`` for an unknown state."""
        conditions = {
            InvitationState.ACCEPTED: models.Q(accepted_at__isnull=False),
            InvitationState.WITHDRAWN: models.Q(accepted_at__isnull=True, withdrawn_at__isnull=False),
            InvitationState.EXPIRED: _OPEN & models.Q(expires_at__lte=timezone.now()),
            InvitationState.PENDING: _OPEN & models.Q(expires_at__gt=timezone.now()),
        }
        return self.filter(conditions[InvitationState(state)])

    def invite(
        self, *, organization: Organization, email: str, by: Actor | AbstractBaseUser, role: str = Role.EDITOR
    ) -> Invitation:
        """Create an invitation on behalf of ``by``, send the mail after the commit, and return the invitation.

        Raise ``PermissionDenied`` if ``by`` may not add a member with this role, and ``ValidationError`` if the address
        is invalid, belongs to a member or has a pending invitation.
        """
        invitation = self.model(organization=organization, email=fold_address(email), role=role)
        invitation.clean_fields(exclude={"organization", "hashed_token", "invited_by", "expires_at"})
        using = router.db_for_write(self.model, instance=organization)
        with organization.keep_owner(), acting(by):
            organization.require_role_change(by, None, role)
            invitation.require_free_address(using)
            invitation.issue(by, using)
            new = {"email": invitation.email, "role": invitation.role}
            AuditEntry.objects.record(Event.INVITATION_CREATED, invitation, using=using, new=new)
        return invitation

    @sensitive_variables("token")
    def accept(self, token: str, user: AbstractBaseUser, *, by: By = None) -> Membership:
        """Accept the invitation with this token for the user, and return the new membership.

        ``by`` is the actor in the audit log, by default the user. Raise ``PermissionDenied`` for a restricted API key.
        Raise ``ValidationError`` with one message (``INVALID``) if the token is unknown, used, withdrawn or expired, or
        the inviter may no longer invite; with other messages if the user has another or no address, or is a member.
        """
        using = self._db or router.db_for_write(self.model)  # type: ignore[attr-defined]
        found = self.using(using).filter(hashed_token=hash_token(token))
        invitation = found.select_related("organization").first()
        if invitation is None:
            raise ValidationError(INVALID, code="invalid_invitation")
        if get_restricted_key(by or user) is not None:
            # The key would widen what its user may do.
            raise PermissionDenied(_("A restricted API key cannot do this."))
        with invitation.organization.keep_owner(), acting(by or user):
            # Read the row again under the lock: a concurrent ``resend()`` may have replaced the token.
            locked = found.select_for_update().first()
            if locked is not None:
                locked.organization = invitation.organization
            if locked is None or not locked.is_valid():
                raise ValidationError(INVALID, code="invalid_invitation")
            locked.organization.refresh_from_db(using=using, fields=["suspended_at"])
            if locked.organization.suspended_at is not None:
                message = _("This organization is suspended. Try again later.")
                raise ValidationError(message, code="organization_suspended")
            return locked.make_member(user, using)


class Invitation(models.Model):
    """An invitation of an e-mail address to an organization. Only the mail contains the token; we store a hash."""

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    organization = models.ForeignKey(
        Organization, models.CASCADE, related_name="invitations", verbose_name=_("organization")
    )
    email = models.EmailField(_("e-mail"))
    role = models.CharField(_("role"), max_length=16, choices=Role.choices, default=Role.EDITOR)
    hashed_token = models.CharField(max_length=64, editable=False)
    invited_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+", verbose_name=_("invited by")
    )
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    expires_at = models.DateTimeField(_("expires at"))
    accepted_at = models.DateTimeField(_("accepted at"), null=True, blank=True, editable=False)
    withdrawn_at = models.DateTimeField(_("withdrawn at"), null=True, blank=True, editable=False)

    objects = InvitationQuerySet.as_manager()

    class Meta:
        verbose_name = _("invitation")
        verbose_name_plural = _("invitations")
        constraints = [models.UniqueConstraint(fields=["hashed_token"], name="closient_auth_invitation_unique_hash")]

    def __str__(self) -> str:
        return f"{self.email}: {self.get_role_display()}"

    @property
    def state(self) -> InvitationState:
        if self.accepted_at is not None:
            return InvitationState.ACCEPTED
        if self.withdrawn_at is not None:
            return InvitationState.WITHDRAWN
        return InvitationState.EXPIRED if self.expires_at <= timezone.now() else InvitationState.PENDING

    def is_valid(self) -> bool:
        """Return whether the invitation is pending and its inviter may still add a member with this role."""
        inviter = get_users(self._state.db).filter(pk=self.invited_by_id).first() if self.invited_by_id else None
        # With members of its own, a project has invitations of its own.
        is_open = self.state == InvitationState.PENDING and get_memberships().uses_roles
        if not is_open or inviter is None or not inviter.is_active:
            return False
        # A superuser may have invited without a membership. Their status counts here, since the API takes no keys to invite.
        rank = self.organization.get_rank(Actor(inviter, is_superuser=getattr(inviter, "is_superuser", False)))
        return may_change_role(rank or "", None, self.role, own=False)

    def resend(self, *, by: Actor | AbstractBaseUser) -> None:
        """Send the invitation again on behalf of ``by``, with a new token and expiry; the old token becomes invalid.

        Raise the errors of ``invite()``, and ``ValidationError`` if the invitation was accepted or withdrawn.
        """
        with self._managed(by) as using:
            self.organization.require_role_change(by, None, self.role)
            if self.state not in (InvitationState.PENDING, InvitationState.EXPIRED):
                raise ValidationError(_("This invitation has already been accepted or withdrawn."), code="not_open")
            self.require_free_address(using)
            old = {"expires_at": self.expires_at, "invited_by": self.invited_by_id}
            self.issue(by, using)
            new = {"expires_at": self.expires_at, "invited_by": self.invited_by_id}
            AuditEntry.objects.record(Event.INVITATION_RESENT, self, using=using, old=old, new=new)

    def withdraw(self, *, by: By = None) -> None:
        """Withdraw the invitation; do nothing if it is already withdrawn. Raise ``ValidationError`` if it was accepted.

        Raise ``PermissionDenied`` if ``by`` may not grant its role. Every Manager may withdraw an invalid invitation.
        """
        with self._managed(by) as using:
            self.organization.require_role_change(by, None, self.role if self.is_valid() else Role.EDITOR)
            if self.state == InvitationState.ACCEPTED:
                raise ValidationError(_("This invitation was accepted. Remove the member instead."), code="not_open")
            if self.withdrawn_at is None:
                self._end(Event.INVITATION_WITHDRAWN, "withdrawn_at", using)

    def require_free_address(self, using: str) -> None:
        """Raise ``ValidationError`` if the address belongs to a member or has another pending invitation."""
        address_field = get_address_field()
        members = self.organization.memberships.using(using)
        if address_field and members.filter(**{f"user__{address_field}__iexact": self.email}):
            raise ValidationError(_("A member already has this e-mail address."), code="already_member")
        # Check under the lock, as some databases lack conditional unique constraints.
        others = self.organization.invitations.using(using).in_state(InvitationState.PENDING).exclude(pk=self.pk)
        if others.filter(email=self.email).exists():
            raise ValidationError(_("This address has a pending invitation. Resend it."), code="already_invited")

    @sensitive_variables()
    def issue(self, by: Actor | AbstractBaseUser, using: str) -> None:
        """Set a new token, expiry and inviter (``by``), save, and send the mail with the token after the commit."""
        token, inviter = get_random_string(TOKEN_LENGTH), as_actor(by).user
        self.invited_by_id = inviter.pk
        self.hashed_token = hash_token(token)
        self.expires_at = timezone.now() + LIFETIME
        self.save(using=using)
        context = {
            "invitation": self,
            "organization": self.organization,
            "name": to_line(self.organization.name),
            "inviter": inviter,
            "token": token,
        }
        subject, body = render_mail("invitation", context)
        # A failing ``partial`` would put its arguments, with the token, into Django's log.
        transaction.on_commit(lambda: self._mail(subject, body), using=using)

    def make_member(self, user: AbstractBaseUser, using: str) -> Membership:
        """Accept the invitation for this user under the organization's lock. Raise the errors of ``accept()``."""
        address_field = get_address_field()
        address = address_field and getattr(user, address_field)
        if not address:
            text = _("Add an e-mail address to your account to accept this invitation.")
            raise ValidationError(text, code="no_email")
        if fold_address(address) != self.email or not is_active(user):
            raise ValidationError(_("This invitation is for another e-mail address."), code="other_email")
        members = self.organization.memberships.using(using)
        if members.filter(user_id=user.pk).exists():
            raise ValidationError(_("You are already a member of this organization."), code="already_member")
        self._end(Event.INVITATION_ACCEPTED, "accepted_at", using)
        return members.create(organization=self.organization, user=user, role=self.role)  # type: ignore[misc]

    def _end(self, event: Event, field: str, using: str) -> None:
        old = {"state": self.state}
        setattr(self, field, timezone.now())
        self.save(using=using, update_fields=[field])
        AuditEntry.objects.record(event, self, using=using, old=old, new={"state": self.state})

    @contextmanager
    def _managed(self, by: By) -> Iterator[str]:
        """Lock the organization, read the row again, and yield the database alias."""
        using, organization = router.db_for_write(type(self), instance=self), self.organization
        with organization.keep_owner(), acting(by):
            self.refresh_from_db(using=using, from_queryset=type(self)._base_manager.select_for_update())
            self.organization = organization
            yield using

    def _mail(self, subject: str, body: str) -> None:
        try:
            send_mail(subject, body, None, [self.email])
        except Exception as error:
            # Log the type only, as a traceback could contain the body. The user can resend the invitation.
            logger.error("invitation=not_mailed id=%s error=%s", self.pk, type(error).__name__)


def hash_token(token: str) -> str:
    """Return the SHA-256 of an invitation token in hexadecimal digits."""
    return sha256(token.encode()).hexdigest()
