"""
Compare the example project with its OpenAPI document, with all checks of schemathesis.

An Owner, a business key, a publishable key and an anonymous client send thousands of requests. An operation that would
delete the organization or revoke the key of the identity has its own run.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.served.servers import ROOT, get_environment, serve

EXAMPLE = ROOT / "example_project"
SERVER = ["gunicorn", "example.wsgi", "--config=python:tests.schema.gunicorn", "--bind=fd://{fd}", "--threads=2"]
OPTIONS = [
    # Schemathesis runs all checks by default. "--checks=all" would override the configuration below.
    "--mode=all",
    "--phases=examples,coverage,fuzzing,stateful",
    "--seed=1",
    "--max-examples=10",
    "--max-response-time=5",
    "--generation-allow-x00=true",
    "--generation-database=none",
    # The authenticator would prefer a generated API key to the Owner's session, and return 401.
    "--generation-with-security-parameters=false",
    "--report-json-path=report.json",
    "--report-ndjson-path=report.ndjson",
]
# Random bodies and sequences add nothing where most requests are refused before their body is read.
REFUSED = ["--phases=examples,coverage"]

ACCOUNT = "/account/api/v1"
ORGANIZATIONS = f"{ACCOUNT}/organizations"
ORGANIZATION = f"{ORGANIZATIONS}/{{organization_id}}"
PRODUCTS = "/products/api/v1/products"
# The operations with a successful response, for each identity.
OPEN = {"GET /health"}
PUBLISHABLE = OPEN | {f"GET {ACCOUNT}/me", *(f"GET {PRODUCTS}{path}" for path in ("", "/{id}", "/{id}/offers"))}
BUSINESS = PUBLISHABLE | {
    f"POST {PRODUCTS}",
    f"PATCH {PRODUCTS}/{{id}}",
    f"DELETE {PRODUCTS}/{{id}}",
    f"POST {PRODUCTS}/{{id}}/offers",
    "GET /billing/api/v1/invoices",
    f"GET {ORGANIZATIONS}",
    f"GET {ORGANIZATION}",
    f"GET {ORGANIZATION}/audit",
    *(
        f"GET {ORGANIZATION}/{rows}{path}"
        for rows in ("keys", "user-keys", "members", "invitations")
        for path in ("", "/{id}")
    ),
    f"GET {ORGANIZATION}/members/{{id}}/offboarding",
    f"GET {ORGANIZATION}/keys/{{id}}/usage",
    f"GET {ORGANIZATION}/usage",
}
REVOKE = f"DELETE {ACCOUNT}/me/key"
OWNER = BUSINESS | {
    f"POST {ORGANIZATIONS}",
    f"PATCH {ORGANIZATION}",
    *(
        operation.format(f"{holder}/keys")
        for holder in (f"{ACCOUNT}/me", ORGANIZATION)
        for operation in (
            "GET {}",
            "POST {}",
            "GET {}/{{id}}",
            "PATCH {}/{{id}}",
            "DELETE {}/{{id}}",
            "POST {}/{{id}}/rotate",
        )
    ),
    f"PATCH {ORGANIZATION}/user-keys/{{id}}",
    f"PATCH {ORGANIZATION}/members/{{id}}",
    f"DELETE {ORGANIZATION}/members/{{id}}",
    f"POST {ORGANIZATION}/invitations",
    f"DELETE {ORGANIZATION}/invitations/{{id}}",
    f"POST {ORGANIZATION}/invitations/{{id}}/resend",
    *(f"POST {ACCOUNT}/invitations/{answer}" for answer in ("accept", "decline", "preview")),
    f"GET {ACCOUNT}/me/invitations",
}

# The parameter of each path with existing values (in four of five requests), and its dictionary.
ROWS = {
    rf"{ORGANIZATIONS}/[^/]+/keys/": ("path.id", "keys"),
    rf"{ORGANIZATIONS}/[^/]+/user-keys/": ("path.id", "own_keys"),
    rf"{ORGANIZATIONS}/[^/]+/members/": ("path.id", "members"),
    rf"{ORGANIZATIONS}/[^/]+/invitations/": ("path.id", "invitations"),
    f"{ACCOUNT}/me/keys/": ("path.id", "own_keys"),
    f"{ACCOUNT}/invitations/": ("body.token", "tokens"),
    f"{PRODUCTS}/": ("path.id", "products"),
}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not find_spec("schemathesis") or not EXAMPLE.is_dir(), reason="needs schemathesis and the checkout"
    ),
]


@pytest.mark.parametrize(
    ("identity", "organization", "options", "accepted"),
    [
        pytest.param("owner", "organization", [f"--exclude-name=DELETE {ORGANIZATION}"], OWNER, id="owner"),
        pytest.param(
            "owner",
            "spare_organizations",
            [f"--include-path={ORGANIZATIONS}", f"--include-path={ORGANIZATION}"],
            {f"{method} {ORGANIZATIONS}" for method in ("GET", "POST")}
            | {f"{method} {ORGANIZATION}" for method in ("GET", "PATCH", "DELETE")},
            id="owner-deletes",
        ),
        pytest.param("csb", "organization", [f"--exclude-name={REVOKE}"], BUSINESS, id="business"),
        pytest.param("csb", "organization", [f"--include-name={REVOKE}"], {REVOKE}, id="business-revokes-itself"),
        pytest.param("cpk", "organization", REFUSED, PUBLISHABLE, id="publishable"),
        pytest.param("nobody", "organization", REFUSED, OPEN, id="nobody"),
    ],
)
def test_answers_as_described(tmp_path, identity, organization, options, accepted):
    environment = {
        "DJANGO_SETTINGS_MODULE": "example.settings",
        "EXAMPLE_DATABASE_URL": f"sqlite:///{tmp_path / 'example.sqlite3'}",
        "PYTHONPATH": os.pathsep.join([get_environment(EXAMPLE)["PYTHONPATH"], str(ROOT)]),
    }
    demo = json.loads(run([sys.executable, "-m", "tests.schema.identities"], tmp_path, environment).stdout)
    write_configuration(tmp_path, demo["values"], organization)
    headers = [f"--header={name}: {value}" for name, value in demo["headers"][identity].items()]
    with serve(SERVER, tmp_path, EXAMPLE, **environment) as server:
        # Read it without a credential, because publishable keys are refused.
        (tmp_path / "schema.yaml").write_bytes(server.request("/schema").body)
        url = f"--url=http://127.0.0.1:{server.port}"
        command = [Path(sys.executable).with_name("st"), "run", "schema.yaml", url]
        process = run([*command, *OPTIONS, *headers, *options], tmp_path, environment)

    report = json.loads((tmp_path / "report.json").read_text())
    operations = report["operations"]
    assert process.returncode == 0, process.stdout
    assert (report["stop_reason"], report["errors"], report["failures"]) == ("completed", [], [])
    assert operations["tested"] == operations["selected"] > 0
    assert report["test_cases"]["generated"] >= 10 * operations["tested"]
    assert read_accepted(tmp_path / "report.ndjson") == accepted


def run(command: list[Any], directory: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=directory, env=os.environ | environment, capture_output=True, text=True)


def write_configuration(directory: Path, values: dict[str, list[str]], organization: str) -> None:
    """Write a schemathesis configuration with the ids of existing rows."""
    lines = [
        'hooks = "tests.schema.hooks"',
        *(f"dictionaries.{name}.values = {json.dumps(ids)}" for name, ids in values.items()),
        f"parameters.'path.organization_id' = {{ dictionary = '{organization}', probability = 0.8 }}",
    ]
    for path, (parameter, name) in ROWS.items():
        lines += [
            "[[operations]]",
            f"include-path-regex = '^{path}'",
            f"parameters.'{parameter}' = {{ dictionary = '{name}', probability = 0.8 }}",
        ]
    lines += [
        # Revoked keys and withdrawn invitations can still be read.
        "[[operations]]",
        "include-path-regex = '/(keys|invitations)/'",
        "checks.use_after_free.enabled = false",
        # JSON Schema describes neither a network without host bits nor the ids of one's own organizations.
        "[[operations]]",
        r"include-path-regex = '/keys(/\{id\})?$'",
        "checks.positive_data_acceptance.enabled = false",
        "[[operations]]",
        "include-path-regex = '^/(products|billing)/'",
        f"headers = {{ X-Organization = '{values['organization'][0]}' }}",
    ]
    (directory / "schemathesis.toml").write_text("\n".join(lines))


def read_accepted(report: Path) -> set[str]:
    """Return the operations with at least one successful response."""
    accepted = set()
    for line in report.read_text().splitlines():
        recorder = json.loads(line).get("ScenarioFinished", {}).get("recorder", {})
        for interaction in recorder.get("interactions", {}).values():
            method = interaction["request"]["method"]
            if interaction["response"]["status_code"] < 300 and recorder["label"].startswith(f"{method} "):
                accepted.add(recorder["label"])
    return accepted
