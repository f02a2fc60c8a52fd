"""A configuration service in a hundred lines that can be told to lie: what the load test has to catch.

The real service doesn't lie on demand; whether a load test notices can only be seen against one that does.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

SLOW = 1.5
"""Seconds that a slow PUT takes."""

SLICE = 0.02
"""Seconds between two looks for changes."""

LIES = {
    "": "none",
    "stale": "reads with use_cache=true see the first value for ever",
    "uncached": "so do those with use_cache=false",
    "lazy": "so do all others",
    "forgetful": "a read that names a revision sees the value before the last, or is as of the revision before",
    "hit": "every read is said to be a hit",
    "broken": "a write is answered with 500",
    "undead": "nothing is deleted",
    "slow": "a write takes its time",
    "deaf": "conditions are not heard",
    "stubborn": "every condition is refused",
    "lossy": "who follows changes is not told of every other one",
    "elsewhere": "nor from where he stands",
    "backwards": "he is told the value before the last",
}


class Version(NamedTuple):
    """What a key held, and since which revision."""

    revision: int
    body: bytes


class LyingServer(ThreadingHTTPServer):
    """Keeps all versions of documents by path. `lie` is one of LIES."""

    daemon_threads = False  # closing it waits for what is under way
    request_queue_size = 128

    def __init__(self, lie: str) -> None:
        assert lie in LIES
        super().__init__(("127.0.0.1", 0), _Handler)
        self.lie = lie
        self.lock = Lock()  # protects the four below
        self.revision = 0
        self.versions: dict[str, list[Version]] = {}
        self.seen: list[str] = []
        self.tokens: set[str | None] = set()

    @property
    def address(self) -> str:
        """Its URL."""
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def documents(self) -> dict[str, bytes]:
        """What there is now."""
        return {path: versions[-1].body for path, versions in self.versions.items()}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are two writes: the second would wait for an acknowledgement
    server: LyingServer

    def do_GET(self) -> None:
        url, lie = urlsplit(self.path), self.server.lie
        asked = parse_qs(url.query)
        if url.path == "/config/":
            self._list(asked["prefix"][0])
            return
        if url.path == "/changes":
            self._tell(asked)
            return
        use_cache, revision = asked.get("use_cache", [""])[0], int(asked.get("min_revision", ["0"])[0])
        with self.server.lock:
            versions, now = self.server.versions.get(url.path, []), self.server.revision
        shown = versions[-1:]
        if (lie, use_cache) in (("stale", "true"), ("uncached", "false"), ("lazy", "")):
            shown = versions[:1]
        as_of = now
        if lie == "forgetful" and revision:
            shown, as_of = (versions[-2:][:1], now) if len(self.server.seen) % 2 else (shown, revision - 1)
        source = "HIT" if lie == "hit" or use_cache != "false" else "BYPASS"
        self._answer(200 if shown else 404, shown[0] if shown else None, as_of, source)

    def _list(self, prefix: str) -> None:
        """Nobody is lied to about keys; only documents are looked at."""
        with self.server.lock:
            keys = [path.removeprefix("/config/") for path in self.server.versions]
        body = json.dumps({"keys": [{"key": key} for key in keys if key.startswith(prefix)]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _tell(self, asked: dict[str, list[str]]) -> None:
        """A long poll. Its token is a revision."""
        after, until = int(asked.get("after", ["0"])[0]), time.monotonic() + float(asked["wait"][0])
        while True:
            with self.server.lock:
                now = self.server.revision
                found = {key: self.server.versions.get(f"/config/{key}", []) for key in asked["key"]}
            changed = {key: versions for key, versions in found.items() if versions and versions[-1].revision > after}
            if changed or time.monotonic() >= until:
                break
            time.sleep(SLICE)
        lie, since = self.server.lie, after - (self.server.lie == "elsewhere")
        told = [self._change(key, versions) for key, versions in changed.items()
                if lie != "lossy" or versions[-1].revision % 2]  # fmt: skip
        answer = {"from": str(since), "to": str(now), "reset": not after, "age": 0.0, "more": False, "changes": told}
        self._answer(200, Version(now, json.dumps(answer).encode()), now)

    def _change(self, key: str, versions: list[Version]) -> dict[str, object]:
        back = self.server.lie == "backwards" and len(versions) > 2 and versions[-1].revision % 2
        return {"key": key, "op": "put", "value": versions[-3 if back else -1].body.decode()}

    def do_PUT(self) -> None:
        body, path = self.rfile.read(int(self.headers["Content-Length"])), urlsplit(self.path).path
        if self.server.lie == "slow":
            time.sleep(SLOW)
        with self.server.lock:
            versions = self.server.versions.setdefault(path, [])
            existed = bool(versions)
            refused = self._refuses(versions)
            if not refused:
                self.server.revision += 1
                versions.append(Version(self.server.revision, body))
            now = versions[-1]
        status = 412 if refused else 200 if existed else 201
        self._answer(500 if self.server.lie == "broken" else status, now, now.revision)

    def _refuses(self, versions: list[Version]) -> bool:
        must_be, must_not_be = self.headers.get("If-Match"), self.headers.get("If-None-Match")
        if self.server.lie == "deaf" or not (must_be or must_not_be):
            return False
        if self.server.lie == "stubborn" and versions:
            return True
        return bool(versions) if must_not_be else not versions or must_be != _tag(versions[-1])

    def do_DELETE(self) -> None:
        with self.server.lock:
            self.server.revision += 1
            if self.server.lie != "undead":
                self.server.versions.pop(self.path, None)
        self._answer(204, None, self.server.revision)

    def _answer(self, status: int, shown: Version | None, as_of: int, source: str = "") -> None:
        body = shown.body if shown else b""
        with self.server.lock:
            self.server.seen.append(f"{self.command} {self.path}")
            self.server.tokens.add(self.headers.get("Authorization"))
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Cache", source)
        self.send_header("X-Config-Revision", str(as_of))
        if shown:
            self.send_header("ETag", _tag(shown))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


def _tag(version: Version) -> str:
    return f'"{version.revision}"'


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
