"""
Create ``.venv`` next to ``pyproject.toml``, with the package in editable mode and some dependency groups.

    python3 scripts/bootstrap.py test        print the path of the environment's python
    python3 scripts/bootstrap.py --find      print the path of a suitable Python, and create nothing

Uses only the standard library, and syntax of Python 2.7, to give users of an old Python a clear error message.
"""

from __future__ import print_function

import contextlib
import hashlib
import os
import subprocess
import sys

try:
    from pathlib import Path
except ImportError:  # Python 2
    Path = str

OLD, BARE = 3, 4
# Code to check a Python. It sets the exit status, and prints the path of the base Python of an environment.
INTRODUCTION = """
import sys
if sys.version_info < (3, 11):
    sys.exit({0})
try:
    import ensurepip, venv
except ImportError:
    sys.exit({1})
print(sys._base_executable)
""".format(OLD, BARE)


def ensure_environment(root, groups):
    """
    Return the path of a Python with the package and these dependency groups. Create or update it if necessary.

    Exit with status 1 and an error message if that fails. Concurrent calls wait for each other.
    """
    root = os.path.realpath(str(root))
    home = os.path.join(root, ".venv")
    python = os.path.join(home, "bin", "python")
    stamp = os.path.join(home, "-".join([".installed"] + sorted(groups)))
    with _locked(os.path.join(root, "pyproject.toml")) as project:
        # The path is included, because an editable install breaks when the checkout moves.
        wanted = hashlib.sha256(project.read() + root.encode("utf-8")).hexdigest()
        if _run(python, "import pip, sys; sys.exit(sys.version_info < (3, 11))")[0] != 0:
            _make(home)
        if _read(stamp) != wanted:
            _install(root, python, groups)
            with open(stamp, "w") as file:
                file.write(wanted)
    return Path(python)


def _make(home):
    base = find_python()
    _say("Creating .venv with {0} ...".format(base))
    if subprocess.call([base, "-m", "venv", "--clear", home], stdout=sys.stderr) != 0:
        _fail("The environment {0} could not be created. See the output above.".format(home))


def find_python():
    """Return the path of a suitable Python, or exit with an error message."""
    answers = {}
    for name in [sys.executable, "python3", "python3.14", "python3.13", "python3.12", "python3.11"]:
        status, path = _run(name, INTRODUCTION)
        if status == 0:
            return path
        answers.setdefault(status, name)
    if BARE in answers:
        _fail(
            "The venv module of {0} is missing. Install it and try again "
            "(Debian, Ubuntu: apt install python3-venv).".format(answers[BARE])
        )
    _fail("Python 3.11 or later is required, but {0} is version {1}.".format(sys.executable, sys.version.split()[0]))


def _install(root, python, groups):
    _say("Installing closient-auth and its requirements into .venv. This can take a minute ...")
    project = os.path.join(root, "pyproject.toml")
    # Dependency groups need pip 25.1. Python 3.11 to 3.13 include an older version.
    for wanted in (
        ["--upgrade", "pip>=25.1"],
        ["--editable", root] + [option for group in groups for option in ("--group", project + ":" + group)],
    ):
        pip = [python, "-m", "pip", "--disable-pip-version-check", "-qq", "install"]
        if subprocess.call(pip + wanted, stdout=sys.stderr) != 0:
            _fail("The packages could not be installed. See the output of pip above.")


@contextlib.contextmanager
def _locked(path):
    import fcntl

    with open(path, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file


def _run(python, code):
    try:
        process = subprocess.Popen([python, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    except OSError:
        return None, ""
    output = process.communicate()[0]
    return process.returncode, output.decode("utf-8").strip()


def _read(path):
    try:
        with open(path) as file:
            return file.read()
    except (IOError, OSError):
        return None


def _say(sentence):
    print(sentence, file=sys.stderr)


def _fail(sentence):
    sys.exit(sentence)


if __name__ == "__main__":
    if sys.argv[1:] == ["--find"]:
        print(find_python())
    else:
        print(ensure_environment(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), sys.argv[1:]))
