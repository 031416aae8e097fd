"""Create, filter and revoke API keys."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import models, router
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from closient_auth.keys import generate_api_key, get_hint, hash_api_key
from closient_auth.models.organizations import Organization

if TYPE_CHECKING:
    from closient_auth.models.api_keys import ApiKey


class KeyState(models.TextChoices):
    """The state of a key. If several reasons apply, the first of revoked, expired and user inactive counts."""

    ACTIVE = "active", _("Active")
    REVOKED = "revoked", _("Revoked")
    EXPIRED = "expired", _("Expired")
    USER_INACTIVE = "user_inactive", _("User inactive")


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
        expires_at: datetime | None = None,
        rate_limit_per_minute: int = 0,
        rate_limit_per_day: int = 0,
        id: UUID | None = None,
        rotated_from: ApiKey | None = None,
    ) -> tuple[ApiKey, str]:
        """
        Create a key. Return the row and the raw key; the raw key is not stored and cannot be read again.

        ``csb`` and ``cpk`` keys need ``organization``, ``csu`` keys need ``user``. The limits are numbers of requests;
        0 uses the default. Raise ``ValidationError`` for an invalid value, ``IntegrityError`` for a duplicate ``id``.
        """
        api_key = self.model(  # type: ignore[misc]
            id=id or uuid4(),
            prefix=prefix,
            organization=organization,
            user=user,
            name=name,
            description=description,
            created_by=created_by,
            expires_at=expires_at,
            rate_limit_per_minute=rate_limit_per_minute,
            rate_limit_per_day=rate_limit_per_day,
            rotated_from=rotated_from,
            family=rotated_from.family if rotated_from else uuid4(),
        )
        api_key.clean_fields(exclude={"organization", "user", "created_by", "rotated_from"})
        api_key.clean()
        api_key.hint, api_key.hashed_key, reveal = _generate(prefix)
        api_key.save(using=self._db, force_insert=True)  # type: ignore[attr-defined]
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
        user_inactive = self._user_inactive()
        return self.filter(~revoked & ~expired, user_inactive if state == KeyState.USER_INACTIVE else ~user_inactive)

    def _user_inactive(self) -> Q:
        user_model = get_user_model()
        if any(field.name == "is_active" for field in user_model._meta.concrete_fields):
            return Q(user__isnull=False, user__is_active=False)
        # A user model without this column computes ``is_active`` in Python.
        holders = self.order_by().filter(user__isnull=False).values("user")
        users = user_model._base_manager.using(self.db).filter(pk__in=holders)
        return Q(user__in=[user.pk for user in users.iterator() if not user.is_active])

    def unused_since(self, moment: datetime) -> ApiKeyQuerySet:
        """Return the keys last used before ``moment``, and the unused keys created before ``moment``."""
        return self.filter(Q(last_used__lt=moment) | Q(last_used__isnull=True, created_at__lt=moment))

    def revoke(self) -> int:
        """
        Revoke these keys permanently and return the number of newly revoked keys.

        Each key is revoked in its own transaction. If the database fails, the keys revoked so far stay revoked.
        """
        using = self._db or router.db_for_write(self.model)  # type: ignore[attr-defined]
        # One transaction for all keys could deadlock with the deletion of a user, as it locks the user's keys in
        # another order. The fixed order avoids deadlocks between calls inside transactions of the host project.
        return sum(api_key.revoke() for api_key in self.using(using).filter(is_active=True).order_by("pk"))


def _generate(prefix: str) -> tuple[str, str, Callable[[], str]]:
    """Return the hint, the hash and a function for the raw key, to keep it out of the error report of a failed save."""
    raw_key = generate_api_key(prefix)
    return get_hint(raw_key), hash_api_key(raw_key), lambda: raw_key
