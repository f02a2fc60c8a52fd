"""Clients that wait for changes: what one costs, how soon all are told, and what that does to who only reads.

Owns the clients: plain sockets, read by one thread that counts what comes. Every one follows the same scope.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

from bench import wrk
from bench.alone import SETTLED, resident
from bench.client import Client, wait_for
from bench.contest import Figures, percentiles
from bench.documents import document
from bench.measures import FEW, hit
from bench.stage import PREFIX, Stage
from service.process.open_files import connections_allowed

KEY = "waiting/k"
PATH = f"/config/{KEY}"

TOLD_WITHIN = 30.0
"""Seconds for all clients to be told of one write, or to have asked."""

AT_ONCE = 100
"""Streams that begin at the same time."""

POLL = 50
"""Seconds of a long poll."""

EVERY = 1.0
"""Seconds between two writes that all are told of, and between two questions of a client that polls."""

_STREAM = "GET /changes?prefix=waiting/ HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n"
_LONG_POLL = "GET /changes?prefix=waiting/&after={after}&wait={wait} HTTP/1.1\r\nHost: localhost\r\n\r\n"
_WATCH = "POST /v3/watch HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{body}"

_TELLS = re.compile(rb'event: sync|"result"')
"""What a stream of ours, or of etcd's gateway, says once for each change, and once when it begins."""


class Clients:
    """Sockets on which something may come at any time; a thread reads it all."""

    def __init__(self, url: str) -> None:
        self._address = (urlsplit(url).hostname or "", urlsplit(url).port or 0)
        self._selector = selectors.DefaultSelector()
        self._told: dict[int, int] = {}  # by descriptor: how often each was told something
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._read, name="clients")

    def ask(self, request: str, count: int) -> None:
        """So many more, each on a connection of its own. Raises OSError."""
        for _ in range(count):
            client = socket.create_connection(self._address, TOLD_WITHIN)
            client.sendall(request.encode())
            client.setblocking(False)
            self._told[client.fileno()] = 0
            self._selector.register(client, selectors.EVENT_READ)
        if not self._thread.is_alive():
            self._thread.start()

    def least(self) -> int:
        """How often everybody has been told something."""
        return min(self._told.values())

    def close(self) -> None:
        """All go away."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]  # they are sockets
        self._selector.close()

    def _read(self) -> None:
        while not self._over.is_set():
            for key, _ in self._selector.select(0.1):
                data = key.fileobj.recv(65536)  # type: ignore[union-attr]
                self._told[key.fd] += len(_TELLS.findall(data))
                if not data:
                    self._selector.unregister(key.fileobj)


@contextlib.contextmanager
def clients(url: str) -> Iterator[Clients]:
    """None yet."""
    made = Clients(url)
    try:
        yield made
    finally:
        made.close()


# --- what one costs


def waiting(stage: Stage, _round: int) -> Figures:
    """kB of a fresh instance's memory for each client, its connection included: of streams, and of long polls."""
    return {"kB a stream": _cost(stage, _ask_streams), "kB a long poll": _cost(stage, _ask_polls)}


def _cost(stage: Stage, ask: Callable[[str, Clients, int], None]) -> float:
    count = min(stage.effort.waiters, connections_allowed(stage.effort.waiters))
    with stage.another_instance() as instance:
        with Client(instance.url) as asking:
            asking.ask("PUT", PATH, document(0))
        time.sleep(2 * SETTLED)
        before = resident(instance.process.pid)
        with clients(instance.url) as those:
            ask(instance.url, those, count)
            return 1000 * (resident(instance.process.pid) - before) / count


def _ask_streams(_url: str, those: Clients, count: int) -> None:
    """A few at a time: an instance that thousands come to at once refuses some, since its proofs are late."""
    for begun in range(0, count, AT_ONCE):
        those.ask(_STREAM, min(AT_ONCE, count - begun))
        wait_for(lambda: those.least() >= 1, TOLD_WITHIN, "all streams have begun")


def _ask_polls(url: str, those: Clients, count: int) -> None:
    with Client(url) as asking:
        after = json.loads(asking.ask("GET", "/changes?prefix=waiting/")[0])["to"]
        those.ask(_LONG_POLL.format(after=after, wait=POLL), count)
        wait_for(lambda: _waiters(asking) >= count, TOLD_WITHIN, "all long polls wait")


def _waiters(asking: Client) -> float:
    found = re.findall(rb'^config_change_waiters{encoding="json"} (\S+)$', asking.ask("GET", "/metrics")[0], re.M)
    return float(found[0]) if found else 0.0


# --- how soon all are told


def told(stage: Stage, _round: int) -> Figures:
    """From the sending of a write until every stream of the same scope has been told, ms."""
    with Client(stage.instance) as put, clients(stage.instance) as those:
        put.ask("PUT", PATH, document(0))
        _ask_streams(stage.instance, those, stage.effort.followers)
        return _delays(stage, those, lambda: put.ask("PUT", PATH, document(0)))


def watched(stage: Stage, _round: int) -> Figures:
    """The same, where each client has a watch of etcd's JSON gateway."""
    name = f"{PREFIX}-watched/k".encode()
    body = json.dumps({"create_request": {"key": base64.b64encode(name).decode()}})
    write = json.dumps(
        {"key": base64.b64encode(name).decode(), "value": base64.b64encode(document(0)).decode()}
    ).encode()
    with Client(stage.etcd) as put, clients(stage.etcd) as those:
        those.ask(_WATCH.format(length=len(body), body=body), stage.effort.followers)
        return _delays(stage, those, lambda: put.ask("POST", "/v3/kv/put", write))


def _delays(stage: Stage, those: Clients, write: Callable[[], object]) -> Figures:
    wait_for(lambda: those.least() >= 1, TOLD_WITHIN, "all streams have begun")
    found: list[float] = []
    for _ in range(stage.effort.tellings):
        time.sleep(EVERY / 2)
        before = those.least()
        sent = time.perf_counter()
        write()
        while those.least() <= before:
            if time.perf_counter() > sent + TOLD_WITHIN:
                raise TimeoutError(f"not all were told within {TOLD_WITHIN:g} s")
            time.sleep(0.001)
        found.append(1e3 * (time.perf_counter() - sent))
    return percentiles(found)


# --- what it does to who only reads


def beside_streams(stage: Stage, _round: int) -> Figures:
    """Hits, while many streams are told of two writes a second."""
    with Client(stage.instance) as put, clients(stage.instance) as those:
        put.ask("PUT", PATH, document(0))
        _ask_streams(stage.instance, those, stage.effort.followers)
        over = threading.Event()
        writer = threading.Thread(target=_write_until, args=(over, put), name="writer")
        writer.start()
        try:
            return _hits(stage)
        finally:
            over.set()
            writer.join()


def beside_polls(stage: Stage, _round: int) -> Figures:
    """Hits, while as many clients ask every second, as clients do that nobody tells."""
    with Client(stage.instance) as put:
        put.ask("PUT", PATH, document(0))
    asked = wrk.paced(stage.instance + PATH, int(1000 * EVERY))
    at_most = stage.effort.seconds + wrk.GRACE
    count = stage.effort.followers
    with wrk.busy(asked, at_most=at_most, connections=count, own_session=stage.own_sessions):
        return _hits(stage)


def undisturbed(stage: Stage, _round: int) -> Figures:
    """Hits alone."""
    return _hits(stage)


def _hits(stage: Stage) -> Figures:
    figures, _ = wrk.run(hit(stage), seconds=stage.effort.seconds, connections=FEW, own_session=stage.own_sessions)
    return figures


def _write_until(over: threading.Event, put: Client) -> None:
    while not over.wait(EVERY / 2):
        put.ask("PUT", PATH, document(0))
