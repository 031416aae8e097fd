"""Rules of the rows in responses and request bodies."""

from collections.abc import Collection, Iterator, Mapping
from functools import cache
from typing import Any
from uuid import UUID

from django.core.exceptions import FieldError, ValidationError
from rest_framework.mixins import ListModelMixin
from rest_framework.permissions import IsAuthenticated, IsAuthenticatedOrReadOnly

from closient_auth.checks.rules import Finding
from closient_auth.checks.views import View, includes
from closient_auth.filters import OrganizationFilterBackend
from closient_auth.models import Organization

CREDENTIAL = {IsAuthenticated, IsAuthenticatedOrReadOnly}


def find_rows(view: View) -> Iterator[Finding]:
    """Find querysets with rows of other organizations and an invalid ``organization_field``."""
    queryset, backends = view.get("queryset"), view.get("filter_backends")
    if queryset is None:
        return
    is_filtered = isinstance(backends, Collection) and includes(backends, OrganizationFilterBackend)
    # The view's own methods may filter the rows.
    if not view.overrides("get_queryset", "filter_queryset"):
        # ``alist`` is the action of adrf.
        is_list = issubclass(view.cls, ListModelMixin) and {"list", "alist"}.intersection(
            view.actions.values() or ["list"]
        )
        if view.checks_organization and is_list and isinstance(backends, Collection) and not is_filtered:
            yield Finding("W011", view)
        # Another permission class may check more, and so may a subclass.
        if view.takes_keys and view.permissions and CREDENTIAL.issuperset(view.permissions):
            model = getattr(queryset, "model", None)
            if model and Organization in (model, *(field.related_model for field in model._meta.fields)):
                yield Finding("W018", view)
    yield from _find_path(view, queryset, is_filtered)


def _find_path(view: View, queryset: Any, is_filtered: bool) -> Iterator[Finding]:
    path = view.get("organization_field")
    # The filter follows the default path too. The permission follows it only for an object, and a view may have none.
    is_read = is_filtered or (path is not None and view.checks_organization)
    path = "organization" if path is None else path
    # A property needs a request.
    if not is_read or not hasattr(queryset, "filter") or not isinstance(path, str):
        return
    try:
        queryset.filter(**{path: UUID(int=0)})
    except (FieldError, TypeError, ValueError, ValidationError) as error:
        # The permission can read a property of the model, but the filter cannot.
        if is_filtered or not hasattr(queryset.model, path):
            values = {"model": queryset.model._meta.label, "path": path, "error": str(error)}
            yield Finding("E011", view, values)


def find_open_fields(view: View) -> Iterator[Finding]:
    """Find fields that let a request body choose the organization of a row."""
    path, cls = view.get("organization_field"), view.get("serializer_class")
    path = "organization" if path is None else path
    # A property needs a request.
    if not isinstance(path, str) or not isinstance(cls, type) or not view.checks_organization:
        return
    methods = {"post", "put", "patch"}.intersection(view.get("http_method_names"))
    takes_body = any(method in view.actions if view.actions else hasattr(view.cls, method) for method in methods)
    if not takes_body or view.overrides("get_serializer", "get_serializer_class"):
        return
    source = path.split("__")[0].removesuffix("_id")
    for name, field in get_writable_fields(cls).items():
        # The project's own validation may compare the organizations.
        if str(field.source).removesuffix("_id") == source and not hasattr(cls, f"validate_{name}"):
            yield Finding("W016", view, {"name": name, "serializer": f"{cls.__module__}.{cls.__qualname__}"})


@cache
def get_writable_fields(cls: type) -> Mapping[str, Any]:
    """Return, by name, the fields that accept any value from the request body."""
    from rest_framework.relations import RelatedField
    from rest_framework.serializers import HiddenField, ModelSerializer, Serializer

    if not issubclass(cls, Serializer):
        return {}
    base = ModelSerializer if issubclass(cls, ModelSerializer) else Serializer
    # Code of the project may send a query or build the fields for each request, so it does not run here.
    if any(getattr(cls, name) is not getattr(base, name) for name in ("__new__", "__init__", "fields", "get_fields")):
        return {}
    try:
        # REST framework builds the fields of a model only in an instance, so there is no other way to read them.
        fields = cls().fields
    except Exception:
        # The first use of the serializer reports the error.
        return {}
    # A relation with its own get_queryset() may filter the objects for each request.
    return {
        name: field
        for name, field in fields.items()
        if not (field.read_only or isinstance(field, HiddenField))
        and getattr(type(field), "get_queryset", None) in (None, RelatedField.get_queryset)
    }
