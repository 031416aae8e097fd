from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any
from uuid import UUID, uuid4

from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.validators import slug_re
from django.db import IntegrityError, models, router, transaction
from django.db.models.signals import pre_delete
from django.dispatch import receiver
from django.utils.crypto import get_random_string
from django.utils.text import slugify
from django.utils.translation import gettext_lazy as _

from closient_auth.models.audit import AuditedModel, AuditEntry, Event, acting_for
from closient_auth.models.deadlocks import retry_deadlocks
from closient_auth.models.ownership import keep_owner, lock_row
from closient_auth.roles import Permission, Role, get_role_permissions, may_change_role

SLUG_LENGTH = 50
# What leaves room for a suffix.
SLUG_STEM_LENGTH = 40
# Without vowels no suffix is a word, and without hexadecimal digits none completes a UUID.
SLUG_SUFFIX_ALPHABET = "ghjkmnpqrstvwxyz"


# An attribute of the user as whom a key authenticated.
ACTS_BY_KEY = "closient_auth_acts_by_key"
# How many keys, and members, the trail tells of an organization that was deleted: the newest.
MOST_TOLD = 1000


class NotAMemberError(PermissionDenied):
    """Raised where somebody has no role in the organization at all: to them it must look as if it were not there."""


def read_uuid(text: str) -> UUID | None:
    """Return the UUID that this text spells in any of the ways Python accepts, or ``None``."""
    try:
        return UUID(text)
    except ValueError:
        return None


def validate_slug_is_not_a_uuid(slug: str) -> None:
    """Refuse a slug that reads as a UUID: where both are taken it could name another organization."""
    if read_uuid(slug):
        raise ValidationError(_("A slug must not read as a UUID. Choose another."), code="slug_reads_as_uuid")


def _get_stem(name: str) -> str:
    return slugify(name)[:SLUG_STEM_LENGTH].strip("-_")


def _add_suffix(slug: str) -> str:
    return f"{slug[:SLUG_STEM_LENGTH] or 'organization'}-{get_random_string(8, SLUG_SUFFIX_ALPHABET)}"


class OrganizationQuerySet(models.QuerySet["Organization"]):
    def named(self, name: str) -> OrganizationQuerySet:
        """Return the organization with this id or slug; hostile text never reaches the database."""
        if uuid := read_uuid(name):
            return self.filter(pk=uuid)
        if not slug_re.fullmatch(name) or len(name) > SLUG_LENGTH:
            return self.none()
        # MariaDB and MySQL take "ACME" for "acme", all but in regular expressions.
        return self.filter(slug=name, slug__regex=f"^{name}$")

    def create_organization(self, *, name: str, owner: AbstractBaseUser, slug: str | None = None) -> Organization:
        """
        Create an organization together with its first Owner, atomically, and return it.

        Without ``slug`` one is made from the name. Raise ``ValidationError`` for a name or slug that cannot be, and for
        an Owner who is not active: the organization would have nobody to look after it.
        """
        if not owner.is_active:
            raise ValidationError(_("The first Owner of an organization must be an active user."), code="inactive")
        using = self._db or router.db_for_write(self.model)  # type: ignore[attr-defined]
        return retry_deadlocks(partial(self.using(using)._create_organization, name, owner, slug), using)

    def _create_organization(self, name: str, owner: AbstractBaseUser, slug: str | None) -> Organization:
        using = self.db
        organization = self.model(name=name, slug=slug or self._free_slug(name))
        organization.full_clean(validate_unique=False)
        with transaction.atomic(using=using):
            try:
                organization.save_slug(using, force_insert=True)
            except ValidationError:
                if slug:
                    raise
                # Somebody took the slug since it was looked up.
                organization.slug = _add_suffix(organization.slug)
                organization.save(using=using, force_insert=True)
            organization.memberships.create(user=owner, role=Role.OWNER)  # type: ignore[misc]
        return organization

    def _free_slug(self, name: str) -> str:
        slug = _get_stem(name)
        is_free = slug and not read_uuid(slug) and not self.filter(slug=slug).exists()
        return slug if is_free else _add_suffix(slug)


class Organization(AuditedModel):
    """A tenant: people belong to it through memberships, and keys act for it."""

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    name = models.CharField(_("name"), max_length=255)
    slug = models.SlugField(_("slug"), max_length=SLUG_LENGTH, unique=True, validators=[validate_slug_is_not_a_uuid])
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)

    audited_fields = ("name", "slug")
    created_event = Event.ORGANIZATION_CREATED
    changed_event = Event.ORGANIZATION_CHANGED

    objects = OrganizationQuerySet.as_manager()

    class Meta:
        verbose_name = _("organization")
        verbose_name_plural = _("organizations")

    def __str__(self) -> str:
        return self.name

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save; where there is no slug, with one from the name. Raise ``ValidationError`` for one that reads as a UUID."""
        self.slug = self.slug or _add_suffix(_get_stem(self.name))
        validate_slug_is_not_a_uuid(self.slug)
        super().save(*args, **kwargs)

    def is_named(self, name: str) -> bool:
        """Return whether this text is the organization's id or slug."""
        return name == self.slug or read_uuid(name) == self.pk

    def keep_owner(self) -> AbstractContextManager[None]:
        """
        Return a context manager whose block must leave an active Owner if there was one before.

        It holds the lock on the organization's row. Only the state at the end of the outermost block counts, so that
        two Owners can be swapped within one. Raise ``LastOwnerError``, and undo the block, if the last one would go.
        """
        return keep_owner(self, router.db_for_write(type(self), instance=self))

    def get_role(self, user: AbstractBaseUser) -> str | None:
        """
        Return the role in which a user acts here: a member's own, an Owner's for a superuser, ``None`` for others.

        A superuser's key has its user's membership and nothing more; that of an organization is nobody. Needs the
        organization's lock, under which the answer holds.
        """
        if not isinstance(user, get_user_model()):
            return None
        if getattr(user, "is_superuser", False) and not hasattr(user, ACTS_BY_KEY):
            return Role.OWNER
        membership = self.memberships.select_for_update().filter(user_id=user.pk).first()
        return membership.role if membership else None

    @contextmanager
    def authorize(self, by: AbstractBaseUser | None, permission: str) -> Iterator[None]:
        """
        Hold the lock on the organization's row while ``by`` does what needs this permission.

        ``None`` is trusted code. Raise ``PermissionDenied`` where the role, as it is under the lock, does not allow it.
        """
        with self.keep_owner():
            if by is not None and permission not in get_role_permissions(self._require_role(by)):
                raise PermissionDenied(_("Your role does not allow this."))
            with acting_for(by):
                yield

    def require_role_change(
        self, by: AbstractBaseUser | None, old: str | None, new: str | None, *, own: bool = False
    ) -> None:
        """Raise ``PermissionDenied`` where ``by`` may not make this change of a role; ``may_change_role()`` has the rule."""
        if by is not None and not may_change_role(self._require_role(by), old, new, own=own):
            raise PermissionDenied(_("Your role does not allow this change of members."))

    def _require_role(self, user: AbstractBaseUser) -> str:
        role = self.get_role(user)
        if role is None:
            raise NotAMemberError(_("You are no member of this organization."))
        return role

    def rename(self, *, name: str | None = None, slug: str | None = None, by: AbstractBaseUser | None = None) -> None:
        """Give it another name, slug or both. Raise ``ValidationError`` for one that cannot be, ``PermissionDenied``."""
        using = router.db_for_write(type(self), instance=self)
        retry_deadlocks(partial(self._rename, name, slug, by, using), using)

    def _rename(self, name: str | None, slug: str | None, by: AbstractBaseUser | None, using: str) -> None:
        with self.authorize(by, Permission.DELETE_ORGANIZATION):
            self.refresh_from_db(using=using)
            self.name, self.slug = name or self.name, slug or self.slug
            self.full_clean(validate_unique=False)
            # To write it would wait for whoever locks the organization that has it, and who may wait for this one.
            if type(self)._base_manager.using(using).filter(slug=self.slug).exclude(pk=self.pk).exists():
                raise self._slug_taken()
            self.save_slug(using, update_fields=["name", "slug"])

    def save_slug(self, using: str, **kwargs: Any) -> None:
        """Save; raise ``ValidationError`` where the slug is taken, which the database says and no replica knows."""
        try:
            with transaction.atomic(using=using):
                self.save(using=using, **kwargs)
        except IntegrityError:
            raise self._slug_taken() from None

    def _slug_taken(self) -> ValidationError:
        return ValidationError({"slug": self.unique_error_message(type(self), ("slug",))})

    def delete(self, *args: Any, by: AbstractBaseUser | None = None, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Delete it with its members, invitations and keys, which are refused from the next request on."""
        with self.authorize(by, Permission.DELETE_ORGANIZATION):
            return super().delete(*args, **kwargs)


@receiver(pre_delete, sender=Organization, dispatch_uid="closient_auth.lock_organization")
def lock_before_members(instance: Organization, using: str, **kwargs: object) -> None:
    """Keep to the one order of locks, organization before members: two that met in different order would deadlock."""
    lock_row(instance, using)
    # The trail outlives the organization, so it keeps the name, and who and which keys went along.
    keys = instance.api_keys.using(using).filter(is_active=True).order_by("-created_at")[:MOST_TOLD]
    members = instance.memberships.using(using).order_by("-created_at")[:MOST_TOLD]
    old = {
        "name": instance.name,
        "slug": instance.slug,
        "api_keys": {str(pk): hint for pk, hint in keys.values_list("pk", "hint")},
        "members": {str(pk): role for pk, role in members.values_list("user_id", "role")},
    }
    AuditEntry.objects.record(Event.ORGANIZATION_DELETED, instance, using=using, old=old)
