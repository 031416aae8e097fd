"""The principal of business and publishable keys: an organization with the interface of Django's user."""

from collections.abc import Iterable
from functools import partial
from typing import Any, NoReturn

from asgiref.sync import sync_to_async
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import Group
from django.contrib.auth.models import Permission as DjangoPermission
from django.db.models import Manager
from django.db.models.manager import EmptyManager

from closient_auth.backends import OrganizationBackend
from closient_auth.memberships import get_memberships
from closient_auth.models import ApiKey, Organization
from closient_auth.models.actors import API_KEY
from closient_auth.roles import KEY_RULES


class OrganizationPrincipal:
    """The ``request.user`` of csb and cpk keys: authenticated and active, but not staff, superuser or a database row.

    It implements all of ``AnonymousUser``, so code for users works; it has no permission outside its organization.
    Raise ``ValueError`` for a user key.
    """

    is_active = True
    is_staff = False
    is_superuser = False
    is_anonymous = False
    is_authenticated = True
    groups: Manager[Group] = EmptyManager(Group)
    user_permissions: Manager[DjangoPermission] = EmptyManager(DjangoPermission)

    def __init__(self, api_key: ApiKey) -> None:
        organization = api_key.organization
        if organization is None:
            raise ValueError("This key does not belong to an organization.")
        self.organization: Organization = organization
        self.pk = self.id = f"organization:{organization.pk}"
        # Django's default usernames cannot contain a colon, so this name never equals the name of a user.
        self.username = self.pk
        rules = KEY_RULES.get(api_key.prefix)
        if rules is None or rules.get_permissions is None:
            raise ValueError(f"Keys of type {api_key.prefix!r} do not belong to an organization.")
        self.permissions = organization.get_effective_permissions(rules.get_permissions(), api_key)

    def __str__(self) -> str:
        return self.username

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.pk}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, type(self)) and (self.pk, self.permissions) == (other.pk, other.permissions)

    def __hash__(self) -> int:
        return hash(self.pk)

    def __int__(self) -> NoReturn:
        raise TypeError("Cannot cast OrganizationPrincipal to int. Are you trying to use it in place of User?")

    def get_username(self) -> str:
        """Return ``organization:<id>``."""
        return self.username

    def has_perm(self, perm: str, obj: object = None) -> bool:
        """Return whether the key has the permission in the organization ``obj``; ``False`` without ``obj``."""
        return self._is_own(obj) and perm in self.permissions

    def _is_own(self, obj: object) -> bool:
        """Return whether an object is the organization, or the project's team that stands for it."""
        anchor = get_memberships().find_anchor(obj)
        return anchor is not None and bool(anchor.pk == self.organization.pk)

    def has_perms(self, perm_list: Iterable[str], obj: object = None) -> bool:
        """Return whether the key has all permissions. Raise ``ValueError`` if ``perm_list`` is a string."""
        if isinstance(perm_list, str) or not isinstance(perm_list, Iterable):
            raise ValueError("perm_list must be an iterable of permissions.")
        return all(self.has_perm(perm, obj) for perm in perm_list)

    def has_module_perms(self, module: str) -> bool:
        return False

    def get_user_permissions(self, obj: object = None) -> set[str]:
        """Return the permissions of the key in the organization ``obj``, or an empty set."""
        return set(self.permissions) if self._is_own(obj) else set()

    def get_group_permissions(self, obj: object = None) -> set[str]:
        return set()

    get_all_permissions = get_user_permissions

    # Finding the organization of a project's team may take a query.
    async def ahas_perm(self, perm: str, obj: object = None) -> bool:
        return await sync_to_async(self.has_perm)(perm, obj)

    async def ahas_perms(self, perm_list: Iterable[str], obj: object = None) -> bool:
        return await sync_to_async(self.has_perms)(perm_list, obj)

    async def ahas_module_perms(self, module: str) -> bool:
        return self.has_module_perms(module)

    async def aget_user_permissions(self, obj: object = None) -> set[str]:
        return await sync_to_async(self.get_user_permissions)(obj)

    async def aget_group_permissions(self, obj: object = None) -> set[str]:
        return self.get_group_permissions(obj)

    aget_all_permissions = aget_user_permissions

    def save(self) -> NoReturn:
        raise NotImplementedError("An OrganizationPrincipal is not a row of the user table.")

    delete = save

    def set_password(self, raw_password: str) -> NoReturn:
        self.save()

    check_password = set_password


def get_principal(api_key: ApiKey) -> AbstractBaseUser | OrganizationPrincipal:
    """Return the user of a user key, or the ``OrganizationPrincipal`` of any other key.

    The user gets a reference to the key, so that ``has_perm()`` and ``by=`` know its restrictions.

    Superuser status is ignored for API keys. Django's ``has_perm()`` returns ``True`` to a superuser without asking any
    backend, so that method of this instance asks for the membership when it is called with an organization.
    """
    user = api_key.user
    if user is None:
        return OrganizationPrincipal(api_key)
    setattr(user, API_KEY, api_key)
    if getattr(user, "is_superuser", False) and hasattr(user, "has_perm"):
        vars(user).update(has_perm=partial(_has_perm, user), ahas_perm=partial(_ahas_perm, user))
    return user


def _has_perm(user: Any, perm: str, obj: object = None) -> bool:
    if get_memberships().is_organization(obj):
        return perm in OrganizationBackend().get_user_permissions(user, obj)
    return bool(type(user).has_perm(user, perm, obj))


async def _ahas_perm(user: Any, perm: str, obj: object = None) -> bool:
    return await sync_to_async(_has_perm)(user, perm, obj)
