from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable


class Proxy:
    """
    A TCP proxy on loopback that simulates network failures.

    ``with Proxy("127.0.0.1", 6379) as proxy:`` forwards ``127.0.0.1:proxy.port`` to that server.
    ``proxy.hang()`` and similar methods start a failure, ``proxy.restore()`` ends all failures.
    All methods may be called from any thread.

    ``turns`` counts the round trips, ``connections`` the accepted connections.
    """

    def __init__(self, host: str, port: int) -> None:
        self.server = host, port
        self.port = 0
        self.turns = 0
        self.connections = 0
        self._passing = threading.Event()
        self._closing = threading.Event()
        self._sockets: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._listener: socket.socket | None = None
        self._cut_after: int | None = None
        self._answer: bytes | None = None
        self._reset()

    def __enter__(self) -> Proxy:
        self._listen()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._closing.set()
        self.refuse()
        for thread in self._threads:
            thread.join()

    def refuse(self) -> None:
        """Simulate a server that is down: refuse new connections and close open ones."""
        if self._listener is not None:
            _close(self._listener)
            self._listener = None
        self.drop()

    def drop(self) -> None:
        """Simulate a restart: close open connections and accept new ones."""
        self._passing.set()
        while self._sockets:
            _close(self._sockets.pop())

    def hang(self) -> None:
        """Accept connections and requests, but forward nothing."""
        self._passing.clear()

    def delay(self, seconds: float) -> None:
        """Delay each reply."""
        self._delay = seconds

    def drip(self, seconds: float) -> None:
        """Delay each byte of a reply."""
        self._drip = seconds

    def cut(self, after: int = 0, *, once: bool = False) -> None:
        """Close each connection after this many bytes of its next reply; with ``once``, only the first."""
        self._cut_after, self._cut_once = after, once

    def answer(self, reply: bytes) -> None:
        """Replace each reply of the server by these bytes."""
        self._answer = reply

    def restore(self) -> None:
        """Forward everything again, including delayed data."""
        self._reset()
        if self._listener is None:
            self._listen()

    def _reset(self) -> None:
        self._delay = 0.0
        self._drip = 0.0
        self._cut_after = None
        self._cut_once = False
        self._answer = None
        self._passing.set()

    def _listen(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        self._start(self._accept, self._listener)

    def _start(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                self._sockets.add(client)
                self.connections += 1
                self._start(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(self.server)
        except OSError:
            _close(client)
            return
        self._sockets.add(server)
        is_answered = threading.Event()
        is_answered.set()
        self._start(self._pump, server, client, lambda data: self._reply(client, data, is_answered))
        self._pump(client, server, lambda data: self._request(server, data, is_answered))

    def _pump(self, source: socket.socket, sink: socket.socket, forward: Callable[[bytes], None]) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self._passing.wait()
                forward(data)
        self._sockets -= {source, sink}
        _close(source)
        _close(sink)

    def _request(self, server: socket.socket, data: bytes, is_answered: threading.Event) -> None:
        if is_answered.is_set():
            is_answered.clear()
            self.turns += 1
        server.sendall(data)

    def _reply(self, client: socket.socket, data: bytes, is_answered: threading.Event) -> None:
        self._closing.wait(self._delay)
        if self._answer is not None:
            data = self._answer
        cut_after = self._cut_after
        if self._cut_once:
            self._cut_after = None
        is_answered.set()
        data = data[:cut_after]
        while self._drip and data:
            client.sendall(data[:1])
            data = data[1:]
            self._closing.wait(self._drip)
        client.sendall(data)
        if cut_after is not None:
            raise ConnectionAbortedError


def _close(sock: socket.socket) -> None:
    # close() alone does not wake a thread blocked in recv().
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
    sock.close()
