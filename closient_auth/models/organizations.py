"""The organization model: names, slugs, roles and locks."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import ImproperlyConfigured, PermissionDenied, ValidationError
from django.db import IntegrityError, models, router, transaction
from django.db.models.signals import pre_delete
from django.dispatch import receiver
from django.utils import timezone
from django.utils.crypto import get_random_string
from django.utils.module_loading import import_string
from django.utils.text import slugify
from django.utils.translation import gettext_lazy as _

from closient_auth.conf import conf
from closient_auth.memberships import get_memberships, read_uuid
from closient_auth.models.actors import Actor, By, acting, as_actor, get_api_key_of, get_restricted_key
from closient_auth.models.audit import AuditedModel, AuditEntry, Event
from closient_auth.models.locks import held, is_held, lock_rows
from closient_auth.models.ownership import OwnerGuard
from closient_auth.models.people import has_inactive_user, is_active
from closient_auth.roles import Permission, Role, get_role_permissions, may_change_role

SLUG_LENGTH = 50
# Only lower case, so that every database tells the same slugs apart. A letter is needed, because a number could be the id of
# a row of the project, and ``-`` is the start of a command's option.
SLUG = re.compile(r"^([a-z]|[0-9][0-9_-]*[a-z])[a-z0-9_-]*$")
# Names that projects give to pages beside those of the organizations.
RESERVED_SLUGS = re.compile(
    "accept|admin|api|dashboard|invitations|join|keys|login|logout|me|members|new|organizations|settings|static"
)
# The maximum length of the slug before a suffix.
SLUG_STEM_LENGTH = 40
# No vowels (no accidental words) and no hexadecimal digits (a slug with a suffix is never a UUID).
SLUG_SUFFIX_ALPHABET = "ghjkmnpqrstvwxyz"

SLUG_INVALID = _(
    "A slug should have only lower-case letters, digits, hyphens and underscores. "
    "It should start with a letter or digit and contain a letter."
)

# The audit log names at most this many (newest) keys and members of a deleted organization.
AUDITED_ROWS = 1000


class Standing(NamedTuple):
    """The rank of an actor in an organization, if any, and what the actor may do there."""

    rank: str | None
    permissions: frozenset[str]


class NotAMemberError(PermissionDenied):
    """The user has no role in the organization. Views respond with 404, to hide its existence."""


# By the value of ``ORGANIZATION_CREATION``: who may create organizations.
CREATORS: dict[str, Callable[[Any], bool]] = {
    "anyone": lambda user: True,
    "staff": lambda user: bool(getattr(user, "is_staff", False)),
}


def may_create_organizations(user: Any) -> bool:
    """Return whether ``ORGANIZATION_CREATION`` lets this user create organizations.

    Raise ``ImproperlyConfigured`` if the setting names no function.
    """
    try:
        name = str(conf.ORGANIZATION_CREATION)
        may_create = CREATORS[name] if name in CREATORS else import_string(name)
        if not callable(may_create):
            raise ImportError(f"{name} is not a function.")
    except ImportError as error:
        raise ImproperlyConfigured("CLOSIENT_AUTH['ORGANIZATION_CREATION'] should name a function.") from error
    return bool(may_create(user))


def _may_create(by: Actor | AbstractBaseUser) -> bool:
    actor = as_actor(by)
    # The project has organizations of its own, and its code makes those of this package.
    if not get_memberships().uses_roles:
        return False
    # A key has no staff status, and the user of a restricted one would have all permissions in the new organization.
    if get_restricted_key(by) is not None or (actor.api_key is not None and conf.ORGANIZATION_CREATION == "staff"):
        return False
    return may_create_organizations(actor.user)


def validate_slug(slug: str) -> None:
    """Raise ``ValidationError`` for an invalid or reserved slug, and for a UUID: it could be another organization's id."""
    if read_uuid(slug):
        raise ValidationError(_("A slug should not be a UUID. Choose another slug."), code="slug_reads_as_uuid")
    if not SLUG.fullmatch(slug):
        raise ValidationError(SLUG_INVALID, code="invalid")
    if RESERVED_SLUGS.fullmatch(slug):
        raise ValidationError(_("This slug is reserved. Choose another slug."), code="slug_reserved")


def _get_stem(name: str) -> str:
    return slugify(name)[:SLUG_STEM_LENGTH].strip("-_")


def _add_suffix(slug: str) -> str:
    return f"{slug[:SLUG_STEM_LENGTH] or 'organization'}-{get_random_string(8, SLUG_SUFFIX_ALPHABET)}"


class OrganizationQuerySet(models.QuerySet["Organization"]):
    """The manager and queryset of ``Organization``."""

    def named(self, name: str) -> OrganizationQuerySet:
        """Filter by id or slug. Text of any other shape matches nothing and never reaches the database."""
        if uuid := read_uuid(name):
            return self.filter(pk=uuid)
        if not SLUG.fullmatch(name) or len(name) > SLUG_LENGTH:
            return self.none()
        # Some collations of MariaDB and MySQL compare "u" and "v" as equal, except in regular expressions.
        return self.filter(slug=name, slug__regex=f"^{name}$")

    def create_organization(
        self, *, name: str, owner: AbstractBaseUser, slug: str | None = None, by: By = None
    ) -> Organization:
        """Create an organization and its first Owner in one transaction, and return the organization.

        ``slug`` defaults to one made from the name in lower case. Raise ``PermissionDenied`` if ``by`` may not create
        organizations (``ORGANIZATION_CREATION``); ``None`` skips this check. Raise ``ValidationError`` for an invalid
        name, an invalid or duplicate slug, or an inactive owner. On MariaDB and MySQL two requests for one slug
        can deadlock, if a row with it was just deleted: one of them gets ``OperationalError`` and can retry.
        """
        if by is not None and not _may_create(by):
            raise PermissionDenied(_("You may not create organizations."))
        if not is_active(owner):
            raise ValidationError(_("The first Owner of an organization must be an active user."), code="inactive")
        using = self._db or router.db_for_write(self.model)  # type: ignore[attr-defined]
        organization = self.model(name=name, slug=slug or self.using(using)._free_slug(name))
        # The constraint repeats the validator of the slug with a query.
        organization.full_clean(validate_unique=False, validate_constraints=False)
        with acting(by), transaction.atomic(using=using):
            if slug:
                organization.save_slug(using, force_insert=True)
            else:
                organization._insert(using)
            organization.memberships.using(using).create(organization=organization, user=owner, role=Role.OWNER)  # type: ignore[misc]
        return organization

    def create_anchor(self, name: str, pk: UUID | None = None) -> Organization:
        """Create the organization that stands for a team of the project, with the primary key of the team if it has ``pk``.

        It has no members: the setting ``MEMBERSHIPS`` names the class that knows them. Raise ``IntegrityError`` if an
        organization with this primary key exists.
        """
        using = self._db or router.db_for_write(self.model)  # type: ignore[attr-defined]
        organization = self.model(name=name, slug=self.using(using)._free_slug(name))
        organization.pk = pk or organization.pk
        with transaction.atomic(using=using):
            organization._insert(using)
        return organization

    def owned_alone_by(self, user: object) -> OrganizationQuerySet:
        """Return the organizations whose only active Owner is this user: deleting the user would raise ``LastOwnerError``."""
        if not get_memberships().uses_roles or not isinstance(user, get_user_model()) or not is_active(user):
            return self.none()
        using = self._db or router.db_for_write(self.model)  # type: ignore[attr-defined]
        memberships: Any = self.model._meta.get_field("memberships").related_model
        owners = memberships._base_manager.using(using).filter(role=Role.OWNER)
        own = owners.filter(user=user.pk).values("organization")
        others = owners.filter(organization__in=own).exclude(user=user.pk)
        shared = others.exclude(has_inactive_user(others)).values("organization")
        return self.using(using).filter(pk__in=own).exclude(pk__in=shared)

    def _free_slug(self, name: str) -> str:
        slug = _get_stem(name)
        try:
            validate_slug(slug)
        except ValidationError:
            return _add_suffix(slug)
        return _add_suffix(slug) if self.filter(slug=slug).exists() else slug


class Organization(AuditedModel):
    """A tenant with members, invitations and API keys."""

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    name = models.CharField(_("name"), max_length=255)
    slug = models.SlugField(_("slug"), max_length=SLUG_LENGTH, unique=True, validators=[validate_slug])
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    user_keys_allowed = models.BooleanField(
        _("user keys allowed"), default=True, help_text=_("Members can use their own user keys in this organization.")
    )
    suspended_at = models.DateTimeField(_("suspended at"), null=True, blank=True, editable=False)

    audited_fields = ("name", "slug", "user_keys_allowed", "suspended_at")
    guarded_fields = ("user_keys_allowed", "suspended_at")
    created_event = Event.ORGANIZATION_CREATED
    changed_event = Event.ORGANIZATION_CHANGED

    objects = OrganizationQuerySet.as_manager()

    class Meta:
        verbose_name = _("organization")
        verbose_name_plural = _("organizations")
        constraints = [
            models.CheckConstraint(
                condition=models.Q(slug__regex=SLUG.pattern),
                name="closient_auth_organization_slug_valid",
                violation_error_message=SLUG_INVALID,
            )
        ]

    def __str__(self) -> str:
        return self.name

    def save(self, *args: Any, **kwargs: Any) -> None:
        names = kwargs.get("update_fields")
        if names is None or "slug" in names:
            self.slug = self.slug or _add_suffix(_get_stem(self.name))
            validate_slug(self.slug)
        super().save(*args, **kwargs)

    def is_named(self, name: str) -> bool:
        """Return whether ``name`` is the id or slug of this organization."""
        return name == self.slug or read_uuid(name) == self.pk

    @contextmanager
    def keep_owner(self, using: str | None = None) -> Iterator[None]:
        """Return a context manager to lock the organization and to check the last-owner rule at the end of the block.

        Nested blocks are checked once, at the end of the outermost, so one block can replace the only Owner. ``using``
        is a database alias. Raise ``LastOwnerError`` and roll back the block if it removed the last active Owner.
        """
        using = using or router.db_for_write(type(self), instance=self)
        if is_held(self, using):
            yield
            return
        with transaction.atomic(using=using), held(self, using):
            guard = OwnerGuard(self, using)
            yield
            guard.check()

    def get_rank(self, actor: Actor, *, own: bool = False, lock: bool = True) -> str | None:
        """Return the role with which an actor acts here, or ``None``. This is the only place that ranks actors.

        A superuser without a key ranks as ``OWNER``, a member by their role, and staff in Django's admin at least as ``MANAGER``, except
        for their ``own`` membership. Organization keys have no rank. Call this under the organization's lock, as the role
        could change otherwise; ``lock=False`` is for pages that only show the result.
        """
        if actor.is_superuser and actor.api_key is None:
            return Role.OWNER
        role = None
        # The rows of ``Membership`` mean nothing in a project with members of its own.
        if get_memberships().uses_roles and isinstance(actor.user, get_user_model()):
            using = router.db_for_write(type(self), instance=self)
            members = self.memberships.using(using)
            members = members.select_for_update() if lock else members
            membership = members.filter(user_id=actor.user.pk).first()
            role = membership.role if membership else None
        return Role.MANAGER if actor.is_staff and not own and role != Role.OWNER else role

    def get_effective_permissions(self, granted: frozenset[str], api_key: Any = None) -> frozenset[str]:
        """Return what is left of the permissions of a role or key type here. This is the only place that takes them away.

        A suspended organization leaves nothing to its members and keys. ``api_key`` authenticated the request, if any.
        """
        if self.suspended_at is not None:
            return frozenset()
        return granted if api_key is None else frozenset(api_key.narrow(granted, self))

    def require_standing(self, by: Actor | AbstractBaseUser, *, own: bool = False) -> Standing:
        """Return the rank of ``by`` here, and what ``by`` may do: the permissions of the rank, less what a key takes away.

        With a project's own ``MEMBERSHIPS``, a member has no rank, and the project returns the permissions. Raise
        ``NotAMemberError`` for an actor with neither. ``own`` is that of ``get_rank()``.
        """
        actor, memberships = as_actor(by), get_memberships()
        rank = self.get_rank(actor, own=own)
        granted = None if rank is None else get_role_permissions(rank)
        if not memberships.uses_roles and isinstance(actor.user, get_user_model()):
            member = memberships.find_member(actor.user, self)
            granted = granted if member is None else (granted or frozenset()) | member.get_permissions()
        if granted is None:
            raise NotAMemberError(_("You are not a member of this organization."))
        # The organization may have been suspended since this instance was loaded.
        self.refresh_from_db(using=router.db_for_write(type(self), instance=self), fields=[*self.guarded_fields])
        if actor.api_key is None and (actor.is_superuser or actor.is_staff):
            return Standing(rank, granted)
        api_key = actor.api_key or get_api_key_of(actor.user)
        return Standing(rank, self.get_effective_permissions(granted, api_key))

    @contextmanager
    def authorize(self, by: By, permission: str) -> Iterator[None]:
        """Lock the organization for the block, and attribute the changes in the block to ``by``.

        Raise ``PermissionDenied`` if ``by`` lacks the permission; ``None`` as ``by`` skips this check. Raise
        ``LastOwnerError`` like ``keep_owner()``.
        """
        with self.keep_owner():
            if by is not None and permission not in self.require_standing(by).permissions:
                raise PermissionDenied(_("Your role does not allow this."))
            with acting(by):
                yield

    def require_role_change(self, by: By, old: str | None, new: str | None, *, own: bool = False) -> None:
        """Raise ``PermissionDenied`` if ``may_change_role()`` refuses the change; ``by=None`` skips the check.

        With a project's own ``MEMBERSHIPS``, raise it for every actor.
        """
        if by is None:
            return
        rank, permissions = self.require_standing(by, own=own)
        # A row of ``Membership`` would mean nothing there, and an invitation would promise it.
        if not get_memberships().uses_roles:
            raise PermissionDenied(_("This project has members of its own."))
        # A key of an Owner that lacks a permission of Owners must not make other Owners.
        if rank == Role.OWNER and not permissions >= get_role_permissions(rank):
            rank = Role.MANAGER
        needed = Permission.VIEW_ORGANIZATION if own and new is None else Permission.MANAGE_MEMBERS
        if needed not in permissions or not may_change_role(rank or "", old, new, own=own):
            raise PermissionDenied(_("Your role does not allow this change to members."))

    def rename(self, *, name: str | None = None, slug: str | None = None, by: By = None) -> None:
        """Change the name, the slug or both, on behalf of ``by``.

        Raise ``PermissionDenied`` if ``by`` may not edit the organization, ``ValidationError`` for an invalid name, or an
        invalid or duplicate slug, and ``OperationalError`` like ``create_organization()``: on PostgreSQL too, if another
        organization takes the slug at the same moment.
        """
        using = router.db_for_write(type(self), instance=self)
        with self.authorize(by, Permission.DELETE_ORGANIZATION):
            self.refresh_from_db(using=using)
            self.name, self.slug = name or self.name, slug or self.slug
            self.full_clean(validate_unique=False, validate_constraints=False)
            # Check first: the UPDATE would wait for a lock on the other organization, and two renames could deadlock.
            if type(self)._base_manager.using(using).filter(slug=self.slug).exclude(pk=self.pk).exists():
                raise self._slug_taken()
            self.save_slug(using, update_fields=["name", "slug"])

    def transfer_ownership(
        self, to: AbstractBaseUser, *, by: Actor | AbstractBaseUser, role: str = Role.MANAGER
    ) -> Any:
        """Make a member an Owner and give ``by`` the lower ``role``, in one transaction.

        Return the active organization keys that ``by`` created, for review, if ``role`` lacks a permission of Owners.

        Raise ``ValueError`` for an unknown role and for ``OWNER``, ``PermissionDenied`` if ``by`` is not an Owner by their own
        membership, and ``ValidationError`` if ``to`` is not another active member.
        """
        new, actor = Role(role), as_actor(by)
        if new == Role.OWNER:
            raise ValueError("The role of the former Owner should be a lower one.")
        with self.keep_owner(), acting(by):
            self.require_role_change(by, Role.EDITOR, Role.OWNER)
            # A locking read: a plain one on InnoDB could see an old snapshot.
            rows = self.memberships.using(router.db_for_write(type(self), instance=self)).select_for_update()
            own, member = (rows.filter(user_id=pk).first() for pk in (actor.user.pk, to.pk))
            # A superuser may change roles without a role of their own, but has none to hand over.
            if own is None or own.role != Role.OWNER:
                raise PermissionDenied(_("Only an Owner can hand over the ownership."))
            if member is None or member.pk == own.pk or not is_active(member.user):
                raise ValidationError(_("Choose another active member of the organization."), code="not_a_member")
            member.change_role(Role.OWNER, by=by)
            return own.change_role(new, by=by)

    def allow_user_keys(self, allowed: bool, *, by: By = None) -> None:
        """Let members use their user keys here, or refuse these keys from the next request on, on behalf of ``by``.

        Raise ``PermissionDenied`` if ``by`` may not manage keys.
        """
        with self.authorize(by, Permission.MANAGE_API_KEYS):
            self.user_keys_allowed = allowed
            self.save(update_fields=["user_keys_allowed"])

    def suspend(self, *, by: By = None) -> None:
        """Refuse the members and keys of the organization from the next request on, until ``lift_suspension()``.

        Nothing is lost. Raise ``PermissionDenied`` if ``by`` is neither a superuser nor staff in the admin.
        """
        self._set_suspended(timezone.now(), by)

    def lift_suspension(self, *, by: By = None) -> None:
        """Accept the members and keys again. Raise ``PermissionDenied`` like ``suspend()``."""
        self._set_suspended(None, by)

    def _set_suspended(self, moment: datetime | None, by: By) -> None:
        actor = None if by is None else as_actor(by)
        if actor is not None and (actor.api_key is not None or not (actor.is_superuser or actor.is_staff)):
            raise PermissionDenied(_("Only staff can suspend an organization."))
        using = router.db_for_write(type(self), instance=self)
        with self.keep_owner(using), acting(by):
            self.refresh_from_db(using=using, fields=["suspended_at"])
            if (self.suspended_at is None) != (moment is None):
                self.suspended_at = moment
                self.save(using=using, update_fields=["suspended_at"])

    def _insert(self, using: str) -> None:
        try:
            self.save_slug(using, force_insert=True)
        except ValidationError:
            # Another request took the free slug in the meantime.
            self.slug = _add_suffix(self.slug)
            self.save(using=using, force_insert=True)

    def save_slug(self, using: str, **kwargs: Any) -> None:
        """Save. Raise ``ValidationError`` for a duplicate slug; the unique constraint decides, as a replica may lag."""
        try:
            with transaction.atomic(using=using):
                self.save(using=using, **kwargs)
        except IntegrityError:
            raise self._slug_taken() from None

    def _slug_taken(self) -> ValidationError:
        return ValidationError({"slug": self.unique_error_message(type(self), ("slug",))})

    def delete(self, *args: Any, by: By = None, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Delete with the members, invitations and keys. Raise ``PermissionDenied`` if ``by`` may not delete."""
        with self.authorize(by, Permission.DELETE_ORGANIZATION):
            return super().delete(*args, **kwargs)


@receiver(pre_delete, sender=Organization, dispatch_uid="closient_auth.lock_organization")
def lock_before_members(instance: Organization, using: str, **kwargs: object) -> None:
    """Lock the organization before its members, as everywhere in this package, against deadlocks; record the event."""
    lock_rows(Organization, [instance.pk], using)
    # The audit log outlives the organization, so record its name, members and active keys.
    keys = instance.api_keys.using(using).filter(is_active=True).order_by("-created_at")[:AUDITED_ROWS]
    members = instance.memberships.using(using).order_by("-created_at")[:AUDITED_ROWS]
    old = {
        "name": instance.name,
        "slug": instance.slug,
        "api_keys": {str(pk): hint for pk, hint in keys.values_list("pk", "hint")},
        "members": {str(pk): role for pk, role in members.values_list("user_id", "role")},
    }
    # These keys of other people are deleted as well.
    restricted = instance.restricted_user_keys.using(using).filter(is_active=True).order_by("-created_at")
    if user_keys := {str(pk): hint for pk, hint in restricted.values_list("pk", "hint")[:AUDITED_ROWS]}:
        old["user_keys"] = user_keys
    AuditEntry.objects.record(Event.ORGANIZATION_DELETED, instance, using=using, old=old)
