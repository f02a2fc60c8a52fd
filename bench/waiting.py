"""Clients that wait for changes: what one costs, how soon all are told, and what that does to who only reads.

Every client follows the same scope. The clients themselves: `bench.listeners`.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

from bench import wrk
from bench.alone import SETTLED, resident
from bench.client import Client, wait_for
from bench.contest import Figures, percentiles
from bench.documents import document
from bench.listeners import TOLD_WITHIN, Clients, clients
from bench.measures import FEW, hit
from bench.stage import PREFIX, Stage
from service.process.open_files import connections_allowed

KEY = "waiting/k"
PATH = f"/config/{KEY}"

AT_ONCE = 100
"""Streams that begin at the same time."""

POLL = 50
"""Seconds of a long poll."""

EVERY = 1.0
"""Seconds between two writes that all are told of, and between two questions of a client that polls."""

_STREAM = "GET /changes?prefix=waiting/ HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n"
_LONG_POLL = "GET /changes?prefix=waiting/&after={after}&wait={wait} HTTP/1.1\r\nHost: localhost\r\n\r\n"
_WATCH = "POST /v3/watch HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{body}"


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
        with meanwhile(lambda over: _write_until(over, put)):
            return _hits(stage)


@contextlib.contextmanager
def meanwhile(work: Callable[[threading.Event], None]) -> Iterator[None]:
    """Have `work` done on a thread, and tell it at the end of the block that it is over. Raises what it raised."""
    over = threading.Event()
    with ThreadPoolExecutor(1, "meanwhile") as thread:
        done = thread.submit(work, over)
        try:
            yield
        finally:
            over.set()
        done.result()


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
