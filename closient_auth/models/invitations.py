"""Invite people to an organization by e-mail."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import reduce
from hashlib import sha256
from operator import or_
from typing import Any
from uuid import UUID, uuid4

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import models, router, transaction
from django.db.models.signals import post_save
from django.dispatch import receiver
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.crypto import get_random_string
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_variables

from closient_auth.conf import conf
from closient_auth.memberships import get_memberships
from closient_auth.models.actors import Actor, By, acting, as_actor, get_restricted_key
from closient_auth.models.addresses import (
    fold_address,
    get_address_field,
    get_addresses,
    get_own_address,
    get_spellings,
    get_verified_addresses,
)
from closient_auth.models.audit import AuditEntry, Event
from closient_auth.models.mailed_addresses import MailedAddress
from closient_auth.models.mails import Mail, Secret, defuse, get_display_address, get_display_name, render_mail
from closient_auth.models.memberships import Membership
from closient_auth.models.organizations import Organization
from closient_auth.models.people import get_users, is_active
from closient_auth.roles import Role, may_change_role

logger = logging.getLogger("closient_auth")

LIFETIME = timedelta(days=7)
# The least time between two mails of one invitation.
RESEND_INTERVAL = timedelta(seconds=60)
# 32 of 62 characters give 190 bits, so a fast hash is enough, as for API keys (OWASP ASVS 6.5.2).
TOKEN_LENGTH = 32


class InvitationState(models.TextChoices):
    PENDING = "pending", _("Pending")
    ACCEPTED = "accepted", _("Accepted")
    DECLINED = "declined", _("Declined")
    WITHDRAWN = "withdrawn", _("Withdrawn")
    EXPIRED = "expired", _("Expired")


# All causes share one message, so guessing tokens reveals nothing about existing invitations.
INVALID = _("This invitation is invalid or has expired. Ask for a new one.")

_OPEN = models.Q(accepted_at__isnull=True, declined_at__isnull=True, withdrawn_at__isnull=True)


class InvitationQuerySet(models.QuerySet["Invitation"]):
    def in_state(self, state: str) -> InvitationQuerySet:
        """Return the invitations in this ``InvitationState``. Raise ``ValueError`` for an unknown state."""
        conditions = {
            InvitationState.ACCEPTED: models.Q(accepted_at__isnull=False),
            InvitationState.DECLINED: models.Q(accepted_at__isnull=True, declined_at__isnull=False),
            InvitationState.WITHDRAWN: models.Q(
                accepted_at__isnull=True, declined_at__isnull=True, withdrawn_at__isnull=False
            ),
            InvitationState.EXPIRED: _OPEN & models.Q(expires_at__lte=timezone.now()),
            InvitationState.PENDING: _OPEN & models.Q(expires_at__gt=timezone.now()),
        }
        return self.filter(conditions[InvitationState(state)])

    def invite(
        self, *, organization: Organization, email: str, by: Actor | AbstractBaseUser, role: str = Role.EDITOR
    ) -> Invitation:
        """Create an invitation on behalf of ``by``, send the mail after the commit, and return the invitation.

        Raise ``PermissionDenied`` if ``by`` may not add a member with this role, and ``ValidationError`` if the address
        is invalid, belongs to a member, has a pending invitation, or got too many invitations today.
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
    def find_valid(self, token: str, *, accepter: AbstractBaseUser | None = None) -> Invitation:
        """Return the valid invitation with this token, to show it before somebody accepts or declines it.

        With ``accepter``, this is also the invitation that this user has accepted: ``accept()`` returns the membership again
        too. Raise ``ValidationError`` (``INVALID``) like ``accept()``.
        """
        invitation = self._get_by_token(token)
        is_known = accepter is not None and invitation.find_membership(accepter) is not None
        if not is_known and not invitation.is_valid(lock=False):
            raise _invalid()
        return invitation

    def find_void(self, invitations: Iterable[Invitation]) -> set[UUID]:
        """Return the ids of the pending ones of these invitations that are not valid, with two queries.

        Their inviters may no longer add a member with this role: see ``Invitation.is_valid()``.
        """
        pending = [row for row in invitations if row.state == InvitationState.PENDING]
        using, inviters = self._get_alias(), {row.invited_by_id for row in pending if row.invited_by_id}
        users = {user.pk: user for user in get_users(using).filter(pk__in=inviters) if user.is_active}
        members = Membership.objects.using(using).filter(user__in=users)
        members = members.filter(organization__in={row.organization_id for row in pending})
        ranks: dict[Any, str] = {(member.organization_id, member.user_id): member.role for member in members}
        superusers = {pk for pk, user in users.items() if getattr(user, "is_superuser", False)}

        def may_invite(row: Invitation) -> bool:
            rank = ranks.get((row.organization_id, row.invited_by_id), "")
            rank = Role.OWNER if row.invited_by_id in superusers else rank
            return may_change_role(rank, None, row.role, own=False)

        return {row.pk for row in pending if not may_invite(row)}

    def for_user(self, user: AbstractBaseUser) -> list[Invitation]:
        """Return the valid invitations to the addresses of the user, the newest first.

        These are the verified addresses if the project names them (setting ``VERIFIED_ADDRESSES``). Without the setting,
        this is the address of the account.
        """
        if not is_active(user):
            return []
        addresses = get_verified_addresses(user) if conf.VERIFIED_ADDRESSES else {get_own_address(user)} - {""}
        rows = self.using(self._get_alias()).in_state(InvitationState.PENDING).filter(email__in=addresses)
        rows = rows.select_related("organization", "invited_by").order_by("-created_at", "pk")
        # The database may compare with another collation, so compare again.
        return [row for row in rows if row.email in addresses and row.is_valid(lock=False)]

    @sensitive_variables("token")
    def accept(self, token: str, user: AbstractBaseUser, *, by: By = None) -> Membership:
        """Accept the invitation with this token for the user, and return the membership.

        ``by`` is the actor in the audit log, by default the user. If the user is a member by now, the invitation ends and the
        role stays. A second call returns the membership again. Raise ``PermissionDenied`` for a restricted API key.

        Raise ``ValidationError`` with one message (``INVALID``) if the token is unknown or used, the invitation was declined
        or withdrawn or has expired, or the inviter may no longer invite; with other messages if the user has another or no
        address, or the organization is suspended.
        """
        with self._get_by_token(token)._answered(user, by) as (locked, using):
            return locked.make_member(user, using)

    @sensitive_variables("token")
    def decline(self, token: str, user: AbstractBaseUser, *, by: By = None) -> Invitation:
        """Decline the invitation with this token for the user, and return it; a second call changes nothing.

        Raise the errors of ``accept()``.
        """
        with self._get_by_token(token)._answered(user, by) as (locked, using):
            locked.end_declined(user, using)
        return locked

    @sensitive_variables("token")
    def _get_by_token(self, token: str) -> Invitation:
        rows = self.using(self._get_alias()).select_related("organization", "invited_by")
        invitation = rows.filter(hashed_token=hash_token(token)).first()
        if invitation is None:
            raise _invalid()
        return invitation

    def _get_alias(self) -> str:
        return self._db or router.db_for_write(self.model)  # type: ignore[attr-defined]


class Invitation(models.Model):
    """An invitation of an e-mail address to an organization. The mail and ``url`` contain the token; we store a hash."""

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
    declined_at = models.DateTimeField(_("declined at"), null=True, blank=True, editable=False)
    last_sent_at = models.DateTimeField(_("last sent at"), null=True, blank=True, editable=False)
    # The type of the error if the last mail could not be sent.
    last_error = models.CharField(_("last error"), max_length=64, blank=True, default="", editable=False)

    # The page that accepts the invitation, in memory only.
    _url = ""

    objects = InvitationQuerySet.as_manager()

    class Meta:
        verbose_name = _("invitation")
        verbose_name_plural = _("invitations")
        constraints = [models.UniqueConstraint(fields=["hashed_token"], name="closient_auth_invitation_unique_hash")]

    def __str__(self) -> str:
        return f"{self.email}: {self.get_role_display()}"

    def __getstate__(self) -> dict[str, Any]:
        # A copy in a signal, session or cache must not have the token.
        return {name: value for name, value in super().__getstate__().items() if name != "_url"}

    @property
    def url(self) -> str:
        """Return the link of the mail, with the token. It is empty except after ``invite()`` and ``resend()``.

        The link is only in the memory of this instance, so that the sender can copy it once.
        """
        return self._url

    @property
    def state(self) -> InvitationState:
        if self.accepted_at is not None:
            return InvitationState.ACCEPTED
        if self.declined_at is not None:
            return InvitationState.DECLINED
        if self.withdrawn_at is not None:
            return InvitationState.WITHDRAWN
        return InvitationState.EXPIRED if self.expires_at <= timezone.now() else InvitationState.PENDING

    def is_valid(self, *, lock: bool = True) -> bool:
        """Return whether the invitation is pending and its inviter may still add a member with this role.

        ``lock`` is that of ``Organization.get_rank()``.
        """
        inviter = get_users(self._state.db).filter(pk=self.invited_by_id).first() if self.invited_by_id else None
        # With members of its own, a project has invitations of its own.
        is_open = self.state == InvitationState.PENDING and get_memberships().uses_roles
        if not is_open or inviter is None or not inviter.is_active:
            return False
        # A superuser may have invited without a membership. Their status counts here, since the API takes no keys to invite.
        actor = Actor(inviter, is_superuser=getattr(inviter, "is_superuser", False))
        rank = self.organization.get_rank(actor, lock=lock)
        return may_change_role(rank or "", None, self.role, own=False)

    def is_for(self, user: AbstractBaseUser) -> bool:
        """Return whether the user can answer this invitation with its token."""
        return is_active(user) and self.email in get_addresses(user)

    def is_verified_for(self, user: AbstractBaseUser) -> bool:
        """Return whether the user can answer this invitation without its token: the project has verified the address."""
        return is_active(user) and self.email in get_verified_addresses(user)

    def find_membership(self, user: AbstractBaseUser) -> Membership | None:
        """Return the membership of the user if the user has accepted this invitation and is still a member."""
        if self.state != InvitationState.ACCEPTED or not self.is_for(user):
            return None
        return self.organization.memberships.using(self._state.db).filter(user_id=user.pk).first()

    def accept_as(self, user: AbstractBaseUser, *, by: By = None) -> Membership:
        """Accept the invitation without its token, and return the membership.

        Raise the errors of ``InvitationQuerySet.accept()``, and ``ValidationError`` if the setting ``VERIFIED_ADDRESSES``
        does not name the address: a project may let people enter any address in their account.
        """
        with self._answered(user, by) as (locked, using):
            locked.require_verified_address(user)
            return locked.make_member(user, using)

    def decline_as(self, user: AbstractBaseUser, *, by: By = None) -> None:
        """Decline the invitation without its token. Raise the errors of ``accept_as()``."""
        with self._answered(user, by) as (locked, using):
            locked.require_verified_address(user)
            locked.end_declined(user, using)

    def resend(self, *, by: Actor | AbstractBaseUser) -> None:
        """Send the invitation again on behalf of ``by``, with a new token and expiry; the old token becomes invalid.

        Raise the errors of ``invite()``, and ``ValidationError`` if the invitation was accepted, declined or withdrawn, or was
        sent in the last minute.
        """
        with self._managed(by) as using:
            self.organization.require_role_change(by, None, self.role)
            if self.state not in (InvitationState.PENDING, InvitationState.EXPIRED):
                message = _("This invitation has already been accepted, declined or withdrawn.")
                raise ValidationError(message, code="not_open")
            self.require_free_address(using)
            if self.last_sent_at is not None and self.last_sent_at > timezone.now() - RESEND_INTERVAL:
                message = _("This invitation was sent a moment ago. Wait a minute before you send it again.")
                raise ValidationError(message, code="sent_recently")
            old = {"expires_at": self.expires_at, "invited_by": self.invited_by_id}
            self.issue(by, using)
            new = {"expires_at": self.expires_at, "invited_by": self.invited_by_id}
            AuditEntry.objects.record(Event.INVITATION_RESENT, self, using=using, old=old, new=new)

    def withdraw(self, *, by: By = None) -> None:
        """Withdraw the invitation; do nothing if it is already withdrawn or declined.

        Raise ``ValidationError`` if it was accepted.

        Raise ``PermissionDenied`` if ``by`` may not grant its role. Every Manager may withdraw an invalid invitation.
        """
        with self._managed(by) as using:
            self.organization.require_role_change(by, None, self.role if self.is_valid() else Role.EDITOR)
            if self.state == InvitationState.ACCEPTED:
                raise ValidationError(_("This invitation was accepted. Remove the member instead."), code="not_open")
            if self.state in (InvitationState.PENDING, InvitationState.EXPIRED):
                self._end(Event.INVITATION_WITHDRAWN, "withdrawn_at", using)

    def require_free_address(self, using: str) -> None:
        """Raise ``ValidationError`` if the address belongs to a member or has another pending invitation."""
        address_field = get_address_field()
        members = self.organization.memberships.using(using)
        spellings = [models.Q(**{f"user__{address_field}__iexact": address}) for address in get_spellings(self.email)]
        if address_field and members.filter(reduce(or_, spellings)).exists():
            raise ValidationError(_("A member already has this e-mail address."), code="already_member")
        # Check under the lock, as some databases lack conditional unique constraints.
        others = self.organization.invitations.using(using).in_state(InvitationState.PENDING).exclude(pk=self.pk)
        if others.filter(email=self.email).exists():
            raise ValidationError(_("This address has a pending invitation. Resend it."), code="already_invited")

    @sensitive_variables()
    def issue(self, by: Actor | AbstractBaseUser, using: str) -> None:
        """Set a new token, expiry and inviter (``by``), save, and send the mail with the token after the commit."""
        MailedAddress.objects.count_mail(self.email, using)
        token, actor = get_random_string(TOKEN_LENGTH), as_actor(by)
        self.invited_by_id = actor.user.pk
        self.hashed_token = hash_token(token)
        self.last_sent_at, self.last_error = timezone.now(), ""
        self.expires_at = self.last_sent_at + LIFETIME
        self.save(using=using)
        self._url = get_url(token, actor.origin)
        context = {
            "invitation": self,
            "organization": self.organization,
            "name": defuse(self.organization.name),
            "inviter": actor.user,
            "inviter_name": get_display_name(actor.user),
            "inviter_email": get_display_address(actor.user),
            "url": Secret(self._url),
            "token": Secret(token),
        }
        mail = render_mail("invitation", context)
        # A failing ``partial`` would put its arguments, with the token, into Django's log.
        transaction.on_commit(lambda: self._mail(mail, using), using=using)

    def require_verified_address(self, user: AbstractBaseUser) -> None:
        """Raise ``ValidationError`` if the project has not verified that the address is that of the user."""
        if not self.is_verified_for(user):
            message = _("Your e-mail address is not verified. Use the link or the code in the mail.")
            raise ValidationError(message, code="unverified_email")

    def make_member(self, user: AbstractBaseUser, using: str) -> Membership:
        """Accept the invitation for this user under the organization's lock. Raise the errors of ``accept()``."""
        members = self.organization.memberships.using(using)
        member = members.filter(user_id=user.pk).first()
        if self.state == InvitationState.ACCEPTED and member is not None and self.is_for(user):
            return member
        self._require_valid()
        self.organization.refresh_from_db(using=using, fields=["suspended_at"])
        if self.organization.suspended_at is not None:
            message = _("This organization is suspended. Try again later.")
            raise ValidationError(message, code="organization_suspended")
        self._require_address(user)
        self._end(Event.INVITATION_ACCEPTED, "accepted_at", using)
        if member is not None:
            return member
        return members.create(organization=self.organization, user=user, role=self.role)  # type: ignore[misc]

    def end_declined(self, user: AbstractBaseUser, using: str) -> None:
        """Decline the invitation for this user under the organization's lock. Raise the errors of ``decline()``."""
        if self.state == InvitationState.DECLINED and self.is_for(user):
            return
        self._require_valid()
        self._require_address(user)
        self._end(Event.INVITATION_DECLINED, "declined_at", using)

    def _require_valid(self) -> None:
        if not self.is_valid():
            raise _invalid()

    def _require_address(self, user: AbstractBaseUser) -> None:
        if not get_addresses(user):
            text = _("Add an e-mail address to your account to accept this invitation.")
            raise ValidationError(text, code="no_email")
        if not self.is_for(user):
            raise ValidationError(_("This invitation is for another e-mail address."), code="other_email")

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

    @contextmanager
    def _answered(self, user: AbstractBaseUser, by: By) -> Iterator[tuple[Invitation, str]]:
        """Lock the organization for the answer of a user, and yield the row, read again, and the database alias."""
        if get_restricted_key(by or user) is not None:
            # The key would widen what its user may do.
            raise PermissionDenied(_("A restricted API key cannot do this."))
        using = router.db_for_write(type(self), instance=self)
        with self.organization.keep_owner(), acting(by or user):
            # A concurrent ``resend()`` may have replaced the token.
            rows = type(self)._base_manager.using(using).select_for_update()
            locked = rows.filter(pk=self.pk, hashed_token=self.hashed_token).first()
            if locked is None:
                raise _invalid()
            locked.organization = self.organization
            yield locked, using

    def _mail(self, mail: Mail, using: str) -> None:
        if error := mail.send(self.email)[:64]:
            self.last_error = error
            # A later mail has another token.
            rows = type(self)._base_manager.using(using)
            rows.filter(pk=self.pk, hashed_token=self.hashed_token).update(last_error=error)
            logger.error("invitation=not_mailed id=%s error=%s", self.pk, error)


@receiver(post_save, sender=Membership, dispatch_uid="closient_auth.end_invitations")
def end_invitations(instance: Membership, created: bool, using: str, raw: bool = False, **kwargs: object) -> None:
    """Withdraw the pending invitations of somebody who became a member in another way."""
    if not created or raw:
        return
    addresses = get_addresses(instance.user)
    # With the organization, which a lagging replica may lack.
    pending = Invitation.objects.using(using).in_state(InvitationState.PENDING).select_related("organization")
    rows = pending.filter(organization=instance.organization_id, email__in=addresses).order_by("pk")
    # The database may compare with another collation, so compare again.
    for invitation in [row for row in rows if row.email in addresses]:
        invitation.withdraw()


def get_url(token: str, origin: str) -> str:
    """Return the page that accepts the invitation with this token, or an empty text if there is none.

    ``origin`` is that of ``Actor``, for the page of the dashboard.
    """
    if conf.INVITATION_URL:
        return conf.INVITATION_URL.replace("{token}", token)
    try:
        path = reverse("closient_dashboard:join", args=[token])
    except NoReverseMatch:
        return ""
    return f"{origin}{path}" if origin else ""


def _invalid() -> ValidationError:
    return ValidationError(INVALID, code="invalid_invitation")


def hash_token(token: str) -> str:
    """Return the SHA-256 of an invitation token in hexadecimal digits."""
    return sha256(token.encode()).hexdigest()
