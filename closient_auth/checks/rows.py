"""Rules of the rows in responses."""

from collections.abc import Collection, Iterator
from typing import Any
from uuid import UUID

from django.core.exceptions import FieldError, ValidationError
from rest_framework.mixins import ListModelMixin
from rest_framework.permissions import IsAuthenticated, IsAuthenticatedOrReadOnly

from closient_auth.checks.paths import get_model, get_paths
from closient_auth.checks.rules import Finding
from closient_auth.checks.views import View, includes, uses_mixin
from closient_auth.filters import OrganizationFilterBackend

CREDENTIAL = {IsAuthenticated, IsAuthenticatedOrReadOnly}


def find_rows(view: View) -> Iterator[Finding]:
    """Find querysets with rows of other organizations and an invalid ``organization_field``."""
    queryset, backends = view.get("queryset"), view.get("filter_backends")
    if queryset is None:
        return
    is_filtered = isinstance(backends, Collection) and includes(backends, OrganizationFilterBackend)
    # The view's own methods may filter the rows.
    if not (view.overrides("get_queryset", "filter_queryset") or uses_mixin(view)):
        # ``alist`` is the action of adrf.
        is_list = issubclass(view.cls, ListModelMixin) and {"list", "alist"}.intersection(
            view.actions.values() or ["list"]
        )
        if view.checks_organization and is_list and isinstance(backends, Collection) and not is_filtered:
            yield Finding("W011", view)
        # Another permission class may check more, and so may a subclass.
        has_credential = view.takes_keys and view.permissions and CREDENTIAL.issuperset(view.permissions)
        if has_credential and get_paths(get_model(queryset)):
            yield Finding("W018", view)
    yield from _find_path(view, queryset, is_filtered)


def _find_path(view: View, queryset: Any, is_filtered: bool) -> Iterator[Finding]:
    path = view.get("organization_field")
    # The filter follows the default path too. The permission follows it only for an object, and a view may have none.
    is_read = is_filtered or uses_mixin(view) or (path is not None and view.checks_organization)
    path = "organization" if path is None else path
    # A property needs a request.
    if not is_read or not hasattr(queryset, "filter") or not isinstance(path, str):
        return
    try:
        queryset.filter(**{path: UUID(int=0)})
    except (FieldError, TypeError, ValueError, ValidationError) as error:
        # The permission can read a property of the model, but the filter cannot.
        if is_filtered or uses_mixin(view) or not hasattr(queryset.model, path):
            values = {"model": queryset.model._meta.label, "path": path, "error": str(error)}
            yield Finding("E011", view, values)
