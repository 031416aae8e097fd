"""Remind people by e-mail of API keys that expire soon."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import uuid4

from django.conf import settings
from django.db import IntegrityError, OperationalError, models, router, transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from closient_auth.memberships import get_memberships
from closient_auth.models.addresses import get_address_field
from closient_auth.models.api_keys import ApiKey, ApiKeyQuerySet, KeyState
from closient_auth.models.locks import is_deadlock, is_timeout
from closient_auth.models.mails import defuse, render_mail
from closient_auth.models.memberships import Membership
from closient_auth.models.organizations import Organization
from closient_auth.models.people import filter_active
from closient_auth.roles import Permission, Role

logger = logging.getLogger("closient_auth")

# The days before the expiry of a key at which people are reminded, from the last to the first.
THRESHOLDS = (1, 7, 30)
# The roles that may rotate and extend the keys of their organization.
ROLES = (Role.OWNER, Role.MANAGER)
PAGE_SIZE = 1000


class Sent(NamedTuple):
    """The numbers of reminders that a call of ``send_due()`` sent and could not send."""

    sent: int
    failed: int


class ExpiryReminderManager(models.Manager["ExpiryReminder"]):
    def send_due(self, now: datetime | None = None) -> Sent:
        """Send the reminders that are due at ``now``, each once, and return how many were sent and how many failed.

        An interrupted or failed reminder is sent by the next call. Calls at the same time do not send one twice. Raise
        ``RuntimeError`` in a transaction: if that were rolled back, the next call would send all mails again.
        """
        moment = timezone.now() if now is None else now
        using = self._db or router.db_for_write(self.model)
        outcomes: Counter[bool | None] = Counter()
        for api_key in _iter_due(moment, using):
            outcomes.update(reminder.send(moment, using) for reminder in self._get_unsent(api_key, moment, using))
        self._delete_old(moment, using)
        return Sent(sent=outcomes[True], failed=outcomes[False])

    def _get_unsent(self, api_key: Any, now: datetime, using: str) -> list[ExpiryReminder]:
        days = next(days for days in THRESHOLDS if api_key.expires_at - now <= timedelta(days=days))
        values = {"api_key": api_key, "days": days, "expires_at": api_key.expires_at}
        reminded = set(self.using(using).filter(**values).values_list("user_id", flat=True))
        return [self.model(user=user, **values) for user in _get_recipients(api_key, using) if user.pk not in reminded]

    def _delete_old(self, now: datetime, using: str) -> None:
        # Long after the expiry, as another run may still work with an earlier time.
        old = self.using(using).filter(expires_at__lt=now - timedelta(days=max(THRESHOLDS)))
        # By primary key: a DELETE with another condition would lock the rows of other runs on MariaDB.
        while pks := list(old.order_by("pk").values_list("pk", flat=True)[:PAGE_SIZE]):
            self.using(using).filter(pk__in=pks).delete()


class ExpiryReminder(models.Model):
    """A mail to one user, a number of days before the expiry of a key. A later expiry is announced again."""

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    # Without constraints in the database: on MariaDB, the check would lock both rows while the mail is sent, and requests
    # with the key and the user's login would wait for the mail server. DO_NOTHING, because Django would otherwise clear
    # the holder of a key before it deletes both, and MariaDB refuses a key without a holder. The manager deletes old rows.
    api_key = models.ForeignKey(
        ApiKey, models.DO_NOTHING, related_name="+", db_constraint=False, verbose_name=_("API key")
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="+", db_constraint=False, verbose_name=_("user")
    )
    days = models.PositiveSmallIntegerField(_("days before the expiry"))
    expires_at = models.DateTimeField(_("announced expiry"))
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)

    objects = ExpiryReminderManager()

    class Meta:
        verbose_name = _("expiry reminder")
        verbose_name_plural = _("expiry reminders")
        constraints = [
            models.UniqueConstraint(
                fields=["api_key", "user", "days", "expires_at"], name="closient_auth_expiryreminder_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.api_key_id}: {self.days}"

    def send(self, now: datetime, using: str) -> bool | None:
        """Save this reminder and send the mail, or do neither.

        Return ``True`` if it was sent, ``False`` if that failed, and ``None`` if another call has sent it meanwhile.
        """
        with transaction.atomic(using=using, durable=True):
            try:
                # Save first: another call with the same reminder waits here until this transaction ends.
                self.save(using=using, force_insert=True)
                error = self._mail(now)
            except IntegrityError:
                transaction.set_rollback(True, using=using)
                return None
            except OperationalError as locked:
                if not is_deadlock(locked) and not is_timeout(locked):
                    raise
                error = type(locked).__name__
            if not error:
                return True
            transaction.set_rollback(True, using=using)
        # Without the user, as the primary key may be the address.
        logger.error("reminder=not_sent id=%s days=%s error=%s", self.api_key_id, self.days, error)
        return False

    def _mail(self, now: datetime) -> str:
        """Send the mail. Return the type of the error, or an empty string."""
        api_key = self.api_key
        context = {
            "api_key": api_key,
            # ASCII only, so that the mail stays readable everywhere.
            "key": f"{api_key.prefix}_{api_key.hint}...",
            "name": defuse(api_key.name),
            "organization": defuse(api_key.organization.name) if api_key.organization else "",
            "user": self.user,
            "days_left": (self.expires_at - now).days,
        }
        try:
            mail = render_mail("expiry_reminder", context)
        except Exception as error:
            return type(error).__name__
        return mail.send(_get_address(self.user))


def _iter_due(now: datetime, using: str) -> Iterator[ApiKey]:
    """Yield the active keys that expire soon and have no successor. Each is read when it is its turn."""
    soon = now + timedelta(days=max(THRESHOLDS))
    # A rotated key is expected to expire.
    keys: ApiKeyQuerySet = ApiKey.objects.using(using).filter(
        is_active=True, expires_at__gt=now, expires_at__lte=soon, successor__isnull=True
    )
    related = keys.select_related("organization", "user", "created_by").defer("hashed_key")
    pks = keys.order_by("pk").values_list("pk", flat=True)
    page = list(pks[:PAGE_SIZE])
    while page:
        for pk in page:
            # The mails before may have taken minutes, and the key may be revoked or extended by now.
            api_key = related.filter(pk=pk).first()
            if api_key is not None and api_key.get_state(now) == KeyState.ACTIVE:
                yield api_key
        page = list(pks.filter(pk__gt=page[-1])[:PAGE_SIZE])


def _get_recipients(api_key: ApiKey, using: str) -> list[Any]:
    """Return the active users with an address who are reminded of this key, each once."""
    users: list[Any] = [api_key.user, api_key.created_by]
    if api_key.organization is not None:
        users += _get_managers(api_key.organization, using)
    found = {user.pk: user for user in users if user is not None and _get_address(user)}
    return filter_active(found.values(), using)


def _get_managers(organization: Organization, using: str) -> list[Any]:
    """Return the members who may manage the keys of an organization."""
    memberships = get_memberships()
    if memberships.uses_roles:
        members = Membership.objects.using(using).filter(organization=organization.pk, role__in=ROLES)
        return [member.user for member in members.select_related("user").order_by("pk")]
    users = memberships.find_users(organization)
    return [
        user
        for user in (users.order_by("pk") if users is not None else ())
        if (member := memberships.find_member(user, organization))
        and Permission.MANAGE_API_KEYS in member.get_permissions()
    ]


def _get_address(user: Any) -> str:
    field = get_address_field()
    return str(getattr(user, field) or "") if field else ""
