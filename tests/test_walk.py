"""Run the commands of "A walk" in ``docs/management.md`` against ``make demo`` and compare the output."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.served.demo import needs_shell, start_demo

pytestmark = [pytest.mark.slow, pytest.mark.sqlite, needs_shell]

PAGE = Path(__file__).resolve().parent.parent / "docs" / "management.md"
# Each block of commands, and the output shown below it.
STEPS = re.findall(
    r"```shell\n(.*?)```\n(?:\n```text\n(.*?)```\n)?", PAGE.read_text().partition("## Tutorial\n")[2], re.S
)
PLACEHOLDER = "TOKEN=the-code-in-the-mail"
FIRST_LINE = "SITE=http://127.0.0.1:8000"
# Values that differ between runs.
CHANGING = (
    (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "<id>"),
    (r'("hint": )"\w+"', r"\1<hint>"),
    (r'("reset": )\d+', r"\1<seconds>"),
)


def settle(text: str) -> str:
    for pattern, name in CHANGING:
        text = re.sub(pattern, name, text)
    return text


def test_walk(checkout, port, tmp_path):
    with start_demo(checkout, port) as demo:
        demo.wait_until_it_serves()
        # The reader copies the token from the other terminal.
        take_token = rf"TOKEN=$(grep -oE '^ +\w{{32}}\s*$' '{demo.log}' | tail -n 1 | tr -d '[:space:]')"
        script = "\necho '=== end of block'\n".join(commands for commands, _ in STEPS)
        assert script.count(PLACEHOLDER) == script.count(FIRST_LINE) == 1
        script = script.replace(PLACEHOLDER, take_token).replace(FIRST_LINE, f"SITE=http://127.0.0.1:{port}")
        shell = subprocess.run(["bash", "-euc", script], cwd=tmp_path, capture_output=True, text=True, timeout=60)

    assert (shell.returncode, shell.stderr) == (0, "")
    shown = [settle(text) for _, text in STEPS]
    assert settle(shell.stdout).split("=== end of block\n") == shown
