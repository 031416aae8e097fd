"""A separate environment with the packages to compare, since the project does not need them."""

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
    """Restart the command in the environment. Create it first if it is missing or outdated."""
    if Path(sys.prefix) == HOME:
        return
    wanted = (ROOT / "pyproject.toml").read_text()
    if not STAMP.exists() or STAMP.read_text() != wanted:
        print(f"Installing the packages to compare into {HOME.name} ...", file=sys.stderr)
        venv.create(HOME, clear=True, with_pip=True)
        _pip("--upgrade", "pip>=25.1")
        _pip("--editable", str(ROOT), "--group", f"{ROOT / 'pyproject.toml'}:benchmarks")
        # The release requires an older Django, but runs with this one (see the notes of the report).
        _pip("--no-deps", "drf-simple-apikey")
        STAMP.write_text(wanted)
    os.execv(PYTHON, [str(PYTHON), "-m", "benchmarks", *sys.argv[1:]])


def _pip(*arguments: str) -> None:
    command = [str(PYTHON), "-m", "pip", "--disable-pip-version-check", "-qq", "install", *arguments]
    if subprocess.call(command, stdout=sys.stderr) != 0:
        sys.exit("The packages could not be installed. See the output of pip above.")
