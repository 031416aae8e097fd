from __future__ import annotations

import re
from collections import Counter
from importlib import resources
from pathlib import Path

DOCUMENTATION = Path(__file__).resolve().parents[2] / "docs" / "checks.md"
# An id keeps its meaning, because projects silence checks by id. A new check takes the next number.
IDS = [*(f"E{number:03}" for number in range(1, 12)), *(f"W{number:03}" for number in range(1, 19))]


def test_ids():
    folder = resources.files("closient_auth.checks")
    sources = [path.read_text() for path in folder.iterdir() if path.name.endswith(".py")]
    ids = Counter(re.findall(r'id="closient_auth\.(\w+)"', "".join(sources)))

    assert sorted(ids) == IDS
    # E004 has one message for an invalid header and one for a reserved header.
    assert {id for id, count in ids.items() if count > 1} == {"E004"}


def test_each_id_is_documented():
    assert re.findall(r"^\| `([EW]\d+)` \| ", DOCUMENTATION.read_text(), re.M) == IDS
