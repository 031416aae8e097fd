"""Each code block of the page is run by a test."""

from __future__ import annotations

from tests.checkout import ROOT
from tests.outside.page import BLOCKS

TESTS = "\n".join(path.read_text() for path in (ROOT / "tests" / "outside").glob("test_*.py"))


def test_each_block_is_run():
    used = []
    for block in BLOCKS:
        title, code, *_ = block.split("\n")
        # Several blocks are settings.
        name = code.partition(" ")[0] if title == "# settings.py" else title[len("# shop/") : -len(".py")]
        used.append(f'get_block("{name} ' if title == "# settings.py" else f'shop("{name}")')

    assert used
    assert [name for name in used if name not in TESTS] == []
