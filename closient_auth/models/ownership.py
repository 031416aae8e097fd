"""
The last-owner rule: an organization that goes on keeps at least one active Owner.

Every way of this package to change, remove or cascade away a membership passes through ``keep_owner`` or ``OwnerGuard``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.contrib.auth import get_user_model
from django.db import connections, models, transaction

from closient_auth.roles import Role

if TYPE_CHECKING:
    from closient_auth.models.api_keys import ApiKey
    from closient_auth.models.memberships import Membership
    from closient_auth.models.organizations import Organization

_held: ContextVar[frozenset[tuple[str, UUID]]] = ContextVar("closient_auth_owner_guards", default=frozenset())


class LastOwnerError(models.ProtectedError):
    """
    Raised where an organization that goes on would lose its last active Owner.

    As a ``ProtectedError`` it is what Django's admin and many hosts already expect of a deletion that must not happen.
    """

    def __init__(self, memberships: Iterable[Membership] = ()) -> None:
        super().__init__("An organization must keep at least one active Owner.", set(memberships))

    def __str__(self) -> str:
        return str(self.args[0])


class OwnerGuard:
    """
    Locks the organization's row when made, inside a transaction; ``check`` judges what has changed since.

    Two Owners who demote each other left no Owner in every try with no lock, and in every try with a lock on the
    memberships' own rows: only a lock that both need serialises them.
    """

    def __init__(self, organization: Organization, using: str) -> None:
        self.organization, self.using = organization, using
        lock_row(organization, using)
        self.owners = organization.memberships.using(using).filter(role=Role.OWNER)
        # A read that locks sees what is committed, where InnoDB's REPEATABLE READ would show an old snapshot. But where
        # InnoDB reads a small table whole, it would wait for what others write of other organizations, and they for
        # this. An Owner whose row somebody locks behind our back is not counted, which refuses.
        skip_locked = connections[using].features.has_select_for_update_skip_locked
        self.owners_now = self.owners.select_for_update(skip_locked=skip_locked)
        self.had_owner = self._has_active(self.owners) or self._has_active(self.owners_now)

    def check(self) -> None:
        """Raise ``LastOwnerError`` if there was an active Owner and there is none now."""
        if self.had_owner and not self._has_active(self.owners_now) and self._goes_on():
            raise LastOwnerError

    def _has_active(self, owners: models.QuerySet[Membership]) -> bool:
        user_ids = list(owners.values_list("user_id", flat=True))
        # In Python, since a custom user model may compute ``is_active``.
        users = get_user_model()._base_manager.using(self.using).filter(pk__in=user_ids)
        return any(user.is_active for user in users)

    def _goes_on(self) -> bool:
        return type(self.organization)._base_manager.using(self.using).filter(pk=self.organization.pk).exists()


@contextmanager
def keep_owner(organization: Organization, using: str) -> Iterator[None]:
    """See ``Organization.keep_owner()``."""
    if is_guarded(organization, using):
        yield
        return
    with transaction.atomic(using=using):
        guard = OwnerGuard(organization, using)
        token = _held.set(_held.get() | {(using, organization.pk)})
        try:
            yield
        finally:
            _held.reset(token)
        guard.check()


def lock_row(instance: Organization | ApiKey, using: str) -> None:
    """
    Lock the row until the transaction ends. An organization's comes first, also where what belongs to it is inserted.

    An UPDATE that changes nothing rather than SELECT FOR UPDATE: it does not block the foreign-key checks of new keys,
    takes SQLite's write lock before reading, and fails PostgreSQL's stale snapshot instead of trusting it.
    """
    if is_guarded(instance, using):
        return
    rows = type(instance)._base_manager.using(using).filter(pk=instance.pk)
    rows.update(created_at=models.F("created_at"))


def is_guarded(instance: Organization | ApiKey, using: str) -> bool:
    """Return whether this is an organization whose lock an enclosing block holds, which will judge the final state."""
    return (using, instance.pk) in _held.get()


def cascade_unless_last_owner(collector: Any, field: Any, sub_objs: models.QuerySet[Membership], using: str) -> None:
    """
    ``on_delete`` of a member's user: delete the memberships as well, but not an organization's last active Owner.

    This answer comes before anything is locked, so that the admin can show it; the guard has the last word. Django
    passes it on as a plain ``ProtectedError``, together with what else protects the user.
    """
    members = sub_objs.select_related("user", "organization")
    going = {membership.pk for membership in members}
    last = [
        membership
        for membership in members
        if not is_guarded(membership.organization, using) and _is_last(membership, going)
    ]
    if last:
        raise LastOwnerError(last)
    models.CASCADE(collector, field, sub_objs, using)
    # Known here alone, since Django deletes them one by one: the organizations to lock, in one order for everybody. Those
    # of all that Django deletes, of which one may have gone since.
    organization_ids = sorted(membership.organization_id for membership in sub_objs)
    for membership in sub_objs:
        membership.left_together = organization_ids  # type: ignore[attr-defined]


def _is_last(membership: Membership, going: set[UUID]) -> bool:
    if membership.role != Role.OWNER or not membership.user.is_active:
        return False
    owners = membership.organization.memberships.using(membership._state.db).filter(role=Role.OWNER)
    others = owners.exclude(pk__in=going).select_related("user")
    return not any(other.user.is_active for other in others)
