"""The measurements: each starts what it needs on the stage, and returns one figure."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from bench import documents, memory, propagation, wrk
from bench.contest import Measure
from bench.processes import PROJECT
from bench.slow_clients import slow_clients
from bench.stage import PREFIX, Stage

FEW = 16
CROWD = 64
"""Connections."""

WRITTEN = 900_000
"""Number of the first document that is only written: writing those that are read would unprove them."""

EVERY = 20
"""The how many-th read is a miss: 5 %."""


SLOW = 900
"""Clients who don't finish what they have begun, a third of them in the middle of a body."""


@dataclass(frozen=True, slots=True)
class Requests:
    """What wrk is told: where, and with which script."""

    url: str
    script: str = ""
    given: tuple[str, ...] = ()


def load(requests: Callable[[Stage], Requests], connections: int = FEW) -> Callable[[Stage], wrk.Load]:
    """That many connections busy with these requests."""

    def measure(stage: Stage) -> wrk.Load:
        asked = requests(stage)
        seconds = stage.effort.seconds
        return wrk.run(asked.url, seconds=seconds, connections=connections, script=asked.script, given=asked.given)

    return measure


def rate(requests: Callable[[Stage], Requests], connections: int = FEW) -> Measure[Stage]:
    """Requests/s."""
    measure = load(requests, connections)
    return lambda stage, _round: measure(stage).rate


def p99(requests: Callable[[Stage], Requests], connections: int = FEW) -> Measure[Stage]:
    """Milliseconds."""
    measure = load(requests, connections)
    return lambda stage, _round: measure(stage).p99


# --- requests


def hot(stage: Stage) -> Requests:
    """One document that the instance holds."""
    stage.warm(1)
    return _first(stage.instance)


def served_by(where: Callable[[Stage], str]) -> Callable[[Stage], Requests]:
    """The same document, of a peer."""
    return lambda stage: _first(where(stage))


def ours(query: str) -> Callable[[Stage], Requests]:
    """Many documents in turn, all of them held, asked for in this way."""

    def requests(stage: Stage) -> Requests:
        stage.warm(stage.effort.hot)
        name = "reads-" + re.sub(r"\W", "-", query)
        return _listed(stage.instance, stage.lines(name, documents.reads(stage.effort.hot, query)))

    return requests


def unbound(query: str) -> Callable[[Stage], Requests]:
    """The same, of the instance whose threads are spread."""
    requests = ours(query)
    return lambda stage: replace(requests(stage), url=stage.unbound)


def gateway(stage: Stage) -> Requests:
    """The same documents in turn, of etcd itself."""
    return _gateway(stage, stage.effort.hot)


def gateway_first(stage: Stage) -> Requests:
    """One document, of etcd itself."""
    return _gateway(stage, 1)


def _gateway(stage: Stage, count: int) -> Requests:
    stage.need(count)
    return _listed(stage.etcd, stage.lines(f"gateway-reads-{count}", documents.gateway_reads(PREFIX, count)))


def puts(stage: Stage) -> Requests:
    """Many documents in turn."""
    return _listed(stage.instance, stage.lines("writes", documents.writes(WRITTEN, stage.effort.hot)))


def gateway_puts(stage: Stage) -> Requests:
    """The same, each in a transaction as one PUT alone makes it."""
    return _listed(stage.etcd, stage.lines("gateway-writes", documents.gateway_writes(WRITTEN, stage.effort.hot)))


def _first(url: str) -> Requests:
    return Requests(f"{url}/config/{documents.name_of(0)}")


def _listed(url: str, file: str) -> Requests:
    return Requests(url, "requests.lua", (file,))


# --- figures of another kind


def hits_among_misses(every: int) -> Measure[Stage]:
    """p99 of the hits alone, ms, at 16 connections, when every so many-th read is a miss (0: none).

    Each round has documents of its own to miss; those that hits are for are never among them.
    """

    def measure(stage: Stage, number: int) -> float:
        stage.need(stage.effort.documents)
        hot = stage.effort.hot
        stage.warm(hot)
        share = (stage.effort.documents - hot) // stage.effort.rounds
        given = ("/config/bench/", str(hot), str(every), str(hot + number * share), str(share))
        return _hits_p99(load(lambda stage: Requests(stage.instance, "hits.lua", given))(stage).printed, every)

    return measure


def hits_among_slow_clients(count: int) -> Measure[Stage]:
    """p99 of hits, ms, at 16 connections, while so many clients don't finish what they have begun."""
    measure = p99(hot)

    def beside(stage: Stage, number: int) -> float:
        stage.need(1)  # a write needs a place among the bodies
        with slow_clients(stage.instance, count):
            return measure(stage, number)

    return beside


def _hits_p99(printed: str, every: int) -> float:
    found = re.search(r"^hits: (\d+) p99: (\d+) us misses: (\d+)$", printed, re.MULTILINE)
    if not found:
        raise wrk.Failed(f"there were no hits:\n{printed}")
    hits, p99_us, misses = map(int, found.groups())
    if every and misses < 0.9 * (hits + misses) / every:  # those that were read before are no misses any more
        raise wrk.Failed(f"only {misses} misses beside {hits} hits: too few documents for so many seconds")
    return p99_us / 1e3


def fresh_elsewhere(stage: Stage, _round: int) -> float:
    """p99 of the time until another instance shows an answered write, ms."""
    first, *others = stage.fleet
    return percentile(list(propagation.delays(first, others, stage.effort.seconds)), 0.99)


def raw_watch(stage: Stage, _round: int) -> float:
    """p99 of the time until a bare watch shows an answered put, ms."""
    command = [sys.executable, "-m", "bench.peers.raw_watch", stage.etcd, str(stage.effort.seconds)]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=60, check=True)
    return percentile([float(line) for line in done.stdout.split()], 0.99)


def resident(stage: Stage, _round: int) -> float:
    """MB in memory of a fresh instance that holds all documents."""
    stage.need(stage.effort.documents)
    room = {"CACHE_MAX_ENTRIES": str(2 * stage.effort.documents), "CACHE_MAX_BYTES": str(1024**3)}
    instance = stage.start_instance(PREFIX, **room)
    memory.fill(
        instance.url, stage.lines("everything", documents.reads(stage.effort.documents)), stage.effort.documents
    )
    return memory.resident(instance.pid)


def percentile(figures: Sequence[float], share: float) -> float:
    """The least of the figures that `share` of them don't exceed."""
    return sorted(figures)[max(0, math.ceil(share * len(figures)) - 1)]
