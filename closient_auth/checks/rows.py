"""
Which rows a view shows: that its queryset is narrowed to the organization, and by a path that leads there. And whose
rows it writes: that no body says it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any
from uuid import UUID

from django.core.checks import CheckMessage, Error, Warning
from django.core.exceptions import FieldError, ValidationError
from rest_framework.mixins import ListModelMixin
from rest_framework.permissions import IsAuthenticated, IsAuthenticatedOrReadOnly

from closient_auth.checks.views import PERMISSION, View, asks_for_organization, get_views, includes, name_views, unique
from closient_auth.filters import OrganizationFilterBackend
from closient_auth.models import Organization


def check_lists(**kwargs: object) -> Iterator[CheckMessage]:
    """Check that a list is narrowed to the request's organization."""
    if wide := [view for view in get_views() if asks_for_organization(view) and _lists_everything(view)]:
        yield Warning(
            f"OrganizationFilterBackend should be one of the filter backends in: {name_views(wide)}.",
            hint="They list the rows of every organization. Add OrganizationFilterBackend, or override get_queryset().",
            id="closient_auth.W011",
        )


def check_members(**kwargs: object) -> Iterator[CheckMessage]:
    """Check that rows of organizations are not shown to whoever has some credential."""
    if common := [view for view in get_views() if _asks_for_a_credential(view) and _shows_organizations(view)]:
        yield Warning(
            f"HasOrganizationPermission should be one of the permission classes in: {name_views(common)}.",
            hint="IsAuthenticated admits the keys and users of every organization. Add HasOrganizationPermission to "
            "permission_classes and OrganizationFilterBackend to filter_backends, or override get_queryset().",
            id="closient_auth.W018",
        )


def check_organization_fields(**kwargs: object) -> Iterator[CheckMessage]:
    """Check that ``organization_field`` is a path from the rows of the view's queryset."""
    yield from unique(message for view in get_views() for message in _check_path(view))


def check_serializers(**kwargs: object) -> Iterator[CheckMessage]:
    """Check that a request's body does not say to which organization a row belongs."""
    yield from unique(message for view in get_views() for message in _check_serializer(view))


def _is_narrowed(view: View) -> bool:
    backends = view.get("filter_backends")
    return isinstance(backends, Collection) and includes(backends, OrganizationFilterBackend)


def _lists_everything(view: View) -> bool:
    lists = issubclass(view.cls, ListModelMixin) and "list" in (view.actions.values() or ["list"])
    if not lists or view.get("queryset") is None or _is_narrowed(view):
        return False
    # What the view decides itself, at each request, may narrow as well.
    chooses = _overrides(view, "get_queryset", "filter_queryset")
    return not chooses and isinstance(view.get("filter_backends"), Collection)


def _asks_for_a_credential(view: View) -> bool:
    # Any other class may ask for more.
    permissions = view.get_classes(PERMISSION) or ()
    return (
        view.takes_keys() and bool(permissions) and {IsAuthenticated, IsAuthenticatedOrReadOnly}.issuperset(permissions)
    )


def _shows_organizations(view: View) -> bool:
    model = getattr(view.get("queryset"), "model", None)
    if model is None or _overrides(view, "get_queryset", "filter_queryset"):
        return False
    return model is Organization or any(field.related_model is Organization for field in model._meta.fields)


def _overrides(view: View, *methods: str) -> bool:
    from rest_framework.generics import GenericAPIView

    return any(getattr(view.cls, name, None) is not getattr(GenericAPIView, name) for name in methods)


def _check_path(view: View) -> Iterator[CheckMessage]:
    queryset, path = view.get("queryset"), view.get("organization_field")
    # The permission alone reads it as well, though the default one only where it is asked about an object.
    is_read = _is_narrowed(view) or (path is not None and asks_for_organization(view))
    path = "organization" if path is None else path
    # A property answers at each request, and only then.
    if not is_read or not hasattr(queryset, "filter") or not isinstance(path, str):
        return
    try:
        queryset.filter(**{path: UUID(int=0)})
    except (FieldError, TypeError, ValueError, ValidationError) as error:
        # The permission can follow a property of the model, the filter cannot.
        if _is_narrowed(view) or not hasattr(queryset.model, path):
            yield Error(
                f"{view}.organization_field is {path!r}, which is not a path from {queryset.model._meta.label} "
                "to an organization.",
                hint=f"Write it as a lookup for filter(), such as 'product__organization'. Django's error: {error}",
                id="closient_auth.E011",
            )


def _check_serializer(view: View) -> Iterator[CheckMessage]:
    path = view.get("organization_field")
    path = "organization" if path is None else path
    if not isinstance(path, str) or not asks_for_organization(view) or not _takes_body(view):
        return
    if _overrides(view, "get_serializer", "get_serializer_class"):
        return
    cls, source = view.get("serializer_class"), path.split("__")[0]
    for name in _get_open_fields(cls, source):
        yield Warning(
            f"{view} accepts {name!r} from the request body through {cls.__module__}.{cls.__qualname__}.",
            hint="Members could move rows into another organization. Remove the field or make it read-only, and set "
            "it from get_organization(request) in perform_create(). "
            f"Or reject objects of another organization in the serializer's validate_{name}().",
            id="closient_auth.W016",
        )


def _takes_body(view: View) -> bool:
    methods = {"post", "put", "patch"}.intersection(view.get("http_method_names"))
    return any(method in view.actions if view.actions else hasattr(view.cls, method) for method in methods)


def _get_open_fields(cls: Any, source: str) -> list[str]:
    """Return the fields that write a source with whatever the body names."""
    from rest_framework.serializers import Serializer

    if not isinstance(cls, type) or not issubclass(cls, Serializer):
        return []
    try:
        fields = cls().fields
    except Exception:
        # It needs a request, or is wrong: its first use tells.
        return []
    return [
        name
        for name, field in fields.items()
        if str(field.source).removesuffix("_id") == source.removesuffix("_id")
        and _takes_anything(field)
        and not hasattr(cls, f"validate_{name}")
    ]


def _takes_anything(field: Any) -> bool:
    from rest_framework.relations import RelatedField
    from rest_framework.serializers import HiddenField

    # A relation that chooses its queryset at each request may narrow it.
    narrows = getattr(type(field), "get_queryset", None) not in (None, RelatedField.get_queryset)
    return not (field.read_only or isinstance(field, HiddenField) or narrows)
