"""Run the code and commands of the README, and compare its tables with the package."""

from __future__ import annotations

import re
import sys
import time
from ast import literal_eval
from datetime import UTC, datetime
from types import ModuleType
from typing import Any

import pytest
import time_machine
from django.core import checks
from django.core.management import get_commands
from django.test import override_settings
from django.urls import path
from django.utils.module_loading import import_string
from rest_framework.response import Response
from rest_framework.test import APIClient
from rest_framework.views import APIView

from closient_auth.checks import check_settings
from closient_auth.conf import AppSettings, conf
from closient_auth.core.refusals import REFUSALS
from closient_auth.decorators import publishable
from closient_auth.keys import KeyType
from closient_auth.models import ApiKey
from closient_auth.roles import ROLE_PERMISSIONS, Permission, Role
from tests.checkout import ROOT
from tests.factories import MembershipFactory, OrganizationFactory, UserFactory, make_key
from tests.models import Project
from tests.readme import README, get_block, get_table, run


@pytest.fixture
def host(db, settings, monkeypatch, mount):
    """Set up a project with the README's settings, models, views and URLs."""
    configured = run(get_block("# settings.py"), INSTALLED_APPS=list(settings.INSTALLED_APPS))
    settings.REST_FRAMEWORK = configured["REST_FRAMEWORK"]

    def add(name, **names):
        module = ModuleType(name)
        vars(module).update(names)
        monkeypatch.setitem(sys.modules, f"shop.{name}", module)

    add("models", Product=Project)
    for name in ("serializers", "views"):
        add(name, **run(get_block(f"# {name}.py")))
    view: Any = sys.modules["shop.views"].ProductViewSet
    view.required_permissions = run(get_block("# in ProductViewSet"))["required_permissions"]
    urlpatterns = run(get_block("# urls.py"), urlpatterns=[])["urlpatterns"]
    mount(*urlpatterns, path("invoices", run(get_block("@api_view()"))["invoices"]))


def test_settings_block_installs_what_the_checks_want(db, settings):
    configured = run(get_block("# settings.py"), INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes"])
    assert configured["INSTALLED_APPS"][-2:] == ["rest_framework", "closient_auth"]

    with override_settings(REST_FRAMEWORK=configured["REST_FRAMEWORK"], DEBUG=True):
        assert [message for message in checks.run_checks() if str(message.id).startswith("closient_auth")] == []


def test_shell_block_makes_a_key_that_the_views_accept(host):
    made = run(get_block("create_key("), ada=UserFactory.create(), eli=UserFactory.create())
    client = APIClient(headers={"X-API-Key": made["raw_key"]})

    assert client.post("/products", {"name": "Tent"}).status_code == 201
    assert [row["name"] for row in client.get("/products").data] == ["Tent"]
    assert client.get("/invoices").data == {"organization": "Alpine Outdoor"}
    assert APIClient().get("/products").status_code == 401


def test_views_block_keeps_organizations_and_roles_apart(host):
    ours, theirs = OrganizationFactory.create_batch(2)
    product = Project.objects.create(name="Tent", organization=ours)
    editor = UserFactory.create()
    ours.memberships.create(user=editor, role=Role.EDITOR)
    clients = {
        "editor": ApiKey.objects.create_key(prefix="csu", user=editor),
        "publishable": ApiKey.objects.create_key(prefix="cpk", organization=ours),
        "foreign": ApiKey.objects.create_key(prefix="csb", organization=theirs),
    }
    answers = {
        name: [
            client.get(f"/products/{product.pk}").status_code,
            client.patch(f"/products/{product.pk}", {"name": "Big tent"}).status_code,
            client.get("/invoices").status_code,
            client.delete(f"/products/{product.pk}").status_code,
        ]
        for name, client in ((name, APIClient(headers={"X-API-Key": key})) for name, (_, key) in clients.items())
    }

    assert answers == {
        "editor": [200, 200, 403, 403],
        "publishable": [200, 403, 403, 403],
        "foreign": [404, 404, 200, 404],
    }
    product.refresh_from_db()
    assert product.name == "Big tent"


def test_view_of_django_has_the_permissions_of_the_request(db, mount, call):
    mount(run(get_block("def dashboard("))["dashboard"])
    member = MembershipFactory.create(organization__name="Alpine", role=Role.EDITOR)
    expected = {"organization": "Alpine", "may_pay": False}

    assert call(user=member.user).json() == expected
    assert call(raw_key=make_key("csu", user=member.user)[1]).json() == expected
    assert call(raw_key=make_key("csb", organization=member.organization)[1]).json() == expected | {"may_pay": True}
    assert call().json()["code"] == "not_authenticated"


def test_operation_of_ninja_needs_its_permission(db, mount, call, settings, monkeypatch):
    # Ninja refuses a second API with the same name in one process.
    monkeypatch.setenv("NINJA_SKIP_REGISTRY", "1")
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, *re.findall(r"`(\S+)` to `MIDDLEWARE`", README)]
    mount(path("", run(get_block("NinjaAPI("))["api"].urls))
    member = MembershipFactory.create(organization__name="Alpine", role=Role.EDITOR)

    assert call("/payments", make_key(organization=member.organization)[1]).json() == {"organization": "Alpine"}
    assert call("/payments", user=member.user).json()["required_permission"] == Permission.MANAGE_BILLING
    assert call("/payments").json()["code"] == "not_authenticated"


def test_keys_table_is_what_a_request_finds(mount, call, db):
    found = []

    @publishable
    class View(APIView):
        def get(self, request):
            found.append(request)
            return Response()

    mount(View.as_view())
    documented = {prefix: user for prefix, _, user, _ in get_table("API keys")}
    assert list(documented) == KeyType.values
    for prefix, user in documented.items():
        api_key, raw_key = make_key(prefix)
        assert call("/", raw_key).status_code == 200
        request = found.pop()
        assert request.auth == api_key
        if user == "the key's user":
            assert request.user == api_key.user
        else:
            assert user == type(request.user).__name__
            # A business key has all permissions in its organization, a publishable key only the one to view it.
            assert request.user.permissions == set(
                Permission if prefix == KeyType.BUSINESS else [Permission.VIEW_ORGANIZATION]
            )


def test_headers_table_is_what_an_answer_says(call, db):
    names: dict[str, str] = {}
    for cell, text in get_table("Rate limit headers"):
        names |= dict.fromkeys(cell.replace("`", "").split(", "), text)

    with time_machine.travel(datetime(2026, 7, 1, 12, tzinfo=UTC), tick=False):
        headers = call("/who/", make_key("csb")[1]).headers
        now = time.time()

    assert {name for name in headers if "RateLimit" in name} == set(names)
    assert f"`{headers['RateLimit-Policy']}" in names["RateLimit-Policy"]
    assert "in seconds" in names["RateLimit-Reset"]
    assert 0 < int(headers["RateLimit-Reset"]) <= 60
    assert "a Unix timestamp" in names["X-RateLimit-Reset"]
    assert int(headers["X-RateLimit-Reset"]) == now + int(headers["RateLimit-Reset"])
    for name in ("Limit", "Remaining"):
        assert headers[f"X-RateLimit-{name}"] == headers[f"RateLimit-{name}"]


def test_examples_of_settings_are_good(settings):
    examples = [literal_eval(text) for text in re.findall(r"`CLOSIENT_AUTH = ({.+?})`", README)]
    examples += [{name: literal_eval(text)} for name, text in re.findall(r"`(\w+)` \| .+: `({.+})` \|$", README, re.M)]

    assert [set(example) for example in examples] == [{"LAST_USED_INTERVAL"}, {"EXTRA_ROLE_PERMISSIONS"}]
    for example in examples:
        settings.CLOSIENT_AUTH = example
        assert check_settings() == []
        assert {name: getattr(conf, name) for name in example} == example


def test_settings_table_is_the_settings(settings):
    settings.CLOSIENT_AUTH = {}
    documented = {name: default.strip('"') for name, default, _ in get_table("Settings")}
    # A long default has a name.
    for name in ("SESSION_ONLY_VIEWS", "DASHBOARD_CONTENT_SECURITY_POLICY"):
        documented[name] = str(import_string(documented[name].strip("`")))
    assert documented == {name: str(getattr(conf, name)) for name in vars(AppSettings) if name.isupper()}


def test_roles_table_is_the_table():
    documented = {permission: cells for permission, *cells in get_table("Roles")}
    assert documented == {
        permission: ["yes" if permission in ROLE_PERMISSIONS[role] else "no" for role in Role]
        for permission in Permission
    }


def test_answers_table_has_every_code():
    documented = {(int(status), code) for status, code, _ in get_table("Error responses") if code}
    # REST framework's own 404 has no code.
    assert documented == {(status, code) for code, (status, _) in REFUSALS.items() if status != 404}


@pytest.mark.parametrize("command", sorted(set(re.findall(r"manage\.py (\w+)", README))))
def test_command_exists(command):
    assert command in get_commands()


@pytest.mark.parametrize("target", sorted(set(re.findall(r"(?:^|`)make ([a-z]+)", README, re.M))))
def test_make_target_exists(target):
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.M)


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\((?!https?:)([^)#]+)", README))))
def test_link_leads_to_a_file(link):
    assert (ROOT / link).is_file()
