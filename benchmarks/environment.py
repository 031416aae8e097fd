"""An environment of its own for the packages that are compared: the project needs none of them."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".venv-benchmarks"
PYTHON = HOME / "bin" / "python"
STAMP = HOME / ".installed"


def enter() -> None:
    """Go on in that environment: make it where it is missing or outdated, and start the command again in it."""
    if Path(sys.prefix) == HOME:
        return
    wanted = (ROOT / "pyproject.toml").read_text()
    if not STAMP.exists() or STAMP.read_text() != wanted:
        print(f"Installing the packages to compare into {HOME.name} ...", file=sys.stderr)
        venv.create(HOME, clear=True, with_pip=True)
        _pip("--upgrade", "pip>=25.1")
        _pip("--editable", str(ROOT), "--group", f"{ROOT / 'pyproject.toml'}:benchmarks")
        # Its release says that it is not for this Django, and runs on it: see the notes of the report.
        _pip("--no-deps", "drf-simple-apikey")
        STAMP.write_text(wanted)
    os.execv(PYTHON, [str(PYTHON), "-m", "benchmarks", *sys.argv[1:]])


def _pip(*arguments: str) -> None:
    command = [str(PYTHON), "-m", "pip", "--disable-pip-version-check", "-qq", "install", *arguments]
    if subprocess.call(command, stdout=sys.stderr) != 0:
        sys.exit("The packages could not be installed; pip's lines above say why.")
