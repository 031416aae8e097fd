"""The references in the documentation are valid."""

from __future__ import annotations

import ast
import json
import re

import pytest

from closient_auth.keys import KeyType, generate_api_key
from closient_auth.roles import KEY_RULES
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
    notes = re.findall(r"^\[\^([\w-]+)\]: `tests/(?:\w+/)?\w+\.py::", SECURITY, re.M)
    assert sorted(notes) == sorted(re.findall(r"\[\^([\w-]+)\](?!:)", SECURITY))


def test_gitleaks_rule_finds_secret_keys_alone():
    """The rule in docs/security.md, with its keywords, finds every key that is not public."""
    (rule,) = re.findall(r"^regex = '''(.+)'''$", SECURITY, re.M)
    (keywords,) = re.findall(r"^keywords = (\[.+\])$", SECURITY, re.M)
    secret = {prefix: not KEY_RULES[prefix].is_public for prefix in KeyType.values}

    assert {prefix: bool(re.search(rule, f'TOKEN = "{generate_api_key(prefix)}"')) for prefix in secret} == secret
    assert sorted(json.loads(keywords)) == sorted(f"{prefix}_" for prefix in secret if secret[prefix])


def test_impact_of_each_stolen_key_is_told():
    section = SECURITY.partition("\n## Impact of a stolen key\n")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)`", section, re.M)) == set(KeyType.values)
