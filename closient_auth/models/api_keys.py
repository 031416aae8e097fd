"""The API key model."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.db import models, router, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from closient_auth.keys import HINT_LENGTH, KeyType
from closient_auth.models.api_key_querysets import ApiKeyQuerySet, KeyState
from closient_auth.models.audit import AuditedModel, AuditEntry, Event
from closient_auth.models.key_access import authorized, managed
from closient_auth.models.organizations import Organization
from closient_auth.models.ownership import lock_row

__all__ = ["EDITABLE_FIELDS", "MAX_GRACE", "MAX_LIMIT", "ApiKey", "ApiKeyQuerySet", "KeyState"]

# The fields accepted by ``ApiKey.change()``.
EDITABLE_FIELDS = ("name", "description", "expires_at", "rate_limit_per_minute", "rate_limit_per_day")
_CHANGING_FIELDS = ("is_active", *EDITABLE_FIELDS)
MAX_GRACE = timedelta(days=7)
# The maximum of an integer column. SQLite would store larger values, but the other databases refuse them.
MAX_LIMIT = 2**31 - 1

HOLDER_ERRORS = {
    True: _("A user key belongs to a user, not to an organization."),
    False: _("A business or publishable key belongs to an organization, not to a user."),
}


def validate_expires_at(expires_at: datetime) -> None:
    """
    Raise ``ValidationError`` for a naive time if ``USE_TZ`` is set, or for a year below 2 or above 9998.

    Converting a time in year 1 or 9999 to another time zone can overflow, and every page listing the key would fail.
    """
    if settings.USE_TZ and timezone.is_naive(expires_at):
        raise ValidationError(_("Add a time zone to this time, as in timezone.now()."), code="naive")
    if not datetime.min.year < expires_at.year < datetime.max.year:
        raise ValidationError(_("Choose a time before the year 9999, or set no expiry."), code="out_of_range")


class ApiKey(AuditedModel):
    """
    An API key, stored as a hash.

    Every request reads the type, holder and limits from this row and not from the text of the key.
    """

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    prefix = models.CharField(_("type"), max_length=3, choices=KeyType.choices)
    name = models.CharField(_("name"), max_length=255, blank=True)
    description = models.CharField(_("description"), max_length=255, blank=True)
    organization = models.ForeignKey(
        Organization,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="api_keys",
        verbose_name=_("organization"),
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="organization_api_keys",
        verbose_name=_("user"),
    )
    hashed_key = models.CharField(max_length=64, editable=False)
    hint = models.CharField(
        _("hint"), max_length=HINT_LENGTH, editable=False, help_text=_("The first characters after the prefix.")
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        editable=False,
        related_name="+",
        verbose_name=_("created by"),
    )
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    is_active = models.BooleanField(_("active"), default=True, help_text=_("A revoked key cannot be activated again."))
    expires_at = models.DateTimeField(_("expires at"), null=True, blank=True, validators=[validate_expires_at])
    # An index would prevent PostgreSQL's heap-only tuple (HOT) updates; this column may change on every request.
    last_used = models.DateTimeField(_("last used"), null=True, blank=True, editable=False)
    rate_limit_per_minute = models.PositiveIntegerField(
        _("requests per minute"), default=0, help_text=_("0 uses the default limit.")
    )
    rate_limit_per_day = models.PositiveIntegerField(
        _("requests per day"), default=0, help_text=_("0 uses the default limit.")
    )
    # The one-to-one relation makes the database refuse a second successor. DO_NOTHING keeps the id of a deleted row:
    # on MariaDB, SET_NULL would first clear the organization of its keys, and the constraint below refuses that.
    rotated_from = models.OneToOneField(
        "self",
        models.DO_NOTHING,
        null=True,
        blank=True,
        editable=False,
        db_constraint=False,
        related_name="successor",
        verbose_name=_("rotated from"),
    )
    # All keys of a rotation chain share this id. Rate limits count by family, so a rotation does not reset the count.
    family = models.UUIDField(default=uuid4, editable=False)

    audited_fields = ("prefix", "hint", "organization", "user", "created_by", "rotated_from", *EDITABLE_FIELDS)
    changed_event = Event.API_KEY_CHANGED

    objects = ApiKeyQuerySet.as_manager()

    class Meta:
        verbose_name = _("API key")
        verbose_name_plural = _("API keys")
        constraints = [
            # ``unique=True`` would create a second index on PostgreSQL.
            models.UniqueConstraint(fields=["hashed_key"], name="closient_auth_apikey_unique_hash"),
            models.CheckConstraint(
                condition=Q(prefix=KeyType.USER, user__isnull=False, organization__isnull=True)
                | Q(
                    prefix__in=[KeyType.BUSINESS, KeyType.PUBLISHABLE],
                    user__isnull=True,
                    organization__isnull=False,
                ),
                name="closient_auth_apikey_one_holder",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.prefix}_{self.hint}… {self.name}".rstrip()

    def clean(self) -> None:
        """Raise ``ValidationError`` if the holder does not fit the type, or a rotated key would expire later."""
        is_user_key = self.prefix == KeyType.USER
        if (self.user_id is not None) != is_user_key or (self.organization_id is None) != is_user_key:
            raise ValidationError(HOLDER_ERRORS[is_user_key], code="holder")
        end = None if self._state.adding else self._get_end(router.db_for_write(type(self), instance=self))
        if end is not None and (self.expires_at is None or self.expires_at > end):
            raise ValidationError({"expires_at": _("You cannot extend a rotated key.")}, code="already_rotated")

    @property
    def state(self) -> KeyState:
        """Return the current state of the key."""
        if not self.is_active:
            return KeyState.REVOKED
        if self.expires_at is not None and self.expires_at <= timezone.now():
            return KeyState.EXPIRED
        if self.user is not None and not self.user.is_active:
            return KeyState.USER_INACTIVE
        return KeyState.ACTIVE

    def change(self, *, by: AbstractBaseUser | None = None, **values: Any) -> None:
        """
        Change some of ``EDITABLE_FIELDS`` on behalf of the user ``by``; ``None`` skips the permission check.

        Raise ``PermissionDenied`` if ``by`` may not manage the key, ``ValidationError`` for an invalid value and
        ``TypeError`` for another field.
        """
        if unknown := values.keys() - set(EDITABLE_FIELDS):
            raise TypeError(f"These fields of an API key cannot be changed: {', '.join(sorted(unknown))}.")
        with managed(self, by, _CHANGING_FIELDS):
            for name, value in values.items():
                setattr(self, name, value)
            self.clean_fields(exclude={field.name for field in self._meta.fields} - values.keys())
            self.clean()
            self.save(update_fields=list(values))

    def rotate(self, *, by: AbstractBaseUser | None = None, grace: timedelta = timedelta(0)) -> tuple[ApiKey, str]:
        """
        Create a successor with the same settings and a new secret. Return the successor and its raw key.

        Without ``grace`` this key is revoked now; otherwise it expires after ``grace`` (up to ``MAX_GRACE``) or at its
        own expiry, if earlier. Raise ``ValidationError`` for an invalid ``grace`` or an inactive or already rotated
        key, and ``PermissionDenied`` if ``by`` may not manage the key.
        """
        if not timedelta(0) <= grace <= MAX_GRACE:
            raise ValidationError(_("The grace period should be between 0 and 7 days."), code="grace")
        with managed(self, by, _CHANGING_FIELDS) as using:
            if self.state != KeyState.ACTIVE:
                raise ValidationError(_("Only an active key can be rotated."), code="not_active")
            if type(self)._base_manager.using(using).filter(rotated_from=self).exists():
                raise ValidationError(_("This key has already been rotated."), code="already_rotated")
            same = {name: getattr(self, name) for name in ("prefix", "organization", "user", *EDITABLE_FIELDS)}
            # End the old key first: an error after the raw key exists could put the raw key into an error report.
            if grace:
                end = timezone.now() + grace
                self.expires_at = min(self.expires_at or end, end)
                self.save(update_fields=["expires_at"])
            else:
                self._revoke(using)
            keys = type(self).objects.using(using)
            return keys.create_key(**same, created_by=by or self.created_by, rotated_from=self)

    def revoke(self, *, by: AbstractBaseUser | None = None) -> bool:
        """
        Revoke the key permanently, from the next request on. Return ``False`` if it was already revoked.

        Raise ``PermissionDenied`` if the user ``by`` may not manage the key.
        """
        with authorized(self, by) as using:
            return self._revoke(using)

    def save(self, *args: Any, **kwargs: Any) -> None:
        """
        Save. A stale instance cannot activate a revoked key or extend a rotated key.

        ``last_used`` is saved only if ``update_fields`` includes it, as a stale instance would move it backwards.
        """
        using = kwargs.get("using") or router.db_for_write(type(self), instance=self)
        if self._state.adding:
            with transaction.atomic(using=using):
                if self.organization_id:
                    lock_row(Organization(pk=self.organization_id), using)
                super().save(*args, **{**kwargs, "force_insert": True})
            return
        deferred = self.get_deferred_fields()
        loaded = {field.name for field in self._meta.concrete_fields if field.attname not in deferred}
        names = kwargs.get("update_fields")
        names = loaded - {"id", "last_used"} if names is None else set(names)
        with transaction.atomic(using=using):
            if "is_active" in names and not self.is_active:
                self._revoke(using)
            elif "is_active" in names:
                self.refresh_from_db(using=using, fields=["is_active"])
            if "expires_at" in names:
                lock_row(self, using)
                end = self._get_end(using)
                self.expires_at = min(self.expires_at or end, end) if end else self.expires_at
            super().save(*args, **{**kwargs, "update_fields": names - {"is_active"}})

    def get_created_event(self) -> Event:
        """Return ``API_KEY_ROTATED`` for the successor of a rotation, else ``API_KEY_CREATED``."""
        return Event.API_KEY_ROTATED if self.rotated_from_id else Event.API_KEY_CREATED

    def _revoke(self, using: str) -> bool:
        # Update one column only: saving a stale instance would undo concurrent changes.
        rows = type(self)._base_manager.using(using).filter(pk=self.pk, is_active=True)
        is_news = bool(rows.update(is_active=False))
        self.is_active = False
        if is_news:
            old, new = {"is_active": True}, {"is_active": False}
            AuditEntry.objects.record(Event.API_KEY_REVOKED, self, using=using, old=old, new=new)
        return is_news

    def _get_end(self, using: str) -> datetime | None:
        # A rotated key with its old expiry would be a second, unnoticed valid key.
        rotated = type(self)._base_manager.using(using).filter(pk=self.pk, successor__isnull=False)
        return rotated.values_list("expires_at", flat=True).first()
