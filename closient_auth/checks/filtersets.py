"""Rules of the filters of django-filter."""

import sys
from collections.abc import Collection, Iterator, Mapping
from types import SimpleNamespace
from typing import Any

from closient_auth.checks.paths import get_model, get_paths, join_paths
from closient_auth.checks.rules import Finding
from closient_auth.checks.views import View, is_exposed

# A method of another module is code of the project, which may choose the rows for each request.
PACKAGE = "django_filters."


def find_open_filters(view: View) -> Iterator[Finding]:
    """Find filters that offer the rows of every organization: their form lists them, and errors tell which rows exist."""
    # A project that uses the package has imported it, together with its views.
    package, backends = sys.modules.get("django_filters.rest_framework"), view.get("filter_backends")
    if package is None or not is_exposed(view) or not isinstance(backends, Collection):
        return
    cure = getattr(sys.modules.get("closient_auth.contrib.django_filters"), "OrganizationDjangoFilterBackend", ())
    for backend in backends:
        is_of_package = isinstance(backend, type) and issubclass(backend, package.DjangoFilterBackend)
        if is_of_package and not issubclass(backend, cure):
            yield from _judge(view, package, backend)


def _judge(view: View, package: Any, backend: Any) -> Iterator[Finding]:
    cls = view.get("filterset_class")
    for name, choice in _get_filters(view, backend).items():
        if isinstance(choice, (package.AllValuesFilter, package.AllValuesMultipleFilter)):
            # The choices are the values in the rows of every organization.
            if get_paths(get_model(view.get("queryset"))):
                yield Finding("W030", view, {"name": name, "filterset": _name(cls), "cure": "a filter without choices"})
            continue
        is_choice = isinstance(choice, (package.ModelChoiceFilter, package.ModelMultipleChoiceFilter))
        if not is_choice or not type(choice).get_queryset.__module__.startswith(PACKAGE):
            continue
        # A function gets the request.
        paths = () if callable(choice.queryset) else get_paths(get_model(choice.queryset))
        if paths:
            many = "Multiple" if isinstance(choice, package.ModelMultipleChoiceFilter) else ""
            values = {
                "name": name,
                "filterset": _name(cls),
                "cure": f"OrganizationModel{many}ChoiceFilter(queryset=..., organization_field={join_paths(paths)})",
            }
            yield Finding("W030", view, values)


def _name(cls: Any) -> str:
    return f"{cls.__module__}.{cls.__qualname__}" if isinstance(cls, type) else "filterset_fields"


def _get_filters(view: View, backend: Any) -> Mapping[str, Any]:
    if _overrides(backend, "get_filterset", "get_filterset_class"):
        return {}
    attributes = {name: view.get(name) for name in ("filterset_class", "filterset_fields")}
    try:
        filterset = backend().get_filterset_class(SimpleNamespace(**attributes), view.get("queryset"))
        # These methods may replace the querysets of the filters.
        is_chosen = filterset is None or _overrides(filterset, "__init__", "filters", "form", "get_form_class")
        return {} if is_chosen else dict(filterset.base_filters)
    except Exception:
        # The first request reports the error.
        return {}


def _overrides(cls: type, *names: str) -> bool:
    bases = [base for base in cls.__mro__ if base is not object and not base.__module__.startswith(PACKAGE)]
    return any(name in vars(base) for base in bases for name in names)
