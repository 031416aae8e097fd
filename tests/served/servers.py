"""Start real servers on loopback, each in its own process, for the test project or another project."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import closient_auth

ROOT = Path(__file__).resolve().parents[2]
GUNICORN = ["gunicorn", "tests.served.wsgi", "--bind=fd://{fd}", "--preload", "--no-control-socket"]
UVICORN = ["uvicorn", "tests.served.asgi:application", "--fd={fd}", "--http=h11", "--lifespan=off", "--no-access-log"]


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self):
        return json.loads(self.body)


@dataclass(frozen=True)
class Server:
    """A server on ``127.0.0.1:port``; ``log`` and ``output`` return its log and console output so far."""

    port: int
    directory: Path

    @property
    def log(self) -> bytes:
        return (self.directory / "log").read_bytes()

    @property
    def output(self) -> bytes:
        return (self.directory / "output").read_bytes()

    def exchange(self, request: bytes, timeout: float = 10) -> bytes:
        """Send the bytes over a new connection and return everything received until it closes."""
        answer = b""
        with socket.create_connection(("127.0.0.1", self.port), timeout) as client:
            # A server may close the connection before it has read the whole request.
            with contextlib.suppress(ConnectionError):
                client.sendall(request)
            with contextlib.suppress(ConnectionError):
                while data := client.recv(65536):
                    answer += data
        return answer

    def request(
        self, path: str, raw_key: str | None = None, method: str = "GET", data: object = None, timeout: float = 30
    ) -> Answer:
        """Return the response; raise ``OSError`` or ``HTTPException`` if there is none."""
        headers = {"Content-Type": "application/json", "Connection": "close"}
        if raw_key is not None:
            headers["X-API-Key"] = raw_key
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        with contextlib.closing(client):
            client.request(method, path, body="" if data is None else json.dumps(data), headers=headers)
            response = client.getresponse()
            headers = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, headers, response.read())


def get_environment(cwd: Path = ROOT) -> dict[str, str]:
    """Return the environment of a process in this folder: the package under test, without our settings."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("DJANGO_", "EXAMPLE_"))}
    # Use the imported package, either the checkout or an installed wheel.
    variables["PYTHONPATH"] = os.pathsep.join([str(Path(closient_auth.__file__).parents[1]), str(cwd)])
    return variables


@contextmanager
def serve(command: list[str], directory: Path, cwd: Path = ROOT, **environment: str) -> Iterator[Server]:
    """Run ``python -m`` with this command and stop it afterwards; ``{fd}`` is the descriptor of a listening socket."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener, (directory / "output").open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *(word.format(fd=listener.fileno()) for word in command)],
            cwd=cwd,
            env=get_environment(cwd) | environment,
            stdout=output,
            stderr=output,
            pass_fds=[listener.fileno()],
        )
        try:
            yield Server(listener.getsockname()[1], directory)
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def serve_host(
    command: list[str], database: dict[str, object], directory: Path, **environment: str
) -> Iterator[Server]:
    """Serve the test project with this database."""
    with serve(
        command,
        directory,
        ROOT,
        DJANGO_SETTINGS_MODULE="tests.served.settings",
        SERVED_DATABASE=json.dumps(database),
        SERVED_LOG=str(directory / "log"),
        **environment,
    ) as server:
        yield server
