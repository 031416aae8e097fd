"""A client for Django's WSGI handler in this process, without a socket."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from typing import Any

from benchmarks.host.wsgi import application


def make_request(path: str, header: tuple[str, str]) -> Callable[[], int]:
    """Return a function to send one GET request; it returns the status of the response."""
    name, value = header
    environ: dict[str, Any] = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        f"HTTP_{name.upper().replace('-', '_')}": value,
    }

    def send() -> int:
        statuses: list[int] = []
        response = application(dict(environ), lambda status, headers: statuses.append(int(status[:3])))
        b"".join(response)
        response.close()
        return statuses[0]

    return send
