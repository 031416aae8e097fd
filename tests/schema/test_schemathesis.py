"""
The example project against its own description: each check of schemathesis, in thousands of requests of an Owner, of a
business key, of a publishable key and of nobody.

No failure is accepted, and a check is switched off in one place alone, with its reason. What would end the identity amid a
run has a run of its own.
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
    # All checks are on where none is named. "--checks=all" would put on again what the configuration puts off.
    "--mode=all",
    "--phases=examples,coverage,fuzzing,stateful",
    "--seed=1",
    "--max-examples=10",
    "--max-response-time=5",
    "--generation-allow-x00=true",
    "--generation-database=none",
    # A generated key would come along with the Owner's session, decide, and leave little but 401.
    "--generation-with-security-parameters=false",
    "--report-json-path=report.json",
    "--report-ndjson-path=report.ndjson",
]

ACCOUNT = "/account/api/v1"
ORGANIZATIONS = f"{ACCOUNT}/organizations"
ORGANIZATION = f"{ORGANIZATIONS}/{{organization_id}}"
PRODUCTS = "/products/api/v1/products"
# Who gets what they ask for.
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
    *(f"GET {ORGANIZATION}/{rows}{path}" for rows in ("keys", "members", "invitations") for path in ("", "/{id}")),
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
    f"PATCH {ORGANIZATION}/members/{{id}}",
    f"DELETE {ORGANIZATION}/members/{{id}}",
    f"POST {ORGANIZATION}/invitations",
    f"DELETE {ORGANIZATION}/invitations/{{id}}",
    f"POST {ORGANIZATION}/invitations/{{id}}/resend",
    f"POST {ACCOUNT}/invitations/accept",
}

# Four of five ids are those of a row, by the paths that ask for one.
ROWS = {
    rf"{ORGANIZATIONS}/[^/]+/keys/": ("path.id", "keys"),
    rf"{ORGANIZATIONS}/[^/]+/members/": ("path.id", "members"),
    rf"{ORGANIZATIONS}/[^/]+/invitations/": ("path.id", "invitations"),
    f"{ACCOUNT}/me/keys/": ("path.id", "own_keys"),
    f"{ACCOUNT}/invitations/accept": ("body.token", "tokens"),
    f"{PRODUCTS}/": ("path.id", "products"),
}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not find_spec("schemathesis") or not EXAMPLE.is_dir(), reason="needs schemathesis and the checkout"
    ),
]


# What is sent, in which organization, of which operations, and which of them are answered with what was asked for.
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
        pytest.param("cpk", "organization", [], PUBLISHABLE, id="publishable"),
        pytest.param("nobody", "organization", [], OPEN, id="nobody"),
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
        # Read by nobody: a publishable key may not.
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
    """Tell schemathesis what there is to ask for."""
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
        # Of a key that was revoked and an invitation that was withdrawn the row stays, and so does what it tells.
        "[[operations]]",
        "include-path-regex = '/(keys|invitations)/'",
        "checks.use_after_free.enabled = false",
        "[[operations]]",
        "include-path-regex = '^/(products|billing)/'",
        f"headers = {{ X-Organization = '{values['organization'][0]}' }}",
    ]
    (directory / "schemathesis.toml").write_text("\n".join(lines))


def read_accepted(report: Path) -> set[str]:
    """Return the operations that were answered with a success."""
    accepted = set()
    for line in report.read_text().splitlines():
        recorder = json.loads(line).get("ScenarioFinished", {}).get("recorder", {})
        for interaction in recorder.get("interactions", {}).values():
            method = interaction["request"]["method"]
            if interaction["response"]["status_code"] < 300 and recorder["label"].startswith(f"{method} "):
                accepted.add(recorder["label"])
    return accepted
