"""Filters, search and ordering: the parameters of a list tell nothing about another organization."""

from __future__ import annotations

from http import HTTPStatus

import django_filters
import pytest
from django import forms
from django.core.exceptions import ImproperlyConfigured
from django.http import QueryDict
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework.filters import OrderingFilter, SearchFilter

from closient_auth.contrib.django_filters import (
    OrganizationDjangoFilterBackend,
    OrganizationModelChoiceFilter,
    OrganizationModelMultipleChoiceFilter,
)
from closient_auth.filters import OrganizationFilterBackend
from closient_auth.models import Organization
from tests.models import Document, Folder, Tag
from tests.relations.views import DocumentViewSet, PlainViewSet, route

pytestmark = pytest.mark.django_db

ERROR = "Select a valid choice. That choice is not one of the available choices."


class PlainFilters(PlainViewSet):
    filter_backends = [OrganizationFilterBackend, DjangoFilterBackend]
    filterset_fields = {"folder": ["exact", "in"], "tags": ["exact"], "seller": ["exact"], "title": ["exact"]}


class ByFields(PlainFilters):
    filter_backends = [OrganizationFilterBackend, OrganizationDjangoFilterBackend]


class PlainFilterSet(django_filters.FilterSet):
    folder = django_filters.ModelChoiceFilter(queryset=Folder.objects.all())
    tags = django_filters.ModelMultipleChoiceFilter(queryset=Tag.objects.all())
    owner = django_filters.ModelChoiceFilter(field_name="seller", queryset=lambda request: Organization.objects.all())

    class Meta:
        model = Document
        fields = ["folder__in", "seller"]

    folder__in = django_filters.CharFilter(field_name="folder__name")


class OwnFilterSet(PlainFilterSet):
    folder = OrganizationModelChoiceFilter(queryset=Folder.objects.all())
    tags = OrganizationModelMultipleChoiceFilter(queryset=lambda request: Tag.objects)
    seller = OrganizationModelChoiceFilter(queryset=Organization.objects.all(), organization_field="pk")


class EagerFilterSet(PlainFilterSet):
    """A filter set that builds its form at once."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.form.fields["folder"].help_text = "Choose"


class ByMixin(DocumentViewSet):
    filter_backends = [OrganizationDjangoFilterBackend]
    filterset_fields = PlainFilters.filterset_fields


class ByClass(ByFields):
    filterset_class = PlainFilterSet


class ByEagerClass(ByFields):
    filterset_class = EagerFilterSet


class ByOwnFilters(PlainFilters):
    filterset_class = OwnFilterSet


class ByBoth(ByMixin):
    filterset_class = OwnFilterSet


@pytest.fixture(autouse=True)
def templates(settings):
    """Install the templates of the filter forms."""
    settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, "django_filters"]


def ask(name, *others):
    return lambda pk: {"path": "/documents/?" + "&".join(f"{name}={each}" for each in (pk, *others))}


def test_without_a_cure_a_filter_knows_foreign_rows(send, mount, own, foreign):
    mount(route(PlainFilters))

    assert send(f"/documents/?folder={foreign.folder.pk}").json() == []
    assert send("/documents/?folder=987654321").status_code == HTTPStatus.BAD_REQUEST
    assert "Foreign folder" in send("/documents/", accept="text/html").content.decode()


@pytest.mark.parametrize("view", [ByFields, ByMixin, ByClass, ByEagerClass, ByOwnFilters, ByBoth])
def test_foreign_choice_is_one_that_never_was(send, mount, compare, own, foreign, view):
    mount(route(view))
    unknown = "00000000-0000-4000-8000-000000000000"

    assert compare(ask("folder"), foreign.folder.pk) == (400, f'{{"folder":["{ERROR}"]}}')
    status, body = compare(ask("tags", own.tag.pk), foreign.tag.pk)
    assert (status, "ID is not one of the available choices" in body) == (400, True)
    assert compare(ask("seller"), foreign.organization.pk, unknown) == (400, f'{{"seller":["{ERROR}"]}}')
    for query in (f"folder={own.folder.pk}", f"tags={own.tag.pk}"):
        assert [row["id"] for row in send(f"/documents/?{query}").json()] == [own.document.pk]
    assert send(f"/documents/?seller={own.organization.pk}").json() == []


@pytest.mark.parametrize("view", [ByMixin, ByBoth])
def test_page_lists_own_choices_alone(send, mount, own, foreign, view):
    mount(route(view))

    page = send("/documents/", accept="text/html").content.decode()

    assert "Own folder" in page
    for text in ("Foreign", "Globex"):
        assert text not in page


def test_list_of_choices(send, mount, compare, own, foreign):
    mount(route(ByMixin))

    status, body = compare(lambda pk: {"path": f"/documents/?folder__in={own.folder.pk},{pk}"}, foreign.folder.pk)

    assert (status, body) == (400, f'{{"folder__in":["{ERROR}"]}}')
    assert len(send(f"/documents/?folder__in={own.folder.pk}").json()) == 1


def test_view_without_filters(send, mount, own, foreign):
    class Unfiltered(DocumentViewSet):
        filter_backends = [OrganizationDjangoFilterBackend]

    mount(route(Unfiltered))

    assert [row["id"] for row in send("/documents/?folder=1").json()] == [own.document.pk]


def test_filter_of_rows_that_belong_to_nobody(send, mount, own, foreign, django_user_model):
    """Its choices are not narrowed."""

    class UserFilterSet(django_filters.FilterSet):
        user = django_filters.ModelChoiceFilter(queryset=django_user_model.objects.all(), method="ignore")

        def ignore(self, queryset, name, value):
            return queryset

    class ByUser(ByMixin):
        filterset_class = UserFilterSet

    mount(route(ByUser))
    user = django_user_model.objects.create(username="anybody")

    assert len(send(f"/documents/?user={user.pk}").json()) == 1


class ValueFilterSet(django_filters.FilterSet):
    """Filters whose choices are values of rows, or a part of another field."""

    title = django_filters.AllValuesFilter(field_name="title")
    place = django_filters.AllValuesMultipleFilter(field_name="folder__name")
    folder = django_filters.LookupChoiceFilter(
        field_class=forms.ModelChoiceField, lookup_choices=["exact"], queryset=Folder.objects.all()
    )

    class Meta:
        model = Document
        fields: list[str] = []


class PlainValues(PlainFilters):
    filterset_class = ValueFilterSet


class ValuesByBackends(ByFields):
    filterset_class = ValueFilterSet


class ValuesByMixin(DocumentViewSet):
    filter_backends = [OrganizationDjangoFilterBackend]
    filterset_class = ValueFilterSet
    organization_field = "folder__organization"


def test_without_a_cure_values_of_foreign_rows_are_known(send, mount, own, foreign):
    mount(route(PlainValues))

    assert send("/documents/?title=Foreign%20document").json() == []
    assert send("/documents/?title=Never%20was").status_code == HTTPStatus.BAD_REQUEST
    assert "Foreign document" in send("/documents/", accept="text/html").content.decode()


@pytest.mark.parametrize("view", [ValuesByBackends, ValuesByMixin])
def test_values_of_foreign_rows_are_unknown(send, mount, compare, own, foreign, view):
    mount(route(view))

    for name, value in (("title", "Foreign document"), ("place", "Foreign folder")):
        answers = [send(f"/documents/?{name}={each.replace(' ', '%20')}") for each in (value, "Never was")]
        assert [answer.status_code for answer in answers] == [400, 400]
        bodies = [
            answers[0].content.decode().replace(value, "X"),
            answers[1].content.decode().replace("Never was", "X"),
        ]
        assert bodies[0] == bodies[1]
        assert "X is not one of the available choices" in bodies[0]
    path = "/documents/?folder_lookup=exact&folder="
    assert compare(lambda pk: {"path": f"{path}{pk}"}, foreign.folder.pk) == (400, f'{{"folder":["{ERROR}"]}}')
    for query in ("title=Own%20document", "place=Own%20folder", f"folder_lookup=exact&folder={own.folder.pk}"):
        assert [row["id"] for row in send(f"/documents/?{query}").json()] == [own.document.pk]


def test_page_lists_values_of_own_rows_alone(send, mount, own, foreign):
    mount(route(ValuesByMixin))

    page = send("/documents/", accept="text/html").content.decode()

    for text in ("Own document</option>", "Own folder</option>"):
        assert text in page
    assert "Foreign" not in page


def test_values_of_rows_that_belong_to_another_organization_by_the_view(send, mount, own, foreign):
    """The path of the view counts, not the shortest one."""
    moved = Document.objects.create(organization=own.organization, title="Moved", folder=foreign.folder)
    mount(route(ValuesByMixin))

    assert send(f"/documents/?title={moved.title}").status_code == HTTPStatus.BAD_REQUEST


def test_field_of_several_parts_without_rows(send, mount, own, foreign):
    class RangeFilterSet(django_filters.FilterSet):
        id = django_filters.RangeFilter()

        class Meta:
            model = Document
            fields: list[str] = []

    mount(route(type("ByRange", (ByMixin,), {"filterset_class": RangeFilterSet})))

    assert [row["id"] for row in send("/documents/?id_min=0").json()] == [own.document.pk]


def test_filter_without_a_request_is_an_error(own):
    with pytest.raises(ImproperlyConfigured, match="OrganizationModelChoiceFilter needs the request"):
        OwnFilterSet(QueryDict("folder=1"), Document.objects.all()).is_valid()


class Searching(DocumentViewSet):
    filter_backends = [SearchFilter, OrderingFilter, OrganizationDjangoFilterBackend]
    search_fields = ["title", "folder__name", "tags__name", "folder__documents__title"]
    ordering_fields = ["title", "folder__name", "organization__name"]
    filterset_fields = {"folder__name": ["exact", "startswith"], "tags__name": ["exact"]}


class Unscoped(PlainViewSet):
    filter_backends = [SearchFilter]
    search_fields = Searching.search_fields


def test_without_a_cure_a_search_finds_foreign_rows(send, mount, own, foreign):
    mount(route(Unscoped))

    assert [row["id"] for row in send("/documents/?search=Foreign").json()] == [foreign.document.pk]


@pytest.mark.parametrize("parameter", ["search", "folder__name", "folder__name__startswith", "tags__name"])
def test_search_and_filters_over_relations(send, mount, compare, own, foreign, parameter):
    mount(route(Searching))
    for name in ("Foreign document", "Foreign folder", "Foreign tag"):
        status, body = compare(
            lambda name: {"path": f"/documents/?{parameter}={name.replace(' ', '%20')}"}, name, "Never was"
        )
        assert (status, body) == (200, "[]")
    own_name = "Own%20tag" if parameter == "tags__name" else "Own%20folder"
    assert [row["id"] for row in send(f"/documents/?{parameter}={own_name}").json()] == [own.document.pk]


@pytest.mark.parametrize("ordering", ["folder__name", "-folder__name", "organization__name", "-title", "title"])
def test_ordering_over_relations(send, mount, own, foreign, ordering):
    Document.objects.create(organization=own.organization, title="Second", folder=own.folder)
    mount(route(Searching))

    titles = [row["title"] for row in send(f"/documents/?ordering={ordering}").json()]

    assert sorted(titles) == ["Own document", "Second"]
