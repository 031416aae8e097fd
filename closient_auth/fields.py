"""Serializer fields whose values come from the request's organization."""

from contextlib import suppress
from typing import Any

from django.core.exceptions import FieldDoesNotExist, ImproperlyConfigured
from rest_framework.exceptions import NotFound
from rest_framework.fields import Field
from rest_framework.relations import HyperlinkedRelatedField, PrimaryKeyRelatedField, SlugRelatedField

from closient_auth.core.rows import find_owner, is_owner, narrow
from closient_auth.models import Organization
from closient_auth.organizations import get_organization


class OrganizationRelation:
    """Mixin of relational fields: only rows of the request's organization exist for the field.

    ``organization_field`` is the lookup path from these rows to their organization. Another organization's row gets the same
    error as one that does not exist, and HTML forms do not list it. Raise ``ImproperlyConfigured`` if the context of the
    serializer has no request.
    """

    def __init__(self, *args: Any, organization_field: str = "organization", **kwargs: Any) -> None:
        self.organization_field = organization_field
        super().__init__(*args, **kwargs)

    def get_queryset(self) -> Any:
        queryset = super().get_queryset()  # type: ignore[misc]
        # A read-only field has no queryset.
        if queryset is None:
            return None
        return narrow(queryset, _get_organization(self), (self.organization_field,))


class OrganizationRelatedField(OrganizationRelation, PrimaryKeyRelatedField[Any]):
    """A ``PrimaryKeyRelatedField`` for rows of the request's organization, also with ``many=True``.

    ``organization_field`` is the lookup path from these rows to their organization. Raise ``ImproperlyConfigured`` if the
    context of the serializer has no request.
    """


class OrganizationSlugRelatedField(OrganizationRelation, SlugRelatedField[Any]):
    """A ``SlugRelatedField`` for rows of the request's organization; see ``OrganizationRelatedField``."""


class OrganizationHyperlinkedRelatedField(OrganizationRelation, HyperlinkedRelatedField[Any]):
    """A ``HyperlinkedRelatedField`` for rows of the request's organization; see ``OrganizationRelatedField``."""


class CurrentOrganizationDefault:
    """The request's organization, as the ``default`` of a ``HiddenField``.

    If the model field of this name refers to the project's own teams (``Memberships.model``), it is the team of the
    organization; raise ``NotFound`` if there is none. Raise ``ImproperlyConfigured`` if the context of the serializer has no
    request.

    With this field, REST framework checks a ``UniqueConstraint`` that includes the organization.
    """

    requires_context = True

    def __call__(self, serializer_field: Field[Any, Any, Any, Any]) -> Any:
        organization = _get_organization(serializer_field)
        model = getattr(getattr(serializer_field.parent, "Meta", None), "model", None)
        with suppress(AttributeError, FieldDoesNotExist):
            related = model._meta.get_field(serializer_field.source).related_model  # type: ignore[union-attr]
            if is_owner(related):
                return get_owner(related, organization)
        return organization

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


def get_owner(model: Any, organization: Organization) -> Any:
    """Return the organization, or its team if this is the model of teams. Raise ``NotFound`` if it has no team."""
    owner = find_owner(model, organization)
    if owner is None:
        raise NotFound
    return owner


def _get_organization(field: Any) -> Organization:
    request = field.context.get("request")
    if request is None:
        raise ImproperlyConfigured(
            f"{field.field_name!r} needs the request. Pass context={{'request': request}} to the serializer."
        )
    return get_organization(request)
