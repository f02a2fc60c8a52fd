"""An HTTP server on a real socket that does what a test tells it, request by request.

Owns a listening port and a thread that accepts. Each request waits until the test takes it and answers. Every wait
has a deadline.
"""

from __future__ import annotations

import contextlib
import queue
import socket
import ssl
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Self
from urllib.parse import parse_qsl, urlsplit

WITHIN = 10.0
"""Seconds that a test waits for a request, on a machine that has other things to do."""


class Received:
    """One request, and the connection that waits for its answer."""

    def __init__(self, connection: socket.socket, head: str, body: bytes) -> None:
        self._connection = connection
        line, *headers = head.split("\r\n")
        self.method, self.target, _ = line.split(" ")
        self.headers = {name.lower(): value for name, value in (each.split(": ", 1) for each in headers)}
        self.body = body

    @property
    def path(self) -> str:
        """Without the query."""
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        """The parameters, each once."""
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))

    def answer(self, status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> None:
        """A whole answer; the connection ends."""
        given = {"Content-Length": str(len(body)), "Connection": "close", **(headers or {})}
        self.send(_head(status, given) + body)
        self.close()

    def problem(self, status: int, kind: str, detail: str, outcome: str = "not done", **headers: str) -> None:
        """A problem document."""
        body = f'{{"type": "urn:problem-type:config-service:{kind}", "title": "", "detail": "{detail}"'
        content = {"Content-Type": "application/problem+json", **headers}
        self.answer(status, f'{body}, "status": {status}, "outcome": "{outcome}"}}'.encode(), content)

    def stream(self, *pieces: bytes) -> Received:
        """The beginning of a stream of events."""
        self.send(_head(200, {"Content-Type": "text/event-stream", "Connection": "close"}) + b"".join(pieces))
        return self

    def send(self, *pieces: bytes) -> None:
        """More of it."""
        self._connection.sendall(b"".join(pieces))

    def is_left(self, within: float = WITHIN) -> bool:
        """Whether the client has ended the connection, in time."""
        self._connection.settimeout(within)
        try:
            return self._connection.recv(1) == b""
        except ConnectionError:
            return True
        except TimeoutError:
            return False

    def close(self) -> None:
        """End the connection."""
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        self._connection.close()


def _head(status: int, headers: Mapping[str, str]) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} So\r\n{lines}\r\n".encode()


class ScriptedServer:
    """See the module's opening. As a context manager it is ended at the end."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._tls = tls
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self._listener.getsockname()[1]}"
        self._requests: queue.Queue[Received] = queue.Queue()
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, name="scripted-server", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def take(self, within: float = WITHIN) -> Received:
        """The next request. Raises AssertionError when none comes in time."""
        try:
            return self._requests.get(timeout=within)
        except queue.Empty:
            raise AssertionError(f"no request within {within} s") from None

    @property
    def is_quiet(self) -> bool:
        """Whether no request waits."""
        return self._requests.empty()

    def left(self) -> list[Received]:
        """The requests that have come and were not taken."""
        found = []
        with contextlib.suppress(queue.Empty):
            while True:
                found.append(self._requests.get_nowait())
        return found

    def close(self) -> None:
        """End everything."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(WITHIN)
        for each in self._open:
            each.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection = self._listener.accept()[0]
                if self._tls is not None:
                    try:
                        connection = self._tls.wrap_socket(connection, server_side=True)
                    except (ConnectionError, ssl.SSLError):  # who does not trust us is gone
                        continue
                self._open.append(connection)
                if (received := self._read(connection)) is not None:
                    self._requests.put(received)

    def _read(self, connection: socket.socket) -> Received | None:
        connection.settimeout(WITHIN)
        data = b""
        while b"\r\n\r\n" not in data:
            if not (chunk := connection.recv(65_536)):
                return None
            data += chunk
        head, _, body = data.partition(b"\r\n\r\n")
        received = Received(connection, head.decode(), body)
        length = int(received.headers.get("content-length", "0"))
        while len(received.body) < length:
            received.body += connection.recv(65_536)
        return received
