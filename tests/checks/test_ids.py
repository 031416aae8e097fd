"""``docs/checks.md`` describes the rules of the table, and each rule can be broken."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path

from closient_auth.checks.rules import RULES

DOCUMENTATION = Path(__file__).resolve().parents[2] / "docs" / "checks.md"
# An id keeps its meaning, because projects silence checks by id. A new check takes the next number.
IDS = [*(f"E{number:03}" for number in range(1, 16)), *(f"W{number:03}" for number in range(1, 39))]


def test_ids():
    assert sorted(RULES) == IDS


def test_each_rule_is_documented():
    assert re.findall(r"^\| `([EW]\d+)` \| ", DOCUMENTATION.read_text(), re.M) == IDS


def test_each_rule_is_used():
    folder = resources.files("closient_auth.checks")
    sources = [path.read_text() for path in folder.iterdir() if path.name.endswith(".py") and path.name != "rules.py"]

    assert {id for source in sources for id in re.findall(r'"([EW]\d{3})"', source)} == set(IDS)
