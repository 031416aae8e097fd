"""The mixin for views."""

from collections.abc import Collection, Mapping
from functools import cached_property, partial
from typing import Any

from django.db.models import QuerySet
from rest_framework.generics import GenericAPIView
from rest_framework.views import APIView

from closient_auth.mixins.rows import OrganizationRows
from closient_auth.permissions import HasOrganizationPermission


class OrganizationMixin:
    """Keep a ``GenericAPIView`` or viewset to the rows of the request's organization, in all that it reads and writes.

    Put the mixin before the classes of REST framework. ``organization_field`` is the lookup path from a row to its
    organization, by default ``"organization"``.

    - A row of another organization gets the 404 of a missing row, whatever the filter backends are.
    - The writable relations of the serializer know only own rows: another organization's row gets the same error as one that
      does not exist, and HTML forms do not list it.
    - New rows get the organization, and the parents that the URL names.
    - ``serializer.save()`` changes no row of another organization, and all rows that it has written, and all rows that they
      refer to, must belong to the organization. Otherwise nothing is written, and the response is a 404.
    """

    permission_classes: Any = [HasOrganizationPermission]
    # Lookup paths to the parents of a row, by URL argument: ``{"project_pk": "project__pk"}``. The first name of a path is a
    # foreign key. Another organization's parent gets the 404 of a missing one.
    parent_lookup_kwargs: Mapping[str, str] = {}
    # Relations that may lead to other organizations, such as the seller on a marketplace. A relation of a nested serializer is
    # named by its path: ``"items__seller"``.
    shared_fields: Collection[str] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if hasattr(cls, "afilter_queryset"):
            # The async methods of adrf call neither ``filter_queryset()`` nor ``save()``.
            raise TypeError(f"{cls.__qualname__}: OrganizationMixin does not support adrf.")
        if GenericAPIView in cls.__mro__[: cls.__mro__.index(OrganizationMixin)]:
            raise TypeError(f"{cls.__qualname__}: put OrganizationMixin before the classes of REST framework.")
        if APIView in cls.__mro__ and GenericAPIView not in cls.__mro__:
            # Other views have neither a queryset nor ``get_serializer()``.
            raise TypeError(f"{cls.__qualname__}: OrganizationMixin needs a GenericAPIView.")

    def initial(self, request: Any, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)  # type: ignore[misc]
        self._organization_rows.find_parents()

    def get_queryset(self) -> Any:
        return self._organization_rows.get_queryset(super().get_queryset())  # type: ignore[misc]

    def filter_queryset(self, queryset: QuerySet[Any]) -> Any:
        return super().filter_queryset(self._organization_rows.narrow(queryset))  # type: ignore[misc]

    def get_serializer(self, *args: Any, **kwargs: Any) -> Any:
        serializer = super().get_serializer(*args, **kwargs)  # type: ignore[misc]
        self._organization_rows.narrow_relations(serializer)
        serializer.save = partial(self._organization_rows.save, serializer, serializer.save)
        return serializer

    @cached_property
    def _organization_rows(self) -> OrganizationRows:
        return OrganizationRows(self)
