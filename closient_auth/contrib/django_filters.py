"""Filters of django-filter whose choices are the rows of the request's organization."""

from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.forms import ChoiceField, Field, ModelChoiceField, MultiValueField
from django.http import HttpRequest
from django_filters import AllValuesFilter, AllValuesMultipleFilter, ModelChoiceFilter, ModelMultipleChoiceFilter
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework.request import Request

from closient_auth.core.rows import narrow, narrow_to_own
from closient_auth.models import Organization
from closient_auth.organizations import get_organization


class OrganizationDjangoFilterBackend(DjangoFilterBackend):  # type: ignore[misc]
    """A ``DjangoFilterBackend`` whose choices are rows of the request's organization.

    Another organization's row gets the same error as one that does not exist, and the HTML form does not list it. This holds
    for the filters of ``filterset_fields`` and of ``filterset_class``, also for ``LookupChoiceFilter``. The choices of
    ``AllValuesFilter`` are the values of own rows.

    It does not limit the view's own rows: use it with ``OrganizationMixin``, or after ``OrganizationFilterBackend``.
    """

    def get_filterset(self, request: Request, queryset: Any, view: Any) -> Any:
        filterset = super().get_filterset(request, queryset, view)
        fields = filterset.form.fields if filterset is not None else {}
        for name, field in fields.items():
            choices = filterset.filters.get(name)
            if isinstance(choices, AllValuesFilter | AllValuesMultipleFilter):
                _narrow_values(field, choices, view, get_organization(request))
            elif not isinstance(choices, OrganizationChoices):
                _narrow_choices(field, request)
        return filterset


def _narrow_values(field: ChoiceField, choices: Any, view: Any, organization: Organization) -> None:
    """Set the choices to the values of own rows."""
    rows = choices.model._default_manager.all()
    if path := getattr(view, "organization_field", None):
        rows = narrow(rows, organization, (path,))
    else:
        rows = narrow_to_own(rows, organization)
    values = rows.order_by(choices.field_name).values_list(choices.field_name, flat=True).distinct()
    field.choices = [(value, value) for value in values]


def _narrow_choices(field: Field, request: Request) -> None:
    """Narrow a choice of rows, also as a part of another field."""
    if isinstance(field, ModelChoiceField):
        field.queryset = narrow_to_own(field.queryset, get_organization(request))  # type: ignore[arg-type]
    elif isinstance(field, MultiValueField):
        for part, widget in zip(field.fields, field.widget.widgets, strict=True):
            _narrow_choices(part, request)
            if isinstance(part, ModelChoiceField):
                # The form renders the widget of the whole field, which has a copy of this one.
                widget.choices = part.choices


class OrganizationChoices:
    """Mixin of filters: only rows of the request's organization can be chosen.

    ``organization_field`` is the lookup path from these rows to their organization. Raise ``ImproperlyConfigured`` if the
    ``FilterSet`` has no request.
    """

    def __init__(self, *args: Any, organization_field: str = "organization", **kwargs: Any) -> None:
        self.organization_field = organization_field
        super().__init__(*args, **kwargs)

    def get_queryset(self, request: Request | HttpRequest | None) -> Any:
        if request is None:
            raise ImproperlyConfigured(
                f"{type(self).__name__} needs the request. Pass request=request to the FilterSet."
            )
        rows = super().get_queryset(request)  # type: ignore[misc]
        return narrow(rows.all(), get_organization(request), (self.organization_field,))


class OrganizationModelChoiceFilter(OrganizationChoices, ModelChoiceFilter):  # type: ignore[misc]
    """A ``ModelChoiceFilter`` for a hand-written ``FilterSet``. ``organization_field`` is the path from its rows."""


class OrganizationModelMultipleChoiceFilter(OrganizationChoices, ModelMultipleChoiceFilter):  # type: ignore[misc]
    """A ``ModelMultipleChoiceFilter`` for a hand-written ``FilterSet``. ``organization_field`` is the path from its rows."""
