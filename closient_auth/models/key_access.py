"""Check the permission to manage an API key, and lock the rows it depends on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import PermissionDenied
from django.db import router, transaction
from django.utils.translation import gettext_lazy as _

from closient_auth.models.audit import acting_for
from closient_auth.models.ownership import lock_row
from closient_auth.roles import Permission

if TYPE_CHECKING:
    from closient_auth.models.api_keys import ApiKey


@contextmanager
def authorized(api_key: ApiKey, by: AbstractBaseUser | None) -> Iterator[str]:
    """
    Open a transaction, check under the organization's lock if ``by`` may manage the key, and yield the database alias.

    ``None`` as ``by`` skips the check. Raise ``PermissionDenied`` if ``by`` may not manage the key.
    """
    using = router.db_for_write(type(api_key), instance=api_key)
    with ExitStack() as stack:
        stack.enter_context(transaction.atomic(using=using))
        if by is not None and api_key.organization is not None:
            stack.enter_context(api_key.organization.authorize(by, Permission.MANAGE_API_KEYS))
        elif by is not None and by.pk != api_key.user_id:
            raise PermissionDenied(_("This API key belongs to another user."))
        stack.enter_context(acting_for(by))
        yield using


@contextmanager
def managed(api_key: ApiKey, by: AbstractBaseUser | None, fields: Iterable[str]) -> Iterator[str]:
    """Do the same as ``authorized()``, and also lock the row of the key and read these fields again."""
    with authorized(api_key, by) as using:
        lock_row(api_key, using)
        rows = type(api_key)._base_manager.using(using).select_for_update()
        api_key.refresh_from_db(fields=list(fields), from_queryset=rows)
        yield using
