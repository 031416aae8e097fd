"""The last-owner rule: every organization keeps at least one active Owner.

Every change or deletion of a membership in this package goes through ``Organization.keep_owner()`` or ``OwnerGuard``.
"""

from collections.abc import Iterable
from typing import Any, Self
from uuid import UUID

from django.db import connections, models
from django.utils.translation import gettext

from closient_auth.memberships import get_memberships
from closient_auth.models.locks import is_held, lock_rows
from closient_auth.models.people import get_users, has_active_user, with_users
from closient_auth.roles import Role


class LastOwnerError(models.ProtectedError):
    """An organization would lose its last active Owner; ``organizations`` are those that would.

    Django's admin and many projects already handle ``ProtectedError`` for refused deletions.
    """

    def __init__(self, memberships: Iterable[Any] = (), organizations: Iterable[Any] = ()) -> None:
        last = set(memberships)
        super().__init__(gettext("An organization must keep at least one active Owner."), last)
        found = {*organizations, *(membership.organization for membership in last)}
        self.organizations = sorted(found, key=lambda organization: (organization.name, organization.pk))

    @classmethod
    def find_in(cls, error: Exception) -> Self | None:
        """Return the ``LastOwnerError`` in an error, or ``None``.

        If the deletion of a user fails, Django merges it with the other protected objects into a plain ``ProtectedError``.
        """
        if isinstance(error, cls):
            return error
        protected: Any = error.protected_objects if isinstance(error, models.ProtectedError) else ()
        # No other rule protects a membership.
        last = [row for row in protected if row._meta.label == "closient_auth.Membership"]
        return cls(last) if last else None

    def __str__(self) -> str:
        return str(self.args[0])


class OwnerGuard:
    """Lock the organization's row; ``check()`` later compares the Owners. Create the guard inside a transaction."""

    def __init__(self, organization: Any, using: str) -> None:
        self.organization, self.using = organization, using
        # Without this lock, two Owners demoting each other left no Owner in every test; locks on their two membership
        # rows did not help. Only a lock on one shared row serialises the two changes.
        lock_rows(type(organization), [organization.pk], using)
        self.owners = organization.memberships.using(using).filter(role=Role.OWNER)
        # A locking read sees committed rows; a plain read on InnoDB (REPEATABLE READ) would see an old snapshot. On a
        # small table InnoDB locks rows of other organizations too, so SKIP LOCKED avoids deadlocks with their changes.
        # An Owner locked by other code is not counted; the change is then refused.
        skip_locked = connections[using].features.has_select_for_update_skip_locked
        self.owners_now = self.owners.select_for_update(skip_locked=skip_locked)
        # A project with members of its own has its own rule.
        uses_roles = get_memberships().uses_roles
        self.had_owner = uses_roles and (self._has_active(self.owners) or self._has_active(self.owners_now))

    def check(self) -> None:
        """Raise ``LastOwnerError`` if the organization still exists and has lost its last active Owner."""
        rows = type(self.organization)._base_manager.using(self.using).filter(pk=self.organization.pk)
        if self.had_owner and not self._has_active(self.owners_now) and rows.exists():
            raise LastOwnerError(organizations=[self.organization])

    def _has_active(self, owners: models.QuerySet[Any]) -> bool:
        user_ids = list(owners.values_list("user_id", flat=True))
        # Check in Python, as a custom user model may compute ``is_active``.
        return any(user.is_active for user in get_users(self.using).filter(pk__in=user_ids))


def cascade_unless_last_owner(collector: Any, field: Any, sub_objs: models.QuerySet[Any], using: str) -> None:
    """Delete the memberships of deleted users (``on_delete``). Raise ``LastOwnerError`` for the last active Owners."""
    # Django merges the error with other protected objects into a plain ``ProtectedError``; the admin shows it before
    # the deletion. No row is locked yet, so ``OwnerGuard`` repeats the check during the deletion.
    members = with_users(sub_objs.select_related("organization"))
    going = {membership.pk for membership in members}
    last = [member for member in members if not is_held(member.organization, using) and _is_last(member, going)]
    if last:
        raise LastOwnerError(last)
    models.CASCADE(collector, field, sub_objs, using)
    # Django deletes the memberships one by one. Give each the sorted ids of all organizations, so ``guard_owners()``
    # can lock them in a fixed order, whichever membership is first.
    organization_ids = sorted(membership.organization_id for membership in sub_objs)
    for membership in sub_objs:
        membership._left_together = organization_ids


def _is_last(membership: Any, going: set[UUID]) -> bool:
    is_owner = get_memberships().uses_roles and membership.role == Role.OWNER
    if not is_owner or not has_active_user(membership):
        return False
    owners = membership.organization.memberships.using(membership._state.db).filter(role=Role.OWNER)
    return not any(has_active_user(other) for other in with_users(owners.exclude(pk__in=going)))
