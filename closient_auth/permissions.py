"""Check the permissions of a request in its organization."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import FieldDoesNotExist, ImproperlyConfigured
from django.db.models import ForeignKey, Model
from rest_framework.exceptions import NotFound
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from closient_auth.core.access import get_default_permission, refuse_permission
from closient_auth.core.callers import get_api_key
from closient_auth.core.refusals import Refused
from closient_auth.core.reports import report_refusal
from closient_auth.core.responses import release_connections
from closient_auth.exceptions import PersonRequired, SessionRequired, raise_api_exceptions
from closient_auth.models import ApiKey, Organization
from closient_auth.organizations import get_access, get_organization_field
from closient_auth.roles import Permission


class HasOrganizationPermission(BasePermission):
    """
    Allow a request if the member's role or the key's type grants the view's permission in the request's organization.
    Raise the same errors as ``get_organization()``.

    Set ``required_permissions`` on the view to a permission, or to a mapping from action or HTTP method to a permission.
    By default, safe methods require ``view_organization`` and other methods ``contribute_organization``.

    Combine this class with ``&``. With ``|``, put it last: it raises a 404 for another organization before REST framework
    checks the classes after it. Do not use ``~``: it would admit every request this class refuses.
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        try:
            if not getattr(request.user, "is_authenticated", False):
                return self._refuse(view, Refused("not_authenticated"))
            access = get_access(request)
        finally:
            release_connections(request)
        permission = get_required_permission(view, request.method or "")
        if access.allows(permission):
            return True
        return self._refuse(view, refuse_permission(request._request, _get_key_to_report(request), access, permission))

    def _refuse(self, view: Any, refused: Refused) -> bool:
        # An operand of ``|`` returns ``False``, so that REST framework asks the next one. It does not tell the operands'
        # messages, so a class that stands alone raises its error.
        if type(self) in getattr(view, "permission_classes", ()):
            with raise_api_exceptions():
                raise refused
        return False

    def has_object_permission(self, request: Request, view: Any, obj: Any) -> bool:
        """Return ``True`` for an object of the request's organization; raise ``NotFound`` (404) for any other."""
        value = _follow(obj, get_organization_field(view))
        if getattr(value, "pk", value) != get_access(request).organization.pk:
            # This equals the text of Django's ``get_object_or_404()``, so that clients cannot tell another organization's
            # object from a missing one.
            raise NotFound(f"No {obj._meta.object_name} matches the given query." if isinstance(obj, Model) else None)
        return True


class IsPerson(BasePermission):
    """Allow users of the user table, by session or user key, but no key of an organization (403 ``person_required``).

    A key of an organization has no row in the user table, so a view that stores or shows ``request.user`` needs this class.
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        if not getattr(request.user, "is_authenticated", False):
            return False
        if not isinstance(request.user, get_user_model()):
            _report(request, "person_only")
            raise PersonRequired
        return True


class SessionOnly(BasePermission):
    """Refuse API keys (403 ``session_required``), for views with which a leaked key could take over an account.

    Such views change a password or an address, or create a credential. Combine the class with others: it admits every
    request without a key. See the setting ``SESSION_ONLY_VIEWS`` for views of other packages.
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        if get_api_key(request) is not None:
            _report(request, "session_only")
            raise SessionRequired
        return True


def _get_key_to_report(request: Request) -> ApiKey | None:
    # For forms and OPTIONS, REST framework asks about methods that the client did not use.
    return get_api_key(request) if request.method == request._request.method else None


def _report(request: Request, cause: str) -> None:
    if api_key := _get_key_to_report(request):
        report_refusal(request._request, api_key, cause)


def _follow(obj: Any, path: str) -> Any:
    *names, last = path.split("__")
    for name in names:
        # A null relation in the path means that the object has no organization.
        obj = getattr(obj, name) if obj is not None else None
    # The foreign key column already contains the organization's primary key, so do not query its row.
    if isinstance(obj, Model):
        with suppress(FieldDoesNotExist):
            field = obj._meta.get_field(last)
            if isinstance(field, ForeignKey) and field.target_field == Organization._meta.pk:
                return getattr(obj, field.attname)
    return getattr(obj, last) if obj is not None else None


def get_required_permission(view: Any, method: str) -> str:
    """Return the permission required by a view for an HTTP method.

    Raise ``ImproperlyConfigured`` if ``required_permissions`` lacks a permission for an implemented method.
    """
    method = "GET" if method == "HEAD" else method
    declared = getattr(view, "required_permissions", None)
    name = method.lower()
    if method == "OPTIONS" or name not in view.http_method_names or not hasattr(view, name):
        return Permission.VIEW_ORGANIZATION
    if declared is None:
        return get_default_permission(method)
    # Do not use ``view.action``: it keeps the request's action while REST framework checks other methods.
    action = getattr(view, "action_map", {}).get(name, method)
    if isinstance(declared, Mapping):
        declared = next((declared[key] for key in (action, method, name) if key in declared), None)
    if not isinstance(declared, str) or not declared:
        raise ImproperlyConfigured(
            f"{type(view).__module__}.{type(view).__name__}.required_permissions does not name a permission "
            f"for {action}. Add one, such as {Permission.VIEW_ORGANIZATION.value!r}."
        )
    return declared
