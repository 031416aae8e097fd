"""The adapter in CONTRIBUTING.md works, and the page agrees with the code."""

from __future__ import annotations

import re
import tomllib
from http import HTTPStatus

import pytest
from django.http import JsonResponse

from closient_auth.models import ApiKey
from tests.checkout import ROOT
from tests.factories import MembershipFactory, make_key

PAGE = (ROOT / "CONTRIBUTING.md").read_text()
(ADAPTER,) = re.findall(r"^```python\n(.+?)^```$", PAGE, re.M | re.S)


@pytest.fixture
def serve(mount):
    """Serve a view behind the adapter of the page."""
    names: dict[str, object] = {}
    exec(ADAPTER, names)

    def serve(permission="organization.view_organization"):
        view = names["api_key_required"](permission)  # type: ignore[operator]
        mount(view(lambda request, organization: JsonResponse({"slug": organization.slug, "user": str(request.user)})))

    return serve


@pytest.mark.django_db
def test_adapter_lets_keys_in(serve, call):
    serve()
    member = MembershipFactory.create(organization__slug="acme", role="billing")
    for api_key, raw_key in (make_key(organization=member.organization), make_key("csu", user=member.user)):
        response = call(raw_key=raw_key)

        assert (response.status_code, response.json()["slug"]) == (HTTPStatus.OK, "acme")
        assert response["Vary"] == "X-API-Key, X-Organization"
        assert response["Cache-Control"] == "private, no-store"
        assert response["RateLimit-Remaining"] == "299"
        assert ApiKey.objects.get(pk=api_key.pk).last_used is not None


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("make", "status", "code"),
    [
        (lambda: None, HTTPStatus.UNAUTHORIZED, "not_authenticated"),
        (lambda: "csb_x", HTTPStatus.UNAUTHORIZED, "invalid_api_key"),
        (lambda: make_key("cpk")[1], HTTPStatus.FORBIDDEN, "publishable_key_refused"),
        (lambda: make_key("csu")[1], HTTPStatus.BAD_REQUEST, "organization_required"),
    ],
)
def test_adapter_refuses(serve, call, make, status, code):
    serve()

    response = call(raw_key=make())

    assert (response.status_code, response.json()["code"]) == (status, code)
    assert response["Vary"].startswith("X-API-Key, X-Organization")
    assert response.get("Cache-Control") == (None if code == "not_authenticated" else "private, no-store")


@pytest.mark.django_db
def test_adapter_checks_permissions_and_limits(serve, call):
    member = MembershipFactory.create(role="billing")
    _, raw_key = make_key("csu", user=member.user, rate_limit_per_minute=2)
    # A refused request counts as well.
    serve("organization.manage_api_keys")
    assert call(raw_key=raw_key).status_code == HTTPStatus.FORBIDDEN

    serve()

    assert [call(raw_key=raw_key).status_code for _ in range(2)] == [HTTPStatus.OK, HTTPStatus.TOO_MANY_REQUESTS]


def test_layers_are_those_of_the_contract():
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]
    wanted = [name for layer in contract["layers"] for name in re.findall(r"\w+", layer)]
    section = PAGE.partition("\n## Layers\n")[2].partition("\n## ")[0]
    listed = re.findall(r"`(\w+)`", section.partition("1. ")[2].partition("\n\n")[0])
    inner = ["forgetting", "invitations", "reminders", "anchors", "usage", "memberships", "api_keys"]
    inner += ["key_policies", "restrictions", "organizations", "ownership", "audit", "mailed_addresses", "mails"]
    inner += ["locks", "actors", "addresses", "people"]

    start = listed.index("models") + 1
    assert listed[start : start + len(inner)] == inner
    assert sorted(listed[:start] + listed[start + len(inner) :]) == sorted(wanted)


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`((?:tests|closient_auth|docs)/[\w/]+(?:\.\w+)?/?)`", PAGE))))
def test_named_path_exists(name):
    assert (ROOT / name).exists()


def test_variables_are_those_of_the_test_settings_and_of_tox():
    rows = re.findall(r"^\| `(CLOSIENT_AUTH_TEST_\w+)` \| (?:`(.+)`|[\w ]+) \| `(\S+)`", PAGE, re.M)
    documented = {name: (of, example) for name, of, example in rows}
    defaults = dict(re.findall(r"\{env:(CLOSIENT_AUTH_TEST_\w+):(\S+)\}", (ROOT / "tox.ini").read_text()))
    read = re.findall(r'environ\.get\("(\w+)"', (ROOT / "tests" / "settings.py").read_text())

    assert set(documented) == {*read, *defaults}
    assert {name: documented[name][1] for name in defaults} == defaults
    for name in set(defaults) - set(read):
        environment = documented[name][0].removeprefix("tox -e ")
        assert f" {environment}: CLOSIENT_AUTH_TEST_DATABASE_URL = {{env:{name}:" in (ROOT / "tox.ini").read_text()
