"""The OpenAPI document is valid, has no warnings, and matches the views."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest

from closient_auth.api import serializers

PROGRAM = """
import json
import sys

import django
from django.conf import settings
from django.core.management import call_command

from tests import settings as defaults

values = {name: value for name, value in vars(defaults).items() if name.isupper()}
values["INSTALLED_APPS"] = [*defaults.INSTALLED_APPS, "drf_spectacular"]
values["REST_FRAMEWORK"] = {"DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema"}
values["ROOT_URLCONF"] = sys.argv[1]
values["CLOSIENT_AUTH"] = {"HEADER": "X-Acme-Key", **json.loads(sys.argv[2])}
settings.configure(**values)
django.setup()
call_command("spectacular", "--fail-on-warn", "--validate", "--format", "openapi-json")
"""


def describe(urlconf, **values):
    """Return the document of a URLconf, with these values in ``CLOSIENT_AUTH``. Fail if there are warnings."""
    process = subprocess.run(
        [sys.executable, "-c", PROGRAM, urlconf, json.dumps(values)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout)


@pytest.fixture(scope="module")
def schema():
    return describe("closient_auth.urls")


def test_beside_a_host_with_organizations_of_its_own():
    schema = describe("tests.api.host_urls")

    assert list(schema["components"]["schemas"]["Organization"]["properties"]) == ["vat_number"]
    assert list(schema["components"]["securitySchemes"]) == ["ApiKey", "TenantKeyAuthentication", "cookieAuth"]
    assert schema["paths"]["/host/organizations"]["get"]["security"] == [{"TenantKeyAuthentication": []}]


def test_every_route(schema):
    methods = {path: sorted(set(item) - {"parameters"}) for path, item in schema["paths"].items()}
    organization = "/organizations/{organization_id}"
    assert methods == {
        "/me": ["get"],
        "/me/key": ["delete"],
        "/me/keys": ["get", "post"],
        "/me/keys/{id}": ["delete", "get", "patch"],
        "/me/keys/{id}/rotate": ["post"],
        "/me/invitations": ["get"],
        "/organizations": ["get", "post"],
        organization: ["delete", "get", "patch"],
        f"{organization}/keys": ["get", "post"],
        f"{organization}/keys/{{id}}": ["delete", "get", "patch"],
        f"{organization}/keys/{{id}}/rotate": ["post"],
        f"{organization}/keys/{{id}}/usage": ["get"],
        f"{organization}/usage": ["get"],
        f"{organization}/user-keys": ["get"],
        f"{organization}/user-keys/{{id}}": ["get", "patch"],
        f"{organization}/members": ["get"],
        f"{organization}/members/{{id}}": ["delete", "get", "patch"],
        f"{organization}/members/{{id}}/offboarding": ["get"],
        f"{organization}/invitations": ["get", "post"],
        f"{organization}/invitations/{{id}}": ["delete", "get"],
        f"{organization}/invitations/{{id}}/resend": ["post"],
        f"{organization}/audit": ["get"],
        "/invitations/accept": ["post"],
        "/invitations/decline": ["post"],
        "/invitations/preview": ["post"],
    }


def test_key_and_session(schema):
    schemes = schema["components"]["securitySchemes"]
    assert schemes["ApiKey"] == {"type": "apiKey", "in": "header", "name": "X-Acme-Key"}
    operations = [operation for item in schema["paths"].values() for operation in item.values()]
    assert all(operation["security"] == [{"ApiKey": []}, {"cookieAuth": []}] for operation in operations)


def test_answers(schema):
    def statuses(path, method):
        return {int(status) for status in schema["paths"][path][method]["responses"]}

    keys = "/organizations/{organization_id}/keys"
    refusals = {401, 403, 429, 503}
    assert statuses("/me", "get") == {200, 404} | refusals
    assert statuses(keys, "get") == {200, 400, 404} | refusals
    for path in (f"{keys}/{{id}}/usage", "/organizations/{organization_id}/usage"):
        assert statuses(path, "get") == {200, 400, 404, 409} | refusals
        parameters = {each["name"]: each["schema"] for each in schema["paths"][path]["get"]["parameters"]}
        assert {*parameters} - {"id", "organization_id"} == {"from", "to", "interval"}
        assert parameters["interval"]["enum"] == ["hour", "day"]
        assert parameters["from"]["format"] == "date-time"
    assert statuses(keys, "post") == {201, 400, 404, 409} | refusals
    assert statuses(f"{keys}/{{id}}", "delete") == {204, 404, 409} | refusals
    assert statuses("/organizations/{organization_id}/members/{id}", "delete") == {200, 404, 409} | refusals
    query = [
        parameter["name"] for parameter in schema["paths"][keys]["get"]["parameters"] if parameter["in"] == "query"
    ]
    assert sorted(query) == ["page", "page_size", "prefix", "state", "unused_since"]
    properties = schema["components"]["schemas"]
    user_id = properties["ClosientAuditEntry"]["properties"]["user_id"]
    assert user_id == {"type": "string", "nullable": True, "readOnly": True}
    assert "key" not in properties["ClosientApiKey"]["properties"]
    assert properties["ClosientNewUserKey"]["properties"]["key"]["readOnly"]


def test_bodies(schema):
    new_key = schema["components"]["schemas"]["ClosientNewApiKey"]

    assert new_key["additionalProperties"] is False
    assert new_key["properties"]["prefix"]["pattern"] == "^(csb|cpk)$"
    pattern = schema["components"]["schemas"]["ClosientOrganization"]["properties"]["name"]["pattern"]
    assert [name for name in ("Acme", " a\n", "", " ", "a\0") if re.search(pattern, name)] == ["Acme", " a\n"]
    assert schema["components"]["schemas"]["PatchedClosientApiKey"]["properties"]["description"]["oneOf"] == [
        {"type": "string", "maxLength": 255, "pattern": r"^[^\x00]+$"},
        {"type": "string", "maxLength": 0},
    ]
    for path in ("/organizations", "/me/keys"):
        query = {parameter["name"]: parameter["schema"] for parameter in schema["paths"][path]["get"]["parameters"]}
        assert (query["page"]["minimum"], query["page_size"]["minimum"]) == (1, 1)


def test_each_operation_has_its_place_and_summary(schema):
    operations = [operation for item in schema["paths"].values() for operation in item.values()]
    by_tag: dict[str, list[str]] = {}
    for operation in operations:
        (tag,) = operation["tags"]
        by_tag.setdefault(tag, []).append(operation["summary"])

    assert set(by_tag) == {"me", "organizations", "keys", "user keys", "members", "invitations", "audit", "usage"}
    summaries = [summary for tag in by_tag for summary in by_tag[tag]]
    assert len(set(summaries)) == len(summaries) == 39
    members = ["Get a member", "List members", "Preview the removal of a member", "Remove a member", "Update a member"]
    assert sorted(by_tag["members"]) == members
    assert not any("Base of the views" in operation.get("description", "") for operation in operations)


def test_examples_can_be_sent(schema):
    def examples(name):
        properties = schema["components"]["schemas"][f"Closient{name}"]["properties"]
        return {name: value["example"] for name, value in properties.items() if "example" in value}

    assert examples("Organization") == {"name": "Alpine Outdoor", "slug": "alpine-outdoor"}
    key = {"name": "warehouse", "description": "Counts the stock.", "expires_at": None}
    restrictions = {
        "permissions": ["organization.view_organization"],
        "restricted_to": None,
        "allowed_networks": ["203.0.113.0/24"],
        "allowed_origins": [],
    }
    assert examples("NewApiKey") == key | {"rate_limit_per_minute": 0, "rate_limit_per_day": 0} | restrictions
    for name in ("Organization", "NewApiKey"):
        serializer = getattr(serializers, f"{name}Serializer")(data=examples(name), partial=True)
        assert serializer.is_valid(), serializer.errors


def test_errors_have_an_example(schema):
    responses = schema["paths"]["/organizations/{organization_id}/keys"]["post"]["responses"]

    bodies = {
        int(status): example["value"]
        for status, response in responses.items()
        for example in response["content"]["application/json"].get("examples", {}).values()
    }
    assert {status: body.get("code") for status, body in bodies.items()} == {
        401: "invalid_api_key",
        403: "session_required",
        404: None,
        409: "conflict",
        429: "throttled",
        503: "limits_unavailable",
    }
    assert all(body["detail"] for body in bodies.values())
