"""``make pictures`` can take each of its pictures. How a page looks is for people to judge."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.checkout import ROOT

pytest.importorskip("playwright.sync_api")
pytest.importorskip("PIL")

pytestmark = [pytest.mark.slow, pytest.mark.sqlite]


def test_takes_each_picture(tmp_path):
    (tmp_path / "old.png").touch()
    command = [sys.executable, ROOT / "scripts" / "pictures.py", tmp_path]
    process = subprocess.run(command, capture_output=True, text=True, timeout=120)

    assert process.returncode == 0, process.stdout + process.stderr
    taken, shown = ({path.name for path in folder.iterdir()} for folder in (tmp_path, ROOT / "docs" / "pictures"))
    assert taken == shown
