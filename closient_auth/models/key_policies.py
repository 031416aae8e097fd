"""What people may grant with the API keys that they create, change and rotate.

The rules bind the actors of ``by=``. Trusted code (``by=None``), and staff in the admin with the permission ``add_apikey``, may
grant everything.
"""

from collections.abc import Collection
from datetime import datetime, timedelta
from types import EllipsisType
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied, ValidationError
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from closient_auth.conf import conf
from closient_auth.memberships import get_memberships
from closient_auth.models.actors import By, get_restricted_key
from closient_auth.models.restrictions import MalformedError, read_permissions
from closient_auth.roles import KEY_RULES, Role, get_role_permissions

# The maximum of a lifetime in days (about 100 years). Adding more could overflow ``datetime``.
MAX_DAYS = 36_500


def require_no_way_out(api_key: Any, by: By) -> None:
    """Raise ``PermissionDenied`` if ``by`` is a restricted API key that could make ``api_key`` able to do more.

    ``limit_permissions()`` limits the keys of an organization, but nothing would limit the networks of what the key creates,
    nor the user keys of its user.
    """
    restricted = get_restricted_key(by)
    if restricted is not None and (api_key.organization_id is None or restricted.allowed_networks != []):
        raise PermissionDenied(_("A restricted API key cannot do this."))


def get_default_expiry(by: By) -> datetime | None:
    """Return the expiry of a new key for which ``by`` chose none."""
    days = [days for days in (conf.KEY_LIFETIME_DAYS, conf.MAX_KEY_LIFETIME_DAYS) if days]
    return timezone.now() + timedelta(days=min(days)) if days and by is not None else None


def get_successor_expiry(api_key: Any, by: By, expires_at: datetime | EllipsisType | None) -> datetime | None:
    """Return the expiry of the successor of a rotated key. Raise ``ValidationError`` if ``by`` chose a late one."""
    chosen: datetime | None = api_key.expires_at if isinstance(expires_at, EllipsisType) else expires_at
    last = None if by is None else _get_last_expiry(timezone.now())
    if last is None or (chosen is not None and chosen <= last):
        return chosen
    if not isinstance(expires_at, EllipsisType):
        raise _too_late(_("Choose a time before %(last)s (%(days)d days)."), last)
    return last


def require_within_maximums(api_key: Any, by: By, names: Collection[str], using: str) -> None:
    """Raise ``ValidationError`` if one of these fields has a value that ``by`` may not choose."""
    if by is None:
        return
    last = _get_last_expiry(api_key.created_at or timezone.now())
    if "expires_at" in names and last is not None and (api_key.expires_at is None or api_key.expires_at > last):
        message = _("Choose a time before %(last)s (%(days)d days after the creation of the key).")
        if not api_key._state.adding:
            message = _(
                "Choose a time before %(last)s, or rotate the key with a new expiry: it may live for %(days)d days."
            )
        raise _too_late(message, last)
    for name, maximum in get_max_rate_limits().items():
        if name in names and maximum and getattr(api_key, name) > maximum:
            message = _("The highest limit is %(maximum)d requests.")
            raise ValidationError({name: ValidationError(message, code="ceiling", params={"maximum": maximum})})
    organization = api_key.restricted_to if "restricted_to" in names else None
    if organization is not None and get_memberships().find_member(api_key.user, organization) is None:
        message = _("The user of the key is not a member of this organization.")
        raise ValidationError({"restricted_to": ValidationError(message, code="not_a_member")})


def get_max_rate_limits() -> dict[str, int]:
    """Return the maximum of each limit of a key; 0 means no maximum."""
    return {
        "rate_limit_per_minute": conf.MAX_RATE_LIMIT_PER_MINUTE,
        "rate_limit_per_day": conf.MAX_RATE_LIMIT_PER_DAY,
    }


def get_capped_rate_limits(api_key: Any, by: By) -> dict[str, int]:
    """Return the limits of the successor of a rotated key: those of the key, but for ``by`` not above the maximums."""
    maximums = {} if by is None else get_max_rate_limits()
    return {name: min(getattr(api_key, name), maximum) for name, maximum in maximums.items() if maximum}


def require_vacancy(api_key: Any, by: By, using: str) -> None:
    """Raise ``ValidationError`` if ``by`` may not create one more key for the holder (``MAX_ACTIVE_KEYS``)."""
    maximum = conf.MAX_ACTIVE_KEYS
    if by is None or not maximum:
        return
    if api_key.user_id is not None:
        # The organization of another key is locked already. Two requests must not both see the last vacancy.
        list(get_user_model()._base_manager.using(using).select_for_update().filter(pk=api_key.user_id).values("pk"))
    keys = type(api_key).objects.using(using).active().exclude(pk=api_key.pk)
    if keys.filter(organization=api_key.organization_id, user=api_key.user_id).count() >= maximum:
        message = _("The highest number of active keys is %(maximum)d. Revoke one first.")
        raise ValidationError(message, code="too_many_keys", params={"maximum": maximum})


def require_end_of_predecessor(api_key: Any, by: By, using: str) -> None:
    """Raise ``ValidationError`` if the rotation of a key would leave two older keys active (``MAX_ACTIVE_KEYS``)."""
    if by is None or not conf.MAX_ACTIVE_KEYS or api_key.rotated_from_id is None:
        return
    if type(api_key).objects.using(using).active().filter(pk=api_key.rotated_from_id).exists():
        message = _("The key before this one still works. Wait for its end, or rotate without a grace period.")
        raise ValidationError(message, code="still_rotating")


def limit_permissions(api_key: Any, by: By, *, are_chosen: bool = False) -> list[str] | None:
    """Return the permissions of a key of an organization without those that ``by`` lacks there.

    ``are_chosen`` says that ``by`` named them: then raise ``PermissionDenied`` if ``by`` lacks one. Owners are not limited.
    Call this under the lock of the organization.
    """
    chosen: list[str] | None = api_key.permissions
    get_all = KEY_RULES[api_key.prefix].get_permissions
    # A user key never has more than the role of its user, at each request.
    if by is None or get_all is None or _is_malformed(chosen):
        return chosen
    own: frozenset[str]
    rank, own = api_key.organization.require_standing(by)
    # The key of an Owner may lack some.
    if rank == Role.OWNER and own >= get_role_permissions(rank):
        return chosen
    if chosen is None:
        # What a project adds later must not reach a key whose maker may not have it.
        return None if get_all() <= own and get_memberships().uses_roles else sorted(get_all() & own)
    if are_chosen and (lacking := sorted(set(chosen) - own)):
        raise PermissionDenied(_("You do not have these permissions: %s.") % ", ".join(lacking))
    return [name for name in chosen if name in own]


def _is_malformed(permissions: object) -> bool:
    # Such a key is refused, and an innocent change must not make it work.
    try:
        read_permissions(permissions)
    except MalformedError:
        return True
    return False


def _get_last_expiry(created_at: datetime) -> datetime | None:
    days = conf.MAX_KEY_LIFETIME_DAYS
    return created_at + timedelta(days=days) if days else None


def _too_late(message: Any, last: datetime) -> ValidationError:
    params = {"days": conf.MAX_KEY_LIFETIME_DAYS, "last": last.isoformat(timespec="minutes")}
    return ValidationError({"expires_at": ValidationError(message, code="lifetime", params=params)})
