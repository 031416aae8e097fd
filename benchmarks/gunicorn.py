"""The benchmark project under gunicorn, and a client for it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from benchmarks import services

WORKERS = 2
CLIENTS = 4


class Server:
    def __init__(self, port: int, pid: int) -> None:
        self.port = port
        self.pid = pid

    def get_pids(self) -> list[int]:
        """Return the process ids of gunicorn and its workers."""
        return [self.pid, *services.get_children(self.pid)]

    def get(self, path: str, header: tuple[str, str], number: int) -> list[int]:
        """Send ``number`` requests, a few at a time, and return the statuses of the responses."""
        request = f"GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n{header[0]}: {header[1]}\r\n\r\n".encode()
        with ThreadPoolExecutor(CLIENTS) as pool:
            return list(pool.map(lambda _: self._send(request), range(number)))

    def _send(self, request: bytes) -> int:
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as connection:
            connection.sendall(request)
            answer = b""
            while part := connection.recv(65536):
                answer += part
        return int(answer.split(None, 2)[1])


@contextmanager
def serve(interval: int) -> Iterator[Server]:
    """Start gunicorn with this ``LAST_USED_INTERVAL`` on a free port, and stop it at the end."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        # Pass the open socket, so no other process can take the port.
        command = [sys.executable, "-m", "gunicorn", "--workers", str(WORKERS), "--log-level", "warning"]
        process = subprocess.Popen(
            [*command, "--bind", f"fd://{listener.fileno()}", "benchmarks.host.wsgi"],
            env={**os.environ, "BENCHMARK_INTERVAL": str(interval)},
            pass_fds=[listener.fileno()],
        )
    try:
        while len(services.get_children(process.pid)) < WORKERS:
            time.sleep(0.05)
        yield Server(port, process.pid)
    finally:
        process.terminate()
        process.wait(10)
