"""The README's code blocks and tables."""

from __future__ import annotations

import re
from typing import Any

from tests.checkout import ROOT

README = (ROOT / "README.md").read_text()


def get_block(first_words: str) -> str:
    block: str
    (block,) = (text for text in re.findall(r"```python\n(.*?)```", README, re.S) if first_words in text)
    return block


def get_table(heading: str) -> list[list[str]]:
    """Return the rows of the first table under a heading, without the table's head and the backquotes of its cells."""
    section = README.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    table = re.findall(r"(?:^\|.+\|\n)+", section, re.M)[0]
    return [[cell.strip().strip("`") for cell in row.split("|")] for row in re.findall(r"^\|(.+)\|$", table, re.M)[2:]]


def run(block: str, **names: Any) -> dict[str, Any]:
    names["__name__"] = "readme"
    exec(compile(block, "README.md", "exec"), names)
    return names
