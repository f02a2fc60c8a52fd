"""What is said of an instance with many entries, or many clients, is said of one that has them."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bench import costs
from bench.documents import reads, write_lines
from tests.bench.programs import need_wrk

pytestmark = pytest.mark.alone

ENTRIES = 3_000
TAKES = 0.05
"""Seconds for one answer: 64 connections need more than two for all entries."""


class Slow(BaseHTTPRequestHandler):
    """Says, as an instance does, how many different documents it was asked for."""

    protocol_version = "HTTP/1.1"
    read: set[str]

    def do_GET(self) -> None:
        if self.path == "/metrics":
            self._answer(f"config_cache_entries {len(self.read)}\n".encode())
        else:
            time.sleep(TAKES)
            self.read.add(self.path)
            self._answer(b"{}")

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *_: object) -> None:
        """Nothing."""


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """The load ends without taking leave."""


@contextmanager
def slow() -> Iterator[tuple[str, set[str]]]:
    """A server, and what it was asked for."""
    handler = type("Handler", (Slow,), {"read": set()})
    with Server(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", handler.read  # type: ignore[attr-defined]
        finally:
            server.shutdown()
            thread.join()


def test_all_documents_are_read_however_slowly(tmp_path: Path) -> None:
    """Begun anew every other second, the last of them would never be read."""
    need_wrk()
    with slow() as (url, read):
        costs.fill(url, str(write_lines(tmp_path / "requests", reads(ENTRIES))), ENTRIES)
        assert len(read) == ENTRIES


def test_too_few_entries_in_time_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And no figure."""
    need_wrk()
    monkeypatch.setattr(costs, "FILLED_WITHIN", 1)
    with slow() as (url, _), pytest.raises(TimeoutError, match=f"of {ENTRIES} entries"):
        costs.fill(url, str(write_lines(tmp_path / "requests", reads(ENTRIES))), ENTRIES)


def test_resident_memory_is_in_megabytes() -> None:
    """Of this process: more than an interpreter takes, less than a machine has."""
    assert 5 < costs.resident(os.getpid()) < 5_000


def test_cpu_time_of_a_process_grows_by_what_it_has_used() -> None:
    """In steps of the kernel's clock."""
    before, counted = costs.cpu_seconds(os.getpid()), time.process_time()
    while time.process_time() < counted + 0.2:
        pass
    assert 0.15 < costs.cpu_seconds(os.getpid()) - before < 5.0


def test_waiting_clients_stay_connected_until_the_end() -> None:
    """Each has asked once: its connection is one that the server has had to do with."""
    with slow() as (url, read):
        threads = threading.active_count()
        with costs.connected(url, 5):
            assert (len(read), threading.active_count() - threads) == (1, 5)
