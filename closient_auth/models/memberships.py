"""The membership of a user in an organization."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid4

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db import models, router, transaction
from django.db.models.signals import post_delete, pre_delete
from django.dispatch import receiver
from django.utils.translation import gettext_lazy as _

from closient_auth.memberships import Member, Memberships, get_organizations
from closient_auth.models.actors import By, acting, as_actor
from closient_auth.models.addresses import get_address_field
from closient_auth.models.api_keys import EDITABLE_FIELDS, ApiKey, ApiKeyQuerySet
from closient_auth.models.audit import AuditedModel, AuditEntry, Event
from closient_auth.models.locks import is_held, lock_rows
from closient_auth.models.organizations import AUDITED_ROWS, Organization
from closient_auth.models.ownership import OwnerGuard, cascade_unless_last_owner
from closient_auth.roles import Role, get_role_permissions

# The fields of a key in an off-boarding preview.
SHOWN_OF_KEYS = [*(f"{name}_id" if name == "restricted_to" else name for name in EDITABLE_FIELDS), "shut_out_of"]

MEMBER_ALREADY = _("This user is already a member of the organization.")


class MembershipQuerySet(models.QuerySet["Membership"]):
    def matching(self, text: str) -> MembershipQuerySet:
        """Return the memberships of the users with this text in their username or e-mail address."""
        matches = models.Q()
        for name in (get_user_model().USERNAME_FIELD, get_address_field()):
            if text and name:
                matches |= models.Q(**{f"user__{name}__icontains": text})
        return self.filter(matches)

    def delete(self) -> tuple[int, dict[str, int]]:
        using = self._db or router.db_for_write(self.model)  # type: ignore[attr-defined]
        with transaction.atomic(using=using):
            # Lock in a fixed order to avoid deadlocks; Django would follow the order of the memberships.
            lock_rows(Organization, self.using(using).order_by().values_list("organization_id", flat=True), using)
            return super().delete()

    # Django also hides ``delete()`` from managers, as ``Membership.objects.delete()`` would delete all rows.
    delete.queryset_only = True  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Offboarding:
    """What the removal of a member ends, or leaves for a decision.

    ``user_keys`` are the active keys of the person that lose this organization, ``live_keys`` the active keys of the
    organization that the person created and that go on working, and ``invitations`` the pending ones of the person, which
    nobody can accept any more.
    """

    membership: Membership
    user_keys: list[ApiKey]
    live_keys: list[ApiKey]
    invitations: list[Any]

    @property
    def etag(self) -> str:
        """A text that changes with all that is shown, except the last use of a key (RFC 9110, section 8.8.3)."""
        keys = [*self.user_keys, *self.live_keys]
        parts = [
            (self.membership.pk, self.membership.role),
            *((key.pk, *(getattr(key, name) for name in SHOWN_OF_KEYS)) for key in keys),
            *((row.pk, row.email, row.role, row.expires_at) for row in self.invitations),
        ]
        return sha256(repr(parts).encode()).hexdigest()


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

    def get_permissions(self, api_key: ApiKey | None = None) -> frozenset[str]:
        """Return what the member may do in a request: the permissions of the role, less what ``api_key`` takes away."""
        return self.organization.get_effective_permissions(self.permissions, api_key)

    def change_role(self, role: str, *, by: By = None) -> ApiKeyQuerySet:
        """Change the role on behalf of ``by``; ``None`` skips the permission check, not the last-owner rule.

        If the new role lacks a permission of the old one, return the active organization keys that the member created, for
        review: they have their own permissions, and the member may have a copy of them. Otherwise return no keys.

        Raise ``ValueError`` for an unknown role, ``PermissionDenied`` if ``by`` may not make this change,
        ``LastOwnerError`` for the last active Owner, and ``DoesNotExist`` if the membership was deleted.
        """
        new = Role(role)
        with self._restored_on_error("role"), self._authorized(by, new) as using:
            is_demotion = not self.permissions <= get_role_permissions(new)
            self.role = new
            self.save(update_fields=["role"])
        live_keys = self.get_live_keys(using)
        return live_keys if is_demotion else live_keys.none()

    def remove(self, *, by: By = None, revoke_keys: Collection[UUID] = (), shown: str | None = None) -> ApiKeyQuerySet:
        """Remove the member, on behalf of ``by``; members may remove themselves. Raise as ``change_role()``.

        ``revoke_keys`` are ids of active organization keys that the member created. They are revoked in the same
        transaction; this needs the permission to manage keys. ``shown`` is the ``etag`` of the ``Offboarding`` that ``by``
        has seen. Raise ``ValidationError`` for another key, or if the off-boarding would be another one by now.

        Return the remaining active organization keys of the member, for review: the member may have a copy of them.
        """
        with self._restored_on_error("pk"), self._authorized(by, None) as using:
            offboarding = self._preview(using)
            if shown is not None and shown != offboarding.etag:
                message = _("This is not the present preview. Get it again before you remove the member.")
                raise ValidationError(message, code="offboarding_changed")
            if revoke_keys:
                self._revoke_keys(offboarding, set(revoke_keys), by)
            self.delete()
        return self.get_live_keys(using)

    def preview_offboarding(self) -> Offboarding:
        """Return what would happen to keys and invitations if this member were removed."""
        return self._preview(router.db_for_write(type(self), instance=self))

    def get_live_keys(self, using: str) -> ApiKeyQuerySet:
        """Return the active organization keys that the member created."""
        return self.organization.api_keys.using(using).active().filter(created_by=self.user_id)

    def _preview(self, using: str) -> Offboarding:
        pending = self.organization.invitations.using(using).in_state("pending")
        return Offboarding(
            membership=self,
            user_keys=list(
                ApiKey.objects.using(using)
                .able_in(self.organization)
                .filter(user=self.user_id)
                .select_related("user")
                .order_by("pk")
            ),
            live_keys=list(self.get_live_keys(using).select_related("created_by").order_by("pk")),
            invitations=list(pending.filter(invited_by=self.user_id).select_related("invited_by").order_by("pk")),
        )

    def _revoke_keys(self, offboarding: Offboarding, ids: set[UUID], by: By) -> None:
        if unknown := ids - {api_key.pk for api_key in offboarding.live_keys}:
            message = _("This member created no active key of the organization with the id %s.")
            raise ValidationError({"revoke_keys": ValidationError(message % min(unknown), code="unknown_key")})
        for api_key in offboarding.live_keys:
            if api_key.pk in ids:
                api_key.revoke(by=by)

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


class RoleMemberships(Memberships):
    """The default of the setting ``MEMBERSHIPS``: the rows of ``Membership``, with the four roles."""

    uses_roles = True

    def get_organizations(self, user: Any) -> models.QuerySet[Organization]:
        return get_organizations().filter(memberships__user=user.pk)

    def get_permissions(self, user: Any, organization: Organization) -> frozenset[str]:
        member = self.find_member(user, organization)
        return frozenset() if member is None else member.get_permissions()

    def get_users(self, organization: Organization) -> models.QuerySet[Any]:
        return get_user_model()._base_manager.filter(closient_auth_memberships__organization=organization.pk)

    # The parent's methods would take two queries, one for the organizations and one for the role.

    def find(
        self,
        user: Any,
        names: Sequence[str] = (),
        *,
        within: models.QuerySet[Any] | None = None,
        limit: int | None = None,
    ) -> list[Member]:
        memberships = self._get_memberships(user)
        if within is not None:
            memberships = memberships.filter(organization__in=within)
        if names:
            memberships = memberships.filter(organization__in=self.filter_named(self.find_organizations(user), names))
        return [_as_member(membership) for membership in memberships[:limit]]

    def find_member(self, user: Any, organization: Organization) -> Member | None:
        membership = self._get_memberships(user).filter(organization=organization.pk).first()
        return None if membership is None else _as_member(membership)

    def find_organizations(self, user: Any) -> models.QuerySet[Organization]:
        return self.get_organizations(user)

    def _get_memberships(self, user: Any) -> models.QuerySet[Membership]:
        # A lagging replica would return the old role of a demoted member.
        memberships = Membership.objects.using(router.db_for_write(Membership))
        return memberships.select_related("organization").filter(user_id=user.pk)


def _as_member(membership: Membership) -> Member:
    return Member(membership.organization, partial(get_role_permissions, membership.role), membership.role)


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
    old: dict[str, Any] = {"user": stored.user_id, "role": stored.role}
    # The person may have a copy of these keys, also after the account is gone.
    if live_keys := dict(stored.get_live_keys(using).values_list("pk", "hint")[:AUDITED_ROWS]):
        old["live_keys"] = {str(pk): hint for pk, hint in live_keys.items()}
    AuditEntry.objects.record(Event.MEMBER_REMOVED, stored, using=using, old=old)


@receiver(post_delete, sender=Membership, dispatch_uid="closient_auth.require_owner")
def require_owner(instance: Membership, **kwargs: object) -> None:
    """Check the last-owner rule. Django sends this signal after it deleted all memberships of a deletion."""
    if guard := instance._owner_guard:  # type: ignore[attr-defined]
        guard.check()
