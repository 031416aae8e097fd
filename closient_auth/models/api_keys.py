"""API keys: creating, changing, rotating and revoking them, and the rules about who may do so."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime, timedelta
from types import EllipsisType
from typing import Any
from uuid import UUID, uuid4

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import models, router, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from closient_auth.conf import conf
from closient_auth.keys import HINT_LENGTH, KeyType, generate_api_key, get_hint, hash_api_key
from closient_auth.memberships import get_memberships
from closient_auth.models.actors import By, acting, as_actor
from closient_auth.models.audit import AuditedModel, AuditEntry, Event
from closient_auth.models.key_policies import (
    get_capped_rate_limits,
    get_default_expiry,
    get_successor_expiry,
    limit_permissions,
    require_end_of_predecessor,
    require_no_way_out,
    require_vacancy,
    require_within_maximums,
)
from closient_auth.models.locks import lock_rows
from closient_auth.models.organizations import Organization
from closient_auth.models.people import has_active_user, has_inactive_user, with_users
from closient_auth.models.restrictions import RESTRICTIONS, RestrictedModel
from closient_auth.roles import KEY_RULES, KeyHolder, Permission, get_key_types

# The fields that people can change without a say in what the key may do.
LABELS = ("name", "description")
# The fields accepted by ``ApiKey.change()``.
EDITABLE_FIELDS = (*LABELS, "expires_at", "rate_limit_per_minute", "rate_limit_per_day", *RESTRICTIONS)
# ``clean_fields()`` would look these rows up in a replica.
_RELATIONS = {"organization", "user", "created_by", "rotated_from", "restricted_to"}
MAX_GRACE = timedelta(days=7)
# The maximum of an integer column. SQLite would store larger values, but the other databases refuse them.
MAX_LIMIT = 2**31 - 1

HOLDER_ERRORS = {
    KeyHolder.USER: _("A key of this type belongs to a user, not to an organization."),
    KeyHolder.ORGANIZATION: _("A key of this type belongs to an organization, not to a user."),
}


def validate_expires_at(expires_at: datetime) -> None:
    """Raise ``ValidationError`` for a naive time if ``USE_TZ`` is set, an aware one if not, or a year not in 2 to 9998."""
    if settings.USE_TZ and timezone.is_naive(expires_at):
        raise ValidationError(_("Add a time zone to this time, as in timezone.now()."), code="naive")
    if not settings.USE_TZ and timezone.is_aware(expires_at):
        raise ValidationError(_("Remove the time zone of this time, as USE_TZ is off."), code="aware")
    # Converting a time in year 1 or 9999 to another time zone can overflow, and every page listing the key would fail.
    if not datetime.min.year < expires_at.year < datetime.max.year:
        raise ValidationError(_("Choose a time before the year 9999, or set no expiry."), code="out_of_range")


class KeyState(models.TextChoices):
    """The state of a key. If several reasons apply, the first of revoked, expired and user inactive counts."""

    ACTIVE = "active", _("Active")
    REVOKED = "revoked", _("Revoked")
    EXPIRED = "expired", _("Expired")
    USER_INACTIVE = "user_inactive", _("User inactive")


def is_unused_since(moment: datetime) -> Q:
    """Return the condition of ``ApiKeyQuerySet.unused_since()``."""
    return Q(last_used__lt=moment) | Q(last_used__isnull=True, created_at__lt=moment)


class ApiKeyQuerySet(models.QuerySet["ApiKey"]):
    """The manager and queryset of ``ApiKey``."""

    def create_key(
        self,
        *,
        prefix: str,
        organization: Organization | None = None,
        user: AbstractBaseUser | None = None,
        name: str = "",
        description: str = "",
        created_by: AbstractBaseUser | None = None,
        expires_at: datetime | EllipsisType | None = ...,
        rate_limit_per_minute: int = 0,
        rate_limit_per_day: int = 0,
        permissions: Collection[str] | None = None,
        restricted_to: Organization | None = None,
        allowed_networks: Collection[str] = (),
        allowed_origins: Collection[str] = (),
        id: UUID | None = None,
        rotated_from: ApiKey | None = None,
        by: By = None,
    ) -> tuple[ApiKey, str]:
        """Create a key on behalf of ``by``. Return the row and the raw key; the raw key is not stored anywhere.

        ``csb`` and ``cpk`` keys need ``organization``, ``csu`` keys need ``user``. The limits are numbers of requests;
        0 uses the default. ``created_by`` defaults to the user of ``by``. Without ``expires_at``, the key of a person
        (``by``) has the lifetime of ``KEY_LIFETIME_DAYS``, and any other key does not expire.

        The other arguments take away from what the key may do. ``permissions`` are names, or ``None`` for all of its
        type. ``restricted_to`` is the only organization of a user key. ``allowed_networks`` are networks in CIDR
        notation (RFC 4632). ``allowed_origins`` are origins of web pages (RFC 6454), for publishable keys; they fence in
        browsers and prove nothing. A key that a person creates has at most the permissions of the person.

        Raise ``PermissionDenied`` if ``by`` may not manage the keys of this holder or names a permission that ``by``
        lacks, ``ValidationError`` for an invalid value, an expiry in the past or a value above a maximum in the settings,
        and ``IntegrityError`` for a duplicate ``id``.
        """
        api_key = self.model(  # type: ignore[misc]
            id=id or uuid4(),
            prefix=prefix,
            organization=organization,
            user=user,
            name=name,
            description=description,
            created_by=created_by or (as_actor(by).user if by is not None else None),
            expires_at=get_default_expiry(by) if isinstance(expires_at, EllipsisType) else expires_at,
            rate_limit_per_minute=rate_limit_per_minute,
            rate_limit_per_day=rate_limit_per_day,
            permissions=permissions,
            restricted_to=restricted_to,
            allowed_networks=allowed_networks,
            allowed_origins=allowed_origins,
            shut_out_of=rotated_from.shut_out_of if rotated_from else [],
            rotated_from=rotated_from,
            family=rotated_from.family if rotated_from else uuid4(),
        )
        api_key.clean_fields(exclude=_RELATIONS)
        api_key.clean()
        using = self._db or router.db_for_write(self.model)  # type: ignore[attr-defined]
        require_no_way_out(api_key, by)
        with api_key._authorized(by, using):
            lock_rows(Organization, api_key._get_organization_ids(), using)
            api_key._hold_to_policy(by, EDITABLE_FIELDS, using)
            if rotated_from is None:
                require_vacancy(api_key, by, using)
            api_key.hint, api_key.hashed_key, reveal = _generate(prefix)
            api_key.save(using=using, force_insert=True)
        return api_key, reveal()

    def active(self) -> ApiKeyQuerySet:
        """Return the keys in the state ``ACTIVE``."""
        return self.in_state(KeyState.ACTIVE)

    def in_state(self, state: str) -> ApiKeyQuerySet:
        """Return the keys in this ``KeyState``. Raise ``ValueError`` for an unknown state."""
        revoked = Q(is_active=False)
        expired = Q(expires_at__isnull=False, expires_at__lte=timezone.now())
        state = KeyState(state)
        if state == KeyState.REVOKED:
            return self.filter(revoked)
        if state == KeyState.EXPIRED:
            return self.filter(~revoked & expired)
        user_inactive = has_inactive_user(self)
        return self.filter(~revoked & ~expired, user_inactive if state == KeyState.USER_INACTIVE else ~user_inactive)

    def with_holders(self) -> ApiKeyQuerySet:
        """Load the organizations and users of the keys in the same query, with all that ``ApiKey.state`` needs."""
        keys: ApiKeyQuerySet = with_users(self.select_related("organization"))
        return keys

    def able_in(self, organization: Organization) -> ApiKeyQuerySet:
        """Return the active user keys of the members of an organization, without those restricted to another one.

        The organization may have shut some out: see ``ApiKey.is_shut_out_of()``.
        """
        members = get_memberships().find_users(organization)
        if members is None:
            return self.none()
        anywhere_or_here = Q(restricted_to=None) | Q(restricted_to=organization)
        return self.active().filter(anywhere_or_here, prefix=KeyType.USER, user__in=members.values("pk"))

    def beyond_policy(self) -> ApiKeyQuerySet:
        """Return the keys that live longer than ``MAX_KEY_LIFETIME_DAYS`` allows; none without this setting."""
        days = conf.MAX_KEY_LIFETIME_DAYS
        too_long = Q(expires_at__isnull=True) | Q(expires_at__gt=models.F("created_at") + timedelta(days=days))
        return self.filter(too_long) if days else self.none()

    def unused_since(self, moment: datetime) -> ApiKeyQuerySet:
        """Return the keys last used before ``moment``, and the unused keys created before ``moment``."""
        return self.filter(is_unused_since(moment))

    def revoke(self) -> int:
        """Revoke these keys permanently and return the number of newly revoked keys.

        Each key is revoked in its own transaction. If the database fails, the keys revoked so far stay revoked.
        """
        using = self._db or router.db_for_write(self.model)  # type: ignore[attr-defined]
        # One transaction for all keys could deadlock with the deletion of a user, as it locks the user's keys in
        # another order. The fixed order avoids deadlocks between calls inside transactions of the host project.
        return sum(api_key.revoke() for api_key in self.using(using).filter(is_active=True).order_by("pk"))


# A key has the holder of its type and no other.
_HOLDERS = [
    Q(prefix__in=get_key_types(holder), **{f"{other}__isnull": other != holder for other in KeyHolder})
    for holder in KeyHolder
]


class ApiKey(RestrictedModel, AuditedModel):
    """An API key, stored as a hash.

    Every request reads the type, holder and limits from this row and not from the text of the key.
    """

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    prefix = models.CharField(_("type"), max_length=3, choices=KeyType.choices)
    name = models.CharField(_("name"), max_length=255, blank=True)
    description = models.CharField(_("description"), max_length=255, blank=True)
    organization = models.ForeignKey(
        Organization, models.CASCADE, null=True, blank=True, related_name="api_keys", verbose_name=_("organization")
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="closient_auth_api_keys",
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
    # The time of the last audit entry about a sign of a leak.
    exposure_reported_at = models.DateTimeField(null=True, editable=False)
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
    guarded_fields = RESTRICTIONS

    objects = ApiKeyQuerySet.as_manager()

    class Meta:
        verbose_name = _("API key")
        verbose_name_plural = _("API keys")
        constraints = [
            # ``unique=True`` would create a second index on PostgreSQL.
            models.UniqueConstraint(fields=["hashed_key"], name="closient_auth_apikey_unique_hash"),
            models.CheckConstraint(condition=Q(*_HOLDERS, _connector=Q.OR), name="closient_auth_apikey_one_holder"),
            models.CheckConstraint(
                condition=Q(restricted_to__isnull=True) | Q(prefix__in=get_key_types(KeyHolder.USER)),
                name="closient_auth_apikey_restricted_user_key",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.prefix}_{self.hint}… {self.name}".rstrip()

    def clean(self) -> None:
        # ``clean_fields()`` and the database refuse an unknown type.
        rules = KEY_RULES.get(self.prefix)
        if rules and {name for name in KeyHolder if getattr(self, f"{name}_id") is not None} != {rules.holder}:
            raise ValidationError(HOLDER_ERRORS[rules.holder], code="holder")
        if rules:
            self.validate_restrictions(rules)
        # An expired key can still be changed, but only extended within the rules.
        self.validate_expiry(self.expires_at, may_be_past=not self._state.adding)

    def validate_expiry(self, expires_at: datetime | None, *, may_be_past: bool = False) -> None:
        """Raise ``ValidationError`` if ``expires_at`` is not in the future, or is later than the end of a rotated key."""
        end = None if self._state.adding else self._get_end(router.db_for_write(type(self), instance=self))
        if expires_at is not None and expires_at <= timezone.now() and not may_be_past:
            error = ValidationError(_("Choose a time in the future, or set no expiry."), code="past")
        elif end is not None and (expires_at is None or expires_at > end):
            error = ValidationError(_("You cannot extend a rotated key."), code="already_rotated")
        else:
            return
        raise ValidationError({"expires_at": error})

    @property
    def state(self) -> KeyState:
        """Return the current state of the key."""
        return self.get_state(timezone.now())

    def get_state(self, moment: datetime) -> KeyState:
        """Return the state of the key, with its expiry judged at ``moment``."""
        if not self.is_active:
            return KeyState.REVOKED
        if self.expires_at is not None and self.expires_at <= moment:
            return KeyState.EXPIRED
        if self.user_id is not None and not has_active_user(self):
            return KeyState.USER_INACTIVE
        return KeyState.ACTIVE

    def change(self, *, by: By = None, **values: Any) -> None:
        """Change some of ``EDITABLE_FIELDS`` on behalf of ``by``; ``None`` skips the permission check.

        If ``by`` changes more than the name and the description, the key has at most the permissions of ``by``
        afterwards. Raise ``PermissionDenied`` if ``by`` may not manage the key or names a permission that ``by`` lacks,
        ``ValidationError`` for an invalid value, an expiry that ``validate_expiry()`` refuses or a value above a maximum
        in the settings, and ``TypeError`` for another field.
        """
        if unknown := values.keys() - set(EDITABLE_FIELDS):
            raise TypeError(f"These fields of an API key cannot be changed: {', '.join(sorted(unknown))}.")
        if set(values) - set(LABELS):
            require_no_way_out(self, by)
        with self._managed(by, values.get("restricted_to")) as using:
            was_active = self.state == KeyState.ACTIVE
            for name, value in values.items():
                setattr(self, name, value)
            others = {field.name for field in self._meta.fields} - values.keys()
            self.clean_fields(exclude=others | _RELATIONS)
            self.validate_restrictions(KEY_RULES[self.prefix], values.keys())
            if "expires_at" in values:
                self.validate_expiry(self.expires_at)
            self._hold_to_policy(by, values.keys(), using)
            if not was_active and self.state == KeyState.ACTIVE:
                require_vacancy(self, by, using)
            # The policy may take permissions away.
            self.save(update_fields={*values, "permissions"})

    def rotate(
        self,
        *,
        by: By = None,
        grace: timedelta = timedelta(0),
        expires_at: datetime | EllipsisType | None = ...,
        created_by: AbstractBaseUser | None = None,
    ) -> tuple[ApiKey, str]:
        """Create a successor with the same settings and a new secret. Return the successor and its raw key.

        Without ``grace`` this key is revoked now; otherwise it expires after ``grace`` (up to ``MAX_GRACE``) or at its
        own expiry, if earlier. ``expires_at`` is the expiry of the successor, by default that of this key, and for a
        person at most what ``MAX_KEY_LIFETIME_DAYS`` allows. The successor has at most the permissions of ``by``, and is
        not above the other maximums in the settings. ``created_by`` defaults to the user of ``by``, or else to the creator
        of this key.

        Raise ``ValidationError`` for an invalid ``grace`` or ``expires_at``, or an inactive or already rotated key, and
        ``PermissionDenied`` if ``by`` may not manage the key.
        """
        if not timedelta(0) <= grace <= MAX_GRACE:
            raise ValidationError(_("The grace period should be between 0 and 7 days."), code="grace")
        require_no_way_out(self, by)
        with self._managed(by) as using:
            if self.state != KeyState.ACTIVE:
                raise ValidationError(_("Only an active key can be rotated."), code="not_active")
            if type(self)._base_manager.using(using).filter(rotated_from=self).exists():
                raise ValidationError(_("This key has already been rotated."), code="already_rotated")
            same = {name: getattr(self, name) for name in ("prefix", "organization", "user", *EDITABLE_FIELDS)}
            same["permissions"] = limit_permissions(self, by)
            same["expires_at"] = get_successor_expiry(self, by, expires_at)
            same.update(get_capped_rate_limits(self, by))
            creator = created_by or (as_actor(by).user if by is not None else self.created_by)
            # End the old key first: an error after the raw key exists could put the raw key into an error report.
            if grace:
                require_end_of_predecessor(self, by, using)
                end = timezone.now() + grace
                self.expires_at = min(self.expires_at or end, end)
                self.save(update_fields=["expires_at"])
            else:
                self._revoke(using)
            return type(self).objects.using(using).create_key(**same, created_by=creator, rotated_from=self)

    def revoke(self, *, by: By = None) -> bool:
        """Revoke the key permanently, from the next request on. Return ``False`` if it was already revoked.

        Raise ``PermissionDenied`` if ``by`` may not manage the key.
        """
        using = router.db_for_write(type(self), instance=self)
        with self._authorized(by, using):
            return self._revoke(using)

    def shut_out(self, organization: Organization, *, by: By = None) -> None:
        """Refuse this user key in an organization from the next request on. The key works elsewhere as before.

        A successor is shut out as well. Raise ``PermissionDenied`` if ``by`` may not manage the keys of the organization.
        """
        self._set_shut_out(organization, True, by)

    def let_in(self, organization: Organization, *, by: By = None) -> None:
        """Accept this user key in an organization again. Raise the same errors as ``shut_out()``."""
        self._set_shut_out(organization, False, by)

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save. A stale instance does not activate a revoked key, extend a rotated key or move ``last_used`` back."""
        using = kwargs.get("using") or router.db_for_write(type(self), instance=self)
        if self._state.adding:
            if not self.hashed_key:
                raise ValueError("This API key has no hash. Create keys with ApiKey.objects.create_key().")
            with transaction.atomic(using=using):
                lock_rows(Organization, self._get_organization_ids(), using)
                super().save(*args, **{**kwargs, "force_insert": True})
            return
        names = kwargs.get("update_fields")
        kept = {"id", "last_used", "exposure_reported_at", "shut_out_of"}
        names = self.get_fields_to_save() - kept if names is None else set(names)
        with transaction.atomic(using=using):
            if "is_active" in names and not self.is_active:
                self._revoke(using)
            elif "is_active" in names:
                self.refresh_from_db(using=using, fields=["is_active"])
            if "expires_at" in names:
                lock_rows(type(self), [self.pk], using)
                end = self._get_end(using)
                self.expires_at = min(self.expires_at or end, end) if end else self.expires_at
            super().save(*args, **{**kwargs, "update_fields": names - {"is_active"}})

    @property
    def created_event(self) -> Event:  # type: ignore[override]
        return Event.API_KEY_ROTATED if self.rotated_from_id else Event.API_KEY_CREATED

    @contextmanager
    def _authorized(self, by: By, using: str) -> Iterator[None]:
        """Open a transaction, and check under the organization's lock if ``by`` may manage the keys of this holder."""
        lock: AbstractContextManager[None] = nullcontext()
        if by is not None and self.organization is not None:
            lock = self.organization.authorize(by, Permission.MANAGE_API_KEYS)
        elif by is not None and not as_actor(by).is_user(self.user_id):
            raise PermissionDenied(_("This API key belongs to another user."))
        with transaction.atomic(using=using), lock, acting(by):
            yield

    def _get_organization_ids(self) -> list[UUID]:
        """Return the organizations that the row names. Whoever deletes one of them deletes the key as well."""
        return [pk for pk in (self.organization_id, self.restricted_to_id) if pk is not None]

    @contextmanager
    def _managed(self, by: By, restricted_to: Organization | None = None) -> Iterator[str]:
        using = router.db_for_write(type(self), instance=self)
        with self._authorized(by, using):
            # The organizations first, as everywhere: the successor of a rotation locks them too.
            others = [] if restricted_to is None else [restricted_to.pk]
            lock_rows(Organization, [*self._get_organization_ids(), *others], using)
            self._read_locked(["is_active", "shut_out_of", *EDITABLE_FIELDS], using)
            yield using

    def _read_locked(self, names: list[str], using: str) -> None:
        """Lock the row and read these fields again, as a concurrent request may have changed them."""
        lock_rows(type(self), [self.pk], using)
        self.refresh_from_db(fields=names, from_queryset=type(self)._base_manager.using(using).select_for_update())

    def _hold_to_policy(self, by: By, names: Collection[str], using: str) -> None:
        # The name and the description say nothing about what the key may do.
        if set(names) - set(LABELS):
            require_within_maximums(self, by, names, using)
            self.permissions = limit_permissions(self, by, are_chosen="permissions" in names)

    def _set_shut_out(self, organization: Organization, is_shut_out: bool, by: By) -> None:
        if self.user_id is None:
            raise ValidationError(_("Only a user key can be shut out. Revoke this key instead."), code="not_a_user_key")
        using = router.db_for_write(type(self), instance=self)
        with organization.authorize(by, Permission.MANAGE_API_KEYS):
            changed = [key._write_shut_out(organization, is_shut_out, using) for key in self._lock_rotations(using)]
            self.refresh_from_db(using=using, fields=["shut_out_of"])
            if not any(changed):
                return
            event = Event.API_KEY_SHUT_OUT if is_shut_out else Event.API_KEY_LET_IN
            # The entry belongs to the organization, whose members see it; the name of the key is its user's own.
            target = f"{self.prefix}_{self.hint}…"
            AuditEntry.objects.record(event, self, using=using, organization_id=organization.pk, target=target)

    def _lock_rotations(self, using: str) -> Iterator[ApiKey]:
        """Lock and yield this key, those that it replaced and those that replace it, from the first to the last.

        A rotation at the same moment holds the lock of the last key, so its successor is found as well.
        """
        rows = type(self)._base_manager.using(using)
        first = self
        while first.rotated_from_id is not None and (before := rows.filter(pk=first.rotated_from_id).first()):
            first = before
        key: ApiKey | None = first
        while key is not None:
            lock_rows(type(self), [key.pk], using)
            # A plain read on InnoDB could see an old snapshot.
            yield rows.select_for_update().get(pk=key.pk)
            key = rows.select_for_update().filter(rotated_from=key.pk).first()

    def _write_shut_out(self, organization: Organization, is_shut_out: bool, using: str) -> bool:
        """Return whether this changed the row."""
        if self.is_shut_out_of(organization) == is_shut_out:
            return False
        others = [pk for pk in self.shut_out_of if pk != str(organization.pk)]
        others = [*others, str(organization.pk)] if is_shut_out else others
        return bool(type(self)._base_manager.using(using).filter(pk=self.pk).update(shut_out_of=others))

    def _revoke(self, using: str) -> bool:
        # Update one column only: saving a stale instance would undo concurrent changes.
        rows = type(self)._base_manager.using(using).filter(pk=self.pk, is_active=True)
        # The first use of the revoked key is news, also after a report about the active one.
        is_news = bool(rows.update(is_active=False, exposure_reported_at=None))
        self.is_active = False
        if is_news:
            old, new = {"is_active": True}, {"is_active": False}
            AuditEntry.objects.record(Event.API_KEY_REVOKED, self, using=using, old=old, new=new)
        return is_news

    def _get_end(self, using: str) -> datetime | None:
        # A rotated key with a later expiry would be a second, unnoticed valid key.
        rotated = type(self)._base_manager.using(using).filter(pk=self.pk, successor__isnull=False)
        return rotated.values_list("expires_at", flat=True).first()


def _generate(prefix: str) -> tuple[str, str, Callable[[], str]]:
    """Return the hint, the hash and a function for the raw key, to keep it out of the error report of a failed save."""
    raw_key = generate_api_key(prefix)
    return get_hint(raw_key), hash_api_key(raw_key), lambda: raw_key
