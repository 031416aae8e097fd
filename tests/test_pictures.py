"""The pictures in the documentation are those that ``make pictures`` takes. ``tests/browser`` takes them."""

from __future__ import annotations

import re
import runpy

import pytest

from tests.checkout import ROOT

COMMAND = runpy.run_path(str(ROOT / "scripts" / "pictures.py"))
FILES = {f"{picture.name}.png" for picture in COMMAND["PICTURES"]}
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
IMAGE = re.compile(r"!\[([^]]*)\]\(([^)\s]+)\)")


def test_files_are_those_of_the_command():
    assert {path.name for path in COMMAND["FOLDER"].iterdir()} == FILES
    assert len(FILES) == len(COMMAND["PICTURES"]) <= 8


@pytest.mark.parametrize("name", sorted(FILES))
def test_picture_is_a_small_png_of_its_width(name):
    data = (COMMAND["FOLDER"] / name).read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    assert len(data) <= COMMAND["MAX_BYTES"] == 120_000
    assert int.from_bytes(data[16:20]) == COMMAND["WIDTH"]
    # The color type of a palette
    assert data[25] == 3


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_images_of_a_page_exist_and_have_a_text(page):
    for text, path in IMAGE.findall(page.read_text()):
        # An address of this repository works on GitHub and in Sphinx.
        assert "://" not in path
        assert (page.parent / path).is_file(), path
        assert text


def test_each_picture_is_shown():
    shown = {path.rpartition("pictures/")[2] for page in PAGES for _, path in IMAGE.findall(page.read_text())}
    assert shown >= FILES
