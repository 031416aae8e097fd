"""
``make demo``: create the environment, then replace this process by ``manage.py serve_demo``.

It uses only the standard library. ``PORT`` sets another port than 8000, ``DEMO_PYTHON`` a Python with the requirements.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOST = "127.0.0.1"
PORT = 8000


def main() -> None:
    port = get_port(os.environ.get("PORT") or str(PORT))
    # SystemExit unwinds the stack, so a running installer is stopped too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        python = get_python()
    except KeyboardInterrupt:
        sys.exit("\nStopped.")
    os.environ.update(EXAMPLE_DEBUG="1", PYTHONUNBUFFERED="1")
    manage = ROOT / "example_project" / "manage.py"
    if port != PORT:
        # Two demos at once would revoke each other's keys.
        os.environ.setdefault("EXAMPLE_DATABASE_URL", f"sqlite:///{manage.with_name(f'db-{port}.sqlite3')}")
    # The server replaces this process, so a signal to this process stops the server.
    os.execv(python, [python, str(manage), "serve_demo", f"{HOST}:{port}"])


def get_port(text: str) -> int:
    """Return the port, or exit with an error if the port is invalid or in use."""
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65536):
        sys.exit(f"PORT={text} is not a valid port number. Choose another: make demo PORT=8001")
    port = int(text)
    with socket.socket() as server:
        # Use the option of the server: closing connections do not keep a port busy.
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            server.bind((HOST, port))
        except OSError as error:
            reason = os.strerror(error.errno or 0).lower()
            sys.exit(f"Port {port} cannot be used: {reason}. Choose another: make demo PORT={port % 65535 + 1}")
    return port


def get_python() -> str:
    """Return the path of a Python with the requirements. The first call takes a minute."""
    if "DEMO_PYTHON" in os.environ:
        os.environ["PYTHONPATH"] = str(ROOT)
        return os.environ["DEMO_PYTHON"]
    sys.path.insert(0, str(ROOT / "scripts"))
    from bootstrap import ensure_environment

    return str(ensure_environment(ROOT, ["example"]))


if __name__ == "__main__":
    main()
