from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def list_files() -> list[Path]:
    """Return the tracked files and the untracked, not ignored ones; an empty list outside a git checkout."""
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return []
    return [path for path in map(Path, listed.split("\0")) if (ROOT / path).is_file()]


def copy_checkout(directory: Path) -> Path:
    """Copy the project without generated files, like a fresh clone."""
    checkout = directory / "checkout"
    files = list_files()
    if not files:
        made = shutil.ignore_patterns(".*", "*.sqlite3*", "__pycache__", "dist", "build")
        return shutil.copytree(ROOT, checkout, ignore=made)
    for path in files:
        (checkout / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / path, checkout / path)
    return checkout
