"""``make demo``, started in a copy of the project as the README says."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from tests.checkout import ROOT

# What a `make` or a tox around these tests says is not meant for the one within.
ALIEN = ("MAKE", "MFLAGS", "EXAMPLE_", "DJANGO_", "PYTHONPATH", "PORT")


def is_left_out() -> bool:
    """Return whether ``make demo`` cannot be tried. In CI a missing program is a failure: a skipped proof is none."""
    lacks_shell = not all(map(shutil.which, ("make", "curl", "bash")))
    return (lacks_shell and os.environ.get("CI") != "true") or not (ROOT / "closient_auth").is_dir()


needs_shell = pytest.mark.skipif(is_left_out(), reason="needs make, curl, bash and the checkout")


class Demo:
    """A running ``make demo`` and what it has printed so far."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self.log = log

    @property
    def output(self) -> str:
        return self.log.read_text()

    @property
    def requests(self) -> list[tuple[int, str]]:
        return [(int(status), line) for status, line in re.findall(r"^  (\d{3})  .+\n +(.+)$", self.output, re.M)]

    def wait_until_it_serves(self) -> None:
        deadline = time.monotonic() + 300
        while "Serving on" not in self.output:
            assert self.process.poll() is None, self.output
            assert time.monotonic() < deadline, self.output
            time.sleep(0.05)

    def stop(self, number: int = signal.SIGINT) -> None:
        """Send what Ctrl-C sends, or another signal, to everything that was started."""
        os.killpg(self.process.pid, number)
        self.process.wait(60)


@contextmanager
def start_demo(checkout: Path, port: int) -> Iterator[Demo]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ALIEN)}
    log = checkout / "demo.log"
    with log.open("wb") as file:
        command = ["make", "demo", f"PORT={port}"]
        process = subprocess.Popen(
            command,
            cwd=checkout,
            env=environment,
            stdout=file,
            stderr=file,
            start_new_session=True,
            # What a shell starts in the background ignores Ctrl-C, and so would all that it starts.
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
        )
    with process:
        demo = Demo(process, log)
        try:
            yield demo
        finally:
            if process.poll() is None:
                demo.stop(signal.SIGKILL)
