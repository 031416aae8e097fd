"""The names of users, and which users are active: those with ``is_active`` that the default manager of the user model finds.

A project may delete users softly: the row stays, and the default manager hides it. Django's sessions ignore such a user.
"""

from collections.abc import Iterable
from typing import Any

from django.contrib.auth import get_user_model
from django.db import models, router
from django.db.models import Exists, OuterRef, Q

# The annotation of ``with_users()``.
FOUND = "_closient_auth_user_found"


def get_full_name(user: Any) -> str:
    """Return the full name of a user, or an empty text. A custom user model may have none."""
    return str(getattr(user, "get_full_name", str)())


def get_person_name(user: Any) -> str:
    """Return the full name of a user, or else the username."""
    return get_full_name(user) or str(user.get_username())


def may_hide_users() -> bool:
    """Return whether the default manager may hide users. If not, nobody has to ask the database."""
    get_queryset: Any = get_user_model()._default_manager.get_queryset
    return getattr(get_queryset, "__func__", None) is not models.Manager.get_queryset


def get_users(using: str | None) -> models.QuerySet[Any]:
    """Return the users that the default manager finds now. Managers may depend on the time or the thread."""
    return get_user_model()._default_manager.using(using)


def is_active(user: Any) -> bool:
    """Return whether this user is active."""
    if not user.is_active or not may_hide_users():
        return bool(user.is_active)
    # A lagging replica would still find a deleted user.
    return get_users(router.db_for_write(get_user_model(), instance=user)).filter(pk=user.pk).exists()


def filter_active(users: Iterable[Any], using: str) -> list[Any]:
    """Return the active ones of these users, in the same order, with at most one query."""
    active = [user for user in users if user.is_active]
    if not may_hide_users():
        return active
    found = set(get_users(using).filter(pk__in=[user.pk for user in active]).values_list("pk", flat=True))
    return [user for user in active if user.pk in found]


def with_users(rows: Any) -> Any:
    """Load the users of rows, such as keys or memberships, with what ``has_active_user()`` needs, in the query of the rows."""
    rows = rows.select_related("user")
    return rows.annotate(**{FOUND: _is_found(rows)}) if may_hide_users() else rows


def has_active_user(row: Any) -> bool:
    """Return whether the user of a row is active. This takes no query for the rows of ``with_users()``."""
    # ``refresh_from_db()`` forgets the user, but not the annotation.
    found = vars(row).get(FOUND) if row._meta.get_field("user").is_cached(row) else None
    user = row.user
    if user is None or found is None:
        return user is not None and is_active(user)
    return bool(user.is_active and found)


def has_inactive_user(rows: models.QuerySet[Any]) -> Q:
    """Return the condition for those of ``rows`` that have a user, but no active one."""
    user_model = get_user_model()
    if any(field.name == "is_active" for field in user_model._meta.concrete_fields):
        inactive = Q(user__isnull=False, user__is_active=False)
    else:
        # A user model without this column computes ``is_active`` in Python.
        user_ids = rows.order_by().filter(user__isnull=False).values("user")
        users = user_model._base_manager.using(rows.db).filter(pk__in=user_ids)
        inactive = Q(user__in=[user.pk for user in users.iterator() if not user.is_active])
    return inactive | Q(~_is_found(rows), user__isnull=False) if may_hide_users() else inactive


def _is_found(rows: models.QuerySet[Any]) -> Exists:
    return Exists(get_users(rows.db).filter(pk=OuterRef("user")))
