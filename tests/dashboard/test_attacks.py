"""Attacks on every page and form of the dashboard. The URLconf says which there are."""

from __future__ import annotations

from html import escape
from http import HTTPStatus
from urllib.parse import urlencode
from uuid import uuid4

import pytest
from django.test import Client
from django.utils import translation

from tests.api.world import snapshot, undone
from tests.dashboard.markup import Markup
from tests.dashboard.routes import ACTIONS, METHODS, PAGES, ROUTES, get_text
from tests.dashboard.world import HOSTILE, IMAGE, SCRIPT, SETTINGS, World

pytestmark = [pytest.mark.django_db, pytest.mark.unmeasured]

EVIL = (
    "//evil.example",
    "https://evil.example",
    r"/\evil.example",
    r"\\evil.example",
    "javascript:alert(1)",
    "/%09/evil.example",
)
# Names of parameters with an address to return to, in Django and in other packages.
RETURN = ("next", "return", "return_to", "redirect", "redirect_to", "back", "url", "to", "cancel")
OTHER_METHODS = ("put", "patch", "delete", "options", "trace")
REDIRECTS = (HTTPStatus.FOUND, HTTPStatus.SEE_OTHER)


@pytest.fixture
def world(settings):
    settings.CLOSIENT_AUTH = SETTINGS
    return World()


def each(names):
    """Run a test for each of the names in one world, because a new world takes longer than most of these tests."""

    def decorator(test):
        def run(world, subtests):
            for name in names:
                with subtests.test(name):
                    test(world, name)

        run.__name__, run.__doc__ = test.__name__, test.__doc__
        return run

    return decorator


def read(response):
    """Return the parsed page, or ``None`` for a redirect, a file or a page of the project."""
    is_page = response.status_code in (HTTPStatus.OK, HTTPStatus.FORBIDDEN, HTTPStatus.CONFLICT)
    return Markup(response.text) if is_page and "html" in response["Content-Type"] else None


@each(PAGES)
def test_a_page_is_strict_and_shows_hostile_names_as_text(world, name):
    for person in ("owner", "manager", "billing", "editor", "outsider", "root"):
        response = world.get_client(person).get(world.get_address(name, person))
        # A page that the Owner cannot open is not tested at all.
        assert person != "owner" or response.status_code in (HTTPStatus.OK, *REDIRECTS)
        if not (page := read(response)):
            continue
        assert page.faults == [], person
        assert page.language == translation.get_language()
        assert page.headings[:1] == [1], page.headings
        assert page.headings.count(1) == 1
        assert page.title
        assert SCRIPT not in response.text
        assert IMAGE not in response.text


def test_hostile_names_are_there(world):
    """Otherwise the test above proves nothing."""
    client = world.get_client("owner")
    text = "".join(client.get(world.get_address(name)).text for name in ("home", "keys"))

    assert {name for name in HOSTILE if escape(name) not in text} == set()


def test_the_variants_of_pages_are_strict(world):
    client = world.get_client("owner")
    for address in world.list_variants():
        response = client.get(address)
        assert response.status_code in (HTTPStatus.OK, *REDIRECTS), address
        if page := read(response):
            assert page.faults == [], address
            assert SCRIPT not in response.text
            assert IMAGE not in response.text


@each(PAGES)
def test_hostile_query_strings_are_text(world, name):
    client, address = world.get_client("owner"), world.get_address(name)
    for value in (SCRIPT, IMAGE, "\0", "'", "%", "9" * 400, "\ud83d".encode("utf-8", "surrogatepass")):
        names = (
            "q",
            "state",
            "type",
            "sort",
            "page",
            "from",
            "to",
            "event",
            "person",
            "target",
            "role",
            "range",
            "next",
        )
        response = client.get(f"{address}?{urlencode(dict.fromkeys(names, value))}")
        assert response.status_code in (HTTPStatus.OK, HTTPStatus.BAD_REQUEST, *REDIRECTS), value
        if page := read(response):
            assert page.faults == []
            assert SCRIPT not in response.text
            assert IMAGE not in response.text


@each(PAGES)
def test_a_get_changes_nothing_and_head_is_like_it(world, name):
    for person in ("owner", "editor", "outsider", "root"):
        client, address = world.get_client(person), world.get_address(name, person)
        before = snapshot()
        response, head = client.get(address), client.head(address)

        assert snapshot() == before
        assert (head.status_code, head.getvalue()) == (response.status_code, b"")
        assert set(head.headers) | {"Content-Length"} == set(response.headers) | {"Content-Length"}


@each(sorted(ROUTES))
def test_other_methods_are_refused(world, name):
    client, address, before = world.get_client("owner"), world.get_address(name), snapshot()
    for method in (*OTHER_METHODS, *{*METHODS} - ROUTES[name].methods):
        response = getattr(client, method)(address)
        assert response.status_code == HTTPStatus.METHOD_NOT_ALLOWED, method
        assert response["X-Frame-Options"] == "DENY"
    assert snapshot() == before


@each(ACTIONS)
def test_a_form_without_a_token_is_refused(world, name):
    """Also with the token of another session."""
    other = Client(enforce_csrf_checks=True)
    other.get("/login/")
    for person in ("owner", "root"):
        client = world.get_client(person, enforce_csrf_checks=True)
        address, before = world.get_address(name, person), snapshot()
        stolen = {"csrfmiddlewaretoken": other.cookies["csrftoken"].value}
        for data in ({}, {"csrfmiddlewaretoken": "x" * 64}, stolen):
            assert client.post(address, data).status_code == HTTPStatus.FORBIDDEN
        assert snapshot() == before
        assert client.session["_auth_user_id"] == str(world.people[person].pk)


def test_forms_are_sent_to_this_site_and_have_a_token(world):
    for person in ("owner", "editor", "outsider"):
        client = world.get_client(person)
        for name in PAGES:
            page = read(client.get(world.get_address(name, person)))
            for form in page.forms if page else ():
                assert ("csrfmiddlewaretoken" in form.fields) == (form.method == "post"), (name, form)
                assert form.action == "" or (form.action[0] in "/?" and not form.action.startswith("//")), (name, form)


@each(sorted(ROUTES))
def test_no_page_can_be_framed_or_stored(world, name):
    """Whatever the response is: a page, a redirect to the login, a refusal, a missing row."""
    for person in ("anonymous", "outsider", "editor", "owner", "csb"):
        for method in METHODS:
            with undone():
                response = getattr(world.get_client(person), method)(world.get_address(name, person))
            assert response["X-Frame-Options"] == "DENY", (person, method)
            assert response["X-Content-Type-Options"] == "nosniff"
            assert "frame-ancestors 'none'" in response["Content-Security-Policy"]
            assert {"private", "no-store"} <= set(response["Cache-Control"].split(", "))
            assert response["Referrer-Policy"] in ("same-origin", "no-referrer", "strict-origin-when-cross-origin")


@each(sorted(ROUTES))
def test_no_page_leads_to_another_site(world, name):
    forms = world.forms
    for target in EVIL:
        # ``evil`` is a name that pages do not know.
        query = dict.fromkeys((*RETURN, "evil"), target)
        for person in ("anonymous", "owner"):
            address = f"{world.get_address(name, person)}?{urlencode(query)}"
            client = world.get_client(person)
            for method in sorted(ROUTES[name].methods):
                data = {**world.fill(name, forms[name][1]), **query} if method == "post" and name in forms else query
                with undone():
                    response = getattr(client, method)(address, data if method == "post" else None)
                location = response.get("Location", "/")
                assert location.startswith("/"), (person, method, location)
                assert not location.startswith(("//", "/\\")), (person, method, location)
                page = read(response)
                for link in [*page.links, *(form.action for form in page.forms)] if page else ():
                    assert not link.startswith(EVIL), (person, method, link)


@each(sorted(name for name, route in ROUTES.items() if route.arguments & {"organization", "pk"}))
def test_foreign_and_unknown_rows_are_the_same_404(world, name):
    """In the organization of another one, and in the own organization with the id of another one's row."""
    forms, client = world.forms, world.get_client("owner")
    data, before = world.fill(name, forms[name][1]) if name in forms else {}, snapshot()
    foreign = [world.get_kwargs(name, organization=world.neighbour)]
    unknown = [dict.fromkeys(foreign[0], "nonsense"), {argument: str(uuid4()) for argument in foreign[0]}]
    if ROUTES[name].arguments >= {"organization", "pk"}:
        own = world.acme.slug
        foreign.append({**foreign[0], "organization": own})
        foreign.append({**world.get_kwargs(name), "organization": world.neighbour.slug})
        unknown += [{"organization": own, "pk": "nonsense"}, {"organization": own, "pk": str(uuid4())}]
    for method in sorted(ROUTES[name].methods):
        # A page of the own organization has its tabs, so it compares with such pages alone.
        bodies: dict[bool, set[str]] = {}
        for kwargs in (*foreign, *unknown):
            response = getattr(client, method)(world.reverse(name, kwargs), data if method == "post" else None)
            assert response.status_code == HTTPStatus.NOT_FOUND, (method, kwargs)
            is_own = kwargs.get("organization") == world.acme.slug
            bodies.setdefault(is_own, set()).add(get_text(response))
        assert all(len(texts) == 1 for texts in bodies.values()), (method, bodies)
    assert snapshot() == before
