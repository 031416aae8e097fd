"""Run ``make demo`` in a copy of the project, as described in the README."""

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

# Variables of an outer `make` or tox must not affect the inner `make`.
ALIEN = ("MAKE", "MFLAGS", "EXAMPLE_", "DJANGO_", "PYTHONPATH", "PORT")


def is_left_out() -> bool:
    """Return whether ``make demo`` cannot run here. In CI, a missing program fails the test instead of skipping it."""
    lacks_shell = not all(map(shutil.which, ("make", "curl", "bash")))
    return (lacks_shell and os.environ.get("CI") != "true") or not (ROOT / "closient_auth").is_dir()


needs_shell = pytest.mark.skipif(is_left_out(), reason="needs make, curl, bash and the checkout")


class Demo:
    """A running ``make demo`` with its output so far."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self.log = log

    @property
    def output(self) -> str:
        return self.log.read_text()

    @property
    def variables(self) -> list[str]:
        return re.findall(r"^  (export .+)$", self.output, re.M)

    @property
    def requests(self) -> list[tuple[int, str]]:
        """The expected status and the line of each request. The lines need the ``variables``."""
        return [(int(status), line) for status, line in re.findall(r"^  (\d{3})  .+\n +(.+)$", self.output, re.M)]

    def wait_until_it_serves(self) -> None:
        deadline = time.monotonic() + 300
        while "Serving on" not in self.output:
            assert self.process.poll() is None, self.output
            assert time.monotonic() < deadline, self.output
            time.sleep(0.05)

    def stop(self, number: int = signal.SIGINT) -> None:
        """Send SIGINT (Ctrl-C) or another signal to the whole process group and wait for the end."""
        os.killpg(self.process.pid, number)
        self.process.wait(60)


@contextmanager
def start_demo(checkout: Path, port: int) -> Iterator[Demo]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ALIEN)}
    log = checkout / f"demo-{port}.log"
    with log.open("wb") as file:
        command = ["make", "demo", f"PORT={port}"]
        process = subprocess.Popen(
            command,
            cwd=checkout,
            env=environment,
            stdout=file,
            stderr=file,
            start_new_session=True,
            # Background processes of a shell ignore SIGINT, and their children inherit this.
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
        )
    with process:
        demo = Demo(process, log)
        try:
            yield demo
        finally:
            if process.poll() is None:
                demo.stop(signal.SIGKILL)
