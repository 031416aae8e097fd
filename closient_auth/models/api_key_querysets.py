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
    """Whether a key is accepted, and if not, why: the first reason that holds."""

    ACTIVE = "active", _("Active")
    REVOKED = "revoked", _("Revoked")
    EXPIRED = "expired", _("Expired")
    USER_INACTIVE = "user_inactive", _("User inactive")


class ApiKeyQuerySet(models.QuerySet["ApiKey"]):
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
        Create a key and return it with its raw text, which exists nowhere else and cannot be had again.

        ``csb`` and ``cpk`` keys need ``organization``, ``csu`` keys ``user``; limits are requests, 0 takes the default.
        Raise ``ValidationError`` where a value cannot be, ``IntegrityError`` for an ``id`` that is taken.
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
        """Return the keys that are accepted now."""
        return self.in_state(KeyState.ACTIVE)

    def in_state(self, state: str) -> ApiKeyQuerySet:
        """Return the keys in one ``KeyState``, as ``ApiKey.state`` tells it of one key."""
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
        # Without such a column the model computes it, which only Python can.
        holders = self.order_by().filter(user__isnull=False).values("user")
        users = user_model._base_manager.using(self.db).filter(pk__in=holders)
        return Q(user__in=[user.pk for user in users.iterator() if not user.is_active])

    def unused_since(self, moment: datetime) -> ApiKeyQuerySet:
        """Return the keys last used before this; one that was never used has been unused since it was made."""
        return self.filter(Q(last_used__lt=moment) | Q(last_used__isnull=True, created_at__lt=moment))

    def revoke(self) -> int:
        """
        Refuse these keys from the next request on, for good; return how many were not revoked already.

        Each by itself: where the database fails amid many, those that are revoked stay so.
        """
        using = self._db or router.db_for_write(self.model)  # type: ignore[attr-defined]
        # No transaction around them, since who deletes a user locks the keys of theirs in an order of their own. One order
        # all the same, for those within a transaction of the host's.
        return sum(api_key.revoke() for api_key in self.using(using).filter(is_active=True).order_by("pk"))


def _generate(prefix: str) -> tuple[str, str, Callable[[], str]]:
    """Return hint, hash and what tells the raw text: a variable that held it would be in the report of a failed save."""
    raw_key = generate_api_key(prefix)
    return get_hint(raw_key), hash_api_key(raw_key), lambda: raw_key
