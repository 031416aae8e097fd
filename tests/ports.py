"""Free ports for servers that tests start."""

from __future__ import annotations

import socket
from contextlib import suppress
from secrets import randbelow


def get_free_port():
    """Return a free port. The system takes the ports of clients from 32768 on, and could take it before the server starts."""
    while True:
        # ``pytest-randomly`` seeds ``random``, so that test runs at the same time would choose the same ports.
        port = 20_000 + randbelow(12_000)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
