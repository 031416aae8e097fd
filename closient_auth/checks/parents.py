"""Rules of the parents in the URLs of nested routes, and of the attributes of ``OrganizationMixin``."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from django.core.exceptions import FieldDoesNotExist, FieldError
from django.db.models import ForeignKey, Model
from rest_framework.mixins import (
    CreateModelMixin,
    DestroyModelMixin,
    ListModelMixin,
    RetrieveModelMixin,
    UpdateModelMixin,
)
from rest_framework.settings import api_settings

from closient_auth.checks.paths import get_model, iter_parents
from closient_auth.checks.rules import Finding
from closient_auth.checks.views import View, is_exposed, takes_body, uses_mixin
from closient_auth.core.access import URL_KWARG

KEYS = ("pk", "id", "uuid", "slug")
# Arguments that a middleware reads.
LANGUAGES = {"lang", "language", "language_code", "locale"}
# The actions of a route without an object, also those of adrf.
WITHOUT_OBJECT = {"list", "create", "alist", "acreate"}


def find_parents(view: View) -> Iterator[Finding]:
    """Find views below a row in the URL, such as ``products/<pk>/offers``, that may not check this row, or ignore it."""
    is_mixed, parents = uses_mixin(view), list(iter_parents(_get_model(view)))
    # These methods may read the argument.
    own = ["initial", "check_permissions", *(["get_queryset", "filter_queryset"] if is_mixed else [])]
    if view.overrides(*own) or not (is_mixed or (is_exposed(view) and takes_body(view) and parents)):
        return
    named = view.get("parent_lookup_kwargs") if is_mixed else None
    known = {
        *(named if isinstance(named, Mapping) else ()),
        view.get("organization_url_kwarg") or URL_KWARG,
        api_settings.FORMAT_SUFFIX_KWARG,
        getattr(view.get("versioning_class"), "version_param", api_settings.VERSION_PARAM),
    }
    if _has_object(view):
        known.add(view.get("lookup_url_kwarg") or view.get("lookup_field"))
    for name in sorted({name for route in view.routes for name in route.arguments} - known):
        # Without the mixin, an argument such as a year may be read by the view. The mixin reads none but those in ``known``.
        if not (_names_parent(name, parents) or (is_mixed and name not in LANGUAGES)):
            continue
        parent = next((parent for parent in parents if name.startswith(parent)), [*parents, "organization"][0])
        yield Finding("W031", view, {"name": name, "parent": parent})


def _names_parent(name: str, parents: Collection[str]) -> bool:
    """Return whether an argument may name a row: by the name of a relation, or with an ending such as ``_pk``."""
    is_relation = any(name == parent or name.startswith(f"{parent}_") for parent in parents)
    return is_relation or name in KEYS or name.endswith(tuple(f"_{key}" for key in KEYS))


def find_mixin_attributes(view: View) -> Iterator[Finding]:
    """Find attributes of ``OrganizationMixin`` that do not fit the model or the URLs of the view."""
    model = _get_model(view)
    if model is None or not uses_mixin(view):
        return
    named, shared = view.get("parent_lookup_kwargs"), view.get("shared_fields")
    for argument, path in named.items() if isinstance(named, Mapping) else [(None, None)]:
        if problem := _find_problem(view, model, argument, path):
            yield Finding("E015", view, {"value": repr(named), "problem": problem})
    names = {field.name for field in model._meta.get_fields()}
    names |= {str(field.get_accessor_name()) for field in model._meta.related_objects}
    is_list = isinstance(shared, Collection) and not isinstance(shared, str)
    for name in shared if is_list else [shared]:
        if not isinstance(name, str) or not is_list or name.partition("__")[0] not in names:
            yield Finding("W037", view, {"name": name, "model": model._meta.label})


def _find_problem(view: View, model: type[Model], argument: Any, path: Any) -> str:
    """Return what is wrong with an argument of ``parent_lookup_kwargs``, or an empty text."""
    if not isinstance(argument, str) or not isinstance(path, str):
        return "Write it as {'product_pk': 'product__pk'}."
    if not any(argument in route.arguments for route in view.routes):
        return f"No URL of the view has an argument {argument!r}."
    try:
        is_foreign_key = isinstance(model._meta.get_field(path.partition("__")[0]), ForeignKey)
        model._default_manager.filter(**{path: None})
    except (FieldDoesNotExist, FieldError, ValueError, TypeError) as error:
        return f"{str(error).rstrip('.')}."
    return "" if is_foreign_key else f"{path.partition('__')[0]!r} is not a foreign key."


def _get_model(view: View) -> type[Model] | None:
    return get_model(view.get("queryset")) or get_model(getattr(view.get("serializer_class"), "Meta", None))


def _has_object(view: View) -> bool:
    """Return whether the lookup of the view names one of its own rows."""
    is_detail = view.initkwargs.get("detail")
    if view.actions:
        # Routers write the answer into the arguments of ``as_view()``.
        return is_detail if isinstance(is_detail, bool) else not WITHOUT_OBJECT.issuperset(view.actions.values())
    return issubclass(view.cls, RetrieveModelMixin | UpdateModelMixin | DestroyModelMixin) or not issubclass(
        view.cls, ListModelMixin | CreateModelMixin
    )
