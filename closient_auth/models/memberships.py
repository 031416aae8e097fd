"""The membership of a user in an organization."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID, uuid4

from django.conf import settings
from django.db import models, router, transaction
from django.db.models.signals import post_delete, pre_delete
from django.dispatch import receiver
from django.utils.translation import gettext_lazy as _

from closient_auth.models.actors import By, acting, as_actor
from closient_auth.models.api_keys import ApiKeyQuerySet
from closient_auth.models.audit import AuditedModel, AuditEntry, Event
from closient_auth.models.locks import is_held, lock_rows
from closient_auth.models.organizations import Organization
from closient_auth.models.ownership import OwnerGuard, cascade_unless_last_owner
from closient_auth.roles import Role, get_role_permissions

MEMBER_ALREADY = _("This user is already a member of the organization.")


class MembershipQuerySet(models.QuerySet["Membership"]):
    def delete(self) -> tuple[int, dict[str, int]]:
        using = self._db or router.db_for_write(self.model)  # type: ignore[attr-defined]
        with transaction.atomic(using=using):
            # Lock in a fixed order to avoid deadlocks; Django would follow the order of the memberships.
            lock_rows(Organization, self.using(using).order_by().values_list("organization_id", flat=True), using)
            return super().delete()

    # Django also hides ``delete()`` from managers, as ``Membership.objects.delete()`` would delete all rows.
    delete.queryset_only = True  # type: ignore[attr-defined]


class Membership(AuditedModel):
    """The membership of one user in one organization, with one role.

    Saving and deleting raise ``LastOwnerError`` if the organization would lose its last active Owner.
    """

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    organization = models.ForeignKey(
        Organization, models.CASCADE, related_name="memberships", verbose_name=_("organization")
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        cascade_unless_last_owner,
        related_name="closient_auth_memberships",
        verbose_name=_("user"),
    )
    role = models.CharField(_("role"), max_length=16, choices=Role.choices)
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)

    audited_fields = ("user", "role")
    created_event = Event.MEMBER_ADDED
    changed_event = Event.MEMBER_CHANGED

    objects = MembershipQuerySet.as_manager()

    class Meta:
        verbose_name = _("membership")
        verbose_name_plural = _("memberships")
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "user"],
                name="closient_auth_membership_unique_user",
                violation_error_message=MEMBER_ALREADY,
            ),
            # MariaDB and MySQL compare "OWNER" and "owner " as equal to "owner", except in regular expressions.
            models.CheckConstraint(
                condition=models.Q(role__in=Role.values, role__regex=r"^[a-z]+$"),
                name="closient_auth_membership_role_known",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user}: {self.get_role_display()}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        using = kwargs.get("using") or router.db_for_write(type(self), instance=self)
        if self._state.adding:
            with transaction.atomic(using=using):
                lock_rows(Organization, [self.organization_id], using)
                # An UPDATE of an existing row with this primary key would bypass the last-owner rule.
                super().save(*args, **{**kwargs, "force_insert": True})
            return
        stored = type(self)._base_manager.using(using).select_related("organization").get(pk=self.pk)
        with stored.organization.keep_owner(using):
            super().save(*args, **kwargs)

    def delete(self, using: str | None = None, keep_parents: bool = False) -> tuple[int, dict[str, int]]:
        # The inner transaction keeps an outer one usable after ``LastOwnerError``.
        using = using or router.db_for_write(type(self), instance=self)
        with self._restored_on_error("pk"), transaction.atomic(using=using):
            return super().delete(using=using, keep_parents=keep_parents)

    @property
    def permissions(self) -> frozenset[str]:
        """Return the permissions of the role, including ``EXTRA_ROLE_PERMISSIONS``."""
        return get_role_permissions(self.role)

    def change_role(self, role: str, *, by: By = None) -> None:
        """Change the role on behalf of ``by``; ``None`` skips the permission check, not the last-owner rule.

        Raise ``ValueError`` for an unknown role, ``PermissionDenied`` if ``by`` may not make this change,
        ``LastOwnerError`` for the last active Owner, and ``DoesNotExist`` if the membership was deleted.
        """
        new = Role(role)
        with self._restored_on_error("role"), self._authorized(by, new):
            self.role = new
            self.save(update_fields=["role"])

    def remove(self, *, by: By = None) -> ApiKeyQuerySet:
        """Remove the member, on behalf of ``by``; members may remove themselves. Raise as ``change_role()``.

        Return the active organization keys created by the member, for review: the member may have a copy of them.
        """
        with self._restored_on_error("pk"), self._authorized(by, None) as using:
            self.delete()
        return self.organization.api_keys.using(using).active().filter(created_by=self.user_id)

    @contextmanager
    def _authorized(self, by: By, new: str | None) -> Iterator[str]:
        """Lock the organization for the block. Raise ``PermissionDenied`` if ``by`` may not set the role ``new``."""
        using = router.db_for_write(type(self), instance=self)
        rows = type(self)._base_manager.using(using)
        # Read the organization from the row: an attribute set in memory would redirect the permission check.
        self.refresh_from_db(fields=["organization", "user"], from_queryset=rows.select_related("organization", "user"))
        with self.organization.keep_owner(using):
            # Read both roles again under the lock, as they may have changed. A locking read sees committed rows; a
            # plain read on InnoDB (REPEATABLE READ) would see the old snapshot of the transaction.
            self.refresh_from_db(fields=["role"], from_queryset=rows.select_for_update())
            own = by is not None and as_actor(by).is_user(self.user_id)
            self.organization.require_role_change(by, self.role, new, own=own)
            with acting(by):
                yield using

    @contextmanager
    def _restored_on_error(self, name: str) -> Iterator[None]:
        # The last-owner rule may fail after the change of the instance. Restore the value stored in the row.
        value = getattr(self, name)
        try:
            yield
        except BaseException:
            setattr(self, name, value)
            raise


@receiver(pre_delete, sender=Membership, dispatch_uid="closient_auth.guard_owners")
def guard_owners(instance: Membership, using: str, origin: object, **kwargs: object) -> None:
    """Lock the organizations before the first delete: one deletion may cover many organizations and members."""
    instance._owner_guard = None  # type: ignore[attr-defined]
    model = origin.model if isinstance(origin, models.QuerySet) else type(origin)
    if issubclass(model, Organization):
        return
    left_together: list[UUID] = getattr(instance, "_left_together", [])
    lock_rows(Organization, left_together, using)
    left_together.clear()
    rows = Membership._base_manager.using(using).select_related("organization", "user")
    stored = rows.filter(pk=instance.pk).first() or instance
    if not is_held(stored.organization, using):
        instance._owner_guard = OwnerGuard(stored.organization, using)  # type: ignore[attr-defined]
    # Record before the delete: if the user is deleted too, Django can then set the ``user`` of the entry to null.
    old = {"user": stored.user_id, "role": stored.role}
    AuditEntry.objects.record(Event.MEMBER_REMOVED, stored, using=using, old=old)


@receiver(post_delete, sender=Membership, dispatch_uid="closient_auth.require_owner")
def require_owner(instance: Membership, **kwargs: object) -> None:
    """Check the last-owner rule. Django sends this signal after it deleted all memberships of a deletion."""
    if guard := instance._owner_guard:  # type: ignore[attr-defined]
        guard.check()
