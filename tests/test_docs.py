"""The references in the documentation are valid."""

from __future__ import annotations

import ast
import re

import pytest

from closient_auth.keys import KeyType, generate_api_key
from tests.checkout import ROOT

SECURITY = (ROOT / "docs" / "security.md").read_text()
# Each point of these sections of ``SECURITY`` is a promise.
PROMISES = [
    "Request guarantees",
    "Impact of a stolen key",
    "Role and permission rules",
    "Stored and logged data",
]
PAGES = "\n".join(path.read_text() for path in sorted((ROOT / "docs").glob("*.md")))


@pytest.mark.parametrize("path", sorted((ROOT / "docs").glob("*.md")), ids=lambda path: path.name)
def test_page_is_written(path):
    text = path.read_text()
    assert text.startswith("```{include} ../") or len(text.split()) > 100


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(tests/[\w/]+\.py(?:::\w+)?)`", PAGES))))
def test_named_test_exists(name):
    path, _, function = name.partition("::")
    body = ast.parse((ROOT / path).read_text()).body
    tests = {node.name for node in body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}
    assert function in tests if function else tests


@pytest.mark.parametrize("heading", PROMISES)
def test_each_promise_has_its_note(heading):
    section = SECURITY.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    promises = re.findall(r"^(?:- |\| `).+\n(?:  .+\n)*", section, re.M)

    assert promises
    assert [promise for promise in promises if "[^" not in promise] == []


def test_each_note_names_tests():
    notes = re.findall(r"^\[\^([\w-]+)\]: `tests/\w+/\w+\.py::", SECURITY, re.M)
    assert sorted(notes) == sorted(re.findall(r"\[\^([\w-]+)\](?!:)", SECURITY))


def test_gitleaks_rule_finds_secret_keys_alone():
    (rule,) = re.findall(r"^regex = '''(.+)'''$", PAGES, re.M)
    found = {prefix: bool(re.search(rule, f'TOKEN = "{generate_api_key(prefix)}"')) for prefix in KeyType.values}
    assert found == {"csb": True, "csu": True, "cpk": False}
