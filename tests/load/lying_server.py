"""A configuration service in sixty lines that can be told to lie: what the load test has to catch.

The real service doesn't lie on demand; whether a load test notices can only be seen against one that does.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from urllib.parse import urlsplit

SLOW = 1.5
"""Seconds that a slow PUT takes."""


class LyingServer(ThreadingHTTPServer):
    """Keeps documents by path. `lie` is "", or what it does wrong.

    "stale": cached reads see the first value for ever; "lazy": so do all that don't say use_cache=false;
    "hit": says so of every read; "broken": 500 to writes; "undead": deletes nothing; "slow": takes its time to write;
    "deaf": hears no condition.
    """

    daemon_threads = False  # closing it waits for what is under way
    request_queue_size = 128

    def __init__(self, lie: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.lie = lie
        self.documents: dict[str, bytes] = {}
        self.first: dict[str, bytes] = {}
        self.etags: dict[str, str] = {}
        self.seen: list[str] = []
        self.writing = Lock()

    @property
    def address(self) -> str:
        """Its URL."""
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: LyingServer

    def do_GET(self) -> None:
        path, query, lie = urlsplit(self.path).path, urlsplit(self.path).query, self.server.lie
        lying = (lie == "stale" and "true" in query) or (lie == "lazy" and "use_cache=false" not in query)
        body = (self.server.first if lying else self.server.documents).get(path)
        source = "HIT" if lie == "hit" or "true" in query else "BYPASS"
        self._answer(404 if body is None else 200, body or b"", source)

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.lie == "slow":
            time.sleep(SLOW)
        path = urlsplit(self.path).path
        with self.server.writing:
            status = self._put(path, body)
        self._answer(500 if self.server.lie == "broken" else status, body)

    def _put(self, path: str, body: bytes) -> int:
        etag, given = self.server.etags.get(path, ""), self.headers
        wrong = given.get("If-Match", etag) != etag or (given.get("If-None-Match") == "*" and etag != "")
        if wrong and self.server.lie != "deaf":
            return 412
        self.server.documents[path] = body
        self.server.first.setdefault(path, body)
        self.server.etags[path] = f'"{len(self.server.seen)}-{id(body)}"'
        return 200 if etag else 201

    def do_DELETE(self) -> None:
        if self.server.lie != "undead":
            self.server.documents.pop(self.path, None)
            self.server.first.pop(self.path, None)
            self.server.etags.pop(self.path, None)
        self._answer(204, b"")

    def _answer(self, status: int, body: bytes, source: str = "") -> None:
        self.server.seen.append(f"{self.command} {self.path}")
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Cache", source)
        if etag := self.server.etags.get(urlsplit(self.path).path):
            self.send_header("ETag", etag)
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
