"""A configuration service in forty lines that can be told to lie: what the load test has to catch.

The real service doesn't lie on demand; whether a load test notices can only be seen against one that does.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import urlsplit

SLOW = 1.5
"""Seconds that a slow PUT takes."""


class LyingServer(ThreadingHTTPServer):
    """Keeps documents by path. `lie` is "", "stale", "hit", "broken", "undead" or "slow"."""

    daemon_threads = False  # closing it waits for what is under way
    request_queue_size = 128

    def __init__(self, lie: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.lie = lie
        self.documents: dict[str, bytes] = {}
        self.first: dict[str, bytes] = {}
        self.seen: list[str] = []

    @property
    def address(self) -> str:
        """Its URL."""
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: LyingServer

    def do_GET(self) -> None:
        path, query = urlsplit(self.path).path, urlsplit(self.path).query
        documents = self.server.first if self.server.lie == "stale" and "true" in query else self.server.documents
        lying = self.server.lie == "hit" or "true" in query
        body = documents.get(path)
        self._answer(404 if body is None else 200, body or b"", "HIT" if lying else "BYPASS")

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.lie == "slow":
            time.sleep(SLOW)
        status = 200 if self.path in self.server.documents else 201
        self.server.documents[self.path] = body
        self.server.first.setdefault(self.path, body)
        self._answer(500 if self.server.lie == "broken" else status, body)

    def do_DELETE(self) -> None:
        if self.server.lie != "undead":
            self.server.documents.pop(self.path, None)
            self.server.first.pop(self.path, None)
        self._answer(204, b"")

    def _answer(self, status: int, body: bytes, source: str = "") -> None:
        self.server.seen.append(f"{self.command} {self.path}")
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Cache", source)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@contextmanager
def lying(lie: str) -> Iterator[LyingServer]:
    """Runs one for the length of a test."""
    with LyingServer(lie) as server:
        thread = Thread(target=server.serve_forever, name="lying-server", kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join(5)
