"""How soon others know of a write: who asks for it, who is told of it; and what telling them does to who only reads."""

from __future__ import annotations

import contextlib
import itertools
import json
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from bench import wrk
from bench.contest import Figures, percentiles
from bench.costs import SCOPE
from bench.documents import document, in_base64
from bench.listeners import BEGUN_WITHIN, TOLD_WITHIN, Clients, clients
from bench.measures import FEW, hit, under
from bench.processes import Client, printed_by, wait_for
from bench.stage import PREFIX, Stage
from tests.support.meanwhile import meanwhile

MOVED = "/config/bench/moved"
"""Read after each write."""

SEEN_WITHIN = 5.0
"""Seconds for one write to be seen: more than the service promises."""

TOLD_OF = f"/config/{SCOPE}k"
"""Followed by all who are told."""

EVERY = 1.0
"""Seconds between two questions of a client that polls; between two writes that all are told of it is half as long."""

_WATCH = "POST /v3/watch HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{body}"

undisturbed = under(FEW, hit)
"""Hits alone."""


# --- who asks for it


def fresh_elsewhere(stage: Stage, _round: int) -> Figures:
    """From an answered write to the first answer of another instance that shows it, ms."""
    first, *others = stage.fleet(stage.effort.wide)
    return percentiles(list(delays(first, others, stage.effort.writes)))


def delays(writer: str, readers: Sequence[str], writes: int) -> Iterator[float]:
    """Writes to one, default reads from the others in turn; milliseconds from answer to answer. Raises TimeoutError.

    Each reader holds the value before when the write comes: it has something old to serve.
    """
    with contextlib.ExitStack() as stack:
        put = stack.enter_context(Client(writer))
        _write(put)
        turns = itertools.cycle([stack.enter_context(Client(url)) for url in readers])
        for reader, _ in zip(turns, range(writes), strict=False):
            reader.ask("GET", MOVED)
            tag = _write(put)
            answered = time.perf_counter()
            wait_for(partial(_shows, reader, tag), SEEN_WITHIN, "a write is seen", every=0)
            yield (time.perf_counter() - answered) * 1e3


def _write(client: Client) -> str:
    """The ETag of what was written."""
    return client.ask("PUT", MOVED, document(0))[1]["etag"]


def _shows(client: Client, tag: str) -> bool:
    return client.ask("GET", MOVED)[1]["etag"] == tag


def raw_watch(stage: Stage, _round: int) -> Figures:
    """From an answered put to its event in a bare watch, ms."""
    given = ("watch", stage.etcd, str(stage.effort.writes))
    printed = printed_by("bench.peers", *given, own_session=stage.own_sessions)
    return percentiles([float(line) for line in printed.split()])


# --- who is told of it


def told(stage: Stage, _round: int) -> Figures:
    """From the sending of a write until every stream of the same scope has been told, ms."""
    with _followed(stage) as (those, write):
        return _tellings(stage, those, write)


def watched(stage: Stage, _round: int) -> Figures:
    """The same, where each client has a watch of etcd's JSON gateway."""
    name = in_base64(f"{PREFIX}-watched/k")
    body = json.dumps({"create_request": {"key": name}})
    put = json.dumps({"key": name, "value": in_base64(document(0))}).encode()
    with Client(stage.etcd) as writer, clients(stage.etcd) as those:
        those.ask(_WATCH.format(length=len(body), body=body), stage.effort.followers)
        wait_for(lambda: those.least() >= 1, BEGUN_WITHIN, "all watches have begun")
        return _tellings(stage, those, lambda: writer.ask("POST", "/v3/kv/put", put))


def _tellings(stage: Stage, those: Clients, write: Callable[[], object]) -> Figures:
    found: list[float] = []
    for _ in range(stage.effort.tellings):
        time.sleep(EVERY / 2)
        before, sent = those.least(), time.perf_counter()
        write()
        wait_for(partial(_more, those, before), TOLD_WITHIN, "all are told of a write", every=0.001)
        found.append(1e3 * (time.perf_counter() - sent))
    return percentiles(found)


def _more(those: Clients, before: int) -> bool:
    return those.least() > before


@contextlib.contextmanager
def _followed(stage: Stage) -> Iterator[tuple[Clients, Callable[[], object]]]:
    """Many streams of the measured instance, and what they are told of when it is called."""
    with Client(stage.instance) as writer, clients(stage.instance) as those:
        write = partial(writer.ask, "PUT", TOLD_OF, document(0))
        write()
        those.follow(SCOPE, stage.effort.followers)
        yield those, write


# --- what it does to who only reads


def beside_streams(stage: Stage, number: int) -> Figures:
    """Hits, while many streams are told of two writes a second."""
    with _followed(stage) as (_, write), meanwhile([write], pause=EVERY / 2):
        return undisturbed(stage, number)


def beside_polls(stage: Stage, number: int) -> Figures:
    """Hits, while as many clients ask every second, as clients do that nobody tells."""
    with Client(stage.instance) as writer:
        writer.ask("PUT", TOLD_OF, document(0))
    asked = wrk.paced(stage.instance + TOLD_OF, int(1000 * EVERY))
    load = {"at_most": stage.effort.seconds + wrk.GRACE, "connections": stage.effort.followers}
    with wrk.busy(asked, **load, own_session=stage.own_sessions):
        return undisturbed(stage, number)
