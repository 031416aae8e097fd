"""The code blocks of docs/outside-rest-framework.md."""

from __future__ import annotations

import re

from tests.checkout import ROOT

PAGE = (ROOT / "docs" / "outside-rest-framework.md").read_text()
BLOCKS: list[str] = re.findall(r"^```python\n(.*?)^```$", PAGE, re.M | re.S)


def get_block(first_words: str) -> str:
    """Return the only block with these words."""
    (block,) = (text for text in BLOCKS if first_words in text)
    return block
