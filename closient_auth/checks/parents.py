"""Rules of the parents in the URLs of nested routes."""

from collections.abc import Iterator

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

# The actions of a route without an object, also those of adrf.
WITHOUT_OBJECT = {"list", "create", "alist", "acreate"}


def find_parents(view: View) -> Iterator[Finding]:
    """Find views that write below a row in the URL, such as ``products/<pk>/offers``, and may not check this row."""
    if not is_exposed(view) or not takes_body(view) or uses_mixin(view):
        return
    meta = getattr(view.get("serializer_class"), "Meta", None)
    parents = list(iter_parents(get_model(view.get("queryset")) or get_model(meta)))
    if not parents:
        return
    known = {
        view.get("organization_url_kwarg") or URL_KWARG,
        api_settings.FORMAT_SUFFIX_KWARG,
        getattr(view.get("versioning_class"), "version_param", api_settings.VERSION_PARAM),
    }
    if _has_object(view):
        known.add(view.get("lookup_url_kwarg") or view.get("lookup_field"))
    for name in sorted({name for route in view.routes for name in route.arguments} - known):
        parent = next((parent for parent in parents if name.startswith(parent)), parents[0])
        yield Finding("W031", view, {"name": name, "parent": parent})


def _has_object(view: View) -> bool:
    """Return whether the lookup of the view names one of its own rows."""
    is_detail = view.initkwargs.get("detail")
    if view.actions:
        # Routers write the answer into the arguments of ``as_view()``.
        return is_detail if isinstance(is_detail, bool) else not WITHOUT_OBJECT.issuperset(view.actions.values())
    return issubclass(view.cls, RetrieveModelMixin | UpdateModelMixin | DestroyModelMixin) or not issubclass(
        view.cls, ListModelMixin | CreateModelMixin
    )
