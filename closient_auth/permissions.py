from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from django.core.exceptions import FieldDoesNotExist, ImproperlyConfigured
from django.db.models import ForeignKey, Model
from rest_framework.exceptions import NotFound
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from closient_auth.models import Organization
from closient_auth.organizations import get_access, get_organization_field
from closient_auth.roles import Permission

# REST framework's views import the classes that settings name, this one among them: at run time it would be a circle.
if TYPE_CHECKING:
    from rest_framework.views import APIView


class HasOrganizationPermission(BasePermission):
    """
    Allow what the role of the member, or the type of the key, allows in the request's organization.

    The view says what it asks: ``required_permissions`` is a permission, or a mapping from action or HTTP method to one.
    Without it safe methods need ``view_organization`` and others ``contribute_organization``.

    Compose it with ``&``. Under ``|`` it comes last, since it answers 404 for another's organization before a class
    behind it is asked. ``~`` is not supported: it would turn a refusal into a pass.
    """

    def has_permission(self, request: Request, view: APIView) -> bool:
        if not getattr(request.user, "is_authenticated", False):
            return False
        return get_access(request).allows(get_required_permission(view, request.method or ""))

    def has_object_permission(self, request: Request, view: APIView, obj: Any) -> bool:
        """Return True for an object of the request's organization; raise ``NotFound`` for any other."""
        value = _follow(obj, get_organization_field(view))
        if getattr(value, "pk", value) != get_access(request).organization.pk:
            # The bytes that Django answers for a row that is not there.
            raise NotFound(f"No {obj._meta.object_name} matches the given query." if isinstance(obj, Model) else None)
        return True


def _follow(obj: Any, path: str) -> Any:
    *names, last = path.split("__")
    for name in names:
        # A path that ends early leads to no organization.
        obj = getattr(obj, name) if obj is not None else None
    # An organization's primary key stands in the column that leads to it: its row is not read for that.
    if isinstance(obj, Model):
        with suppress(FieldDoesNotExist):
            field = obj._meta.get_field(last)
            if isinstance(field, ForeignKey) and field.target_field == Organization._meta.pk:
                return getattr(obj, field.attname)
    return getattr(obj, last) if obj is not None else None


def get_required_permission(view: Any, method: str) -> str:
    """
    Return the permission that a view needs for an HTTP method.

    Raise ``ImproperlyConfigured`` where the view declares permissions and none for what it implements.
    """
    method = "GET" if method == "HEAD" else method
    declared = getattr(view, "required_permissions", None)
    if method == "OPTIONS" or not _implements(view, method):
        return Permission.VIEW_ORGANIZATION
    if declared is None:
        return Permission.VIEW_ORGANIZATION if method in SAFE_METHODS else Permission.CONTRIBUTE_ORGANIZATION
    if isinstance(declared, Mapping):
        declared = _look_up(declared, view, method)
    if not isinstance(declared, str) or not declared:
        raise ImproperlyConfigured(
            f"{type(view).__module__}.{type(view).__name__}.required_permissions says nothing that is a permission "
            f"for {_get_action(view, method) or method}. Name one, such as {Permission.VIEW_ORGANIZATION.value!r}."
        )
    return declared


def _look_up(declared: Mapping[str, str], view: Any, method: str) -> str | None:
    names = (_get_action(view, method) or method, method, method.lower())
    return next((declared[name] for name in names if name in declared), None)


def _get_action(view: Any, method: str) -> str | None:
    # Not ``view.action``, which stays that of the request while REST framework asks about other methods.
    action: str | None = getattr(view, "action_map", {}).get(method.lower())
    return action


def _implements(view: Any, method: str) -> bool:
    return method.lower() in view.http_method_names and hasattr(view, method.lower())
