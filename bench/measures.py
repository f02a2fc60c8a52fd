"""The measurements under load: each starts what it needs on the stage, and returns what wrk found."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import ExitStack

from bench import documents, wrk
from bench.contest import Figures, Measure
from bench.stage import HIT, PREFIX, Stage

CROWD = 64
"""Connections, and different keys where there are several."""

FEW = 16
"""Connections."""

EVERY = 20
"""The how many-th read is a miss: 5 %."""

MISSES_A_SECOND = 3_000
"""Documents there are to miss: more than are missed, since a second read of one would be a hit."""

AT_WORK = 10
"""Connections to each instance that works while another one is measured; each asks once in PACE ms."""

PACE = 10

Asked = Callable[[Stage], wrk.Requests]


def under(connections: int, asked: Asked) -> Measure[Stage]:
    """That many connections busy with these requests."""
    return lambda stage, _round: _run(stage, asked(stage), connections)[0]


def in_fleet(measure: Measure[Stage]) -> Measure[Stage]:
    """The same on a machine where a whole fleet runs, the measured instance among it."""

    def among_others(stage: Stage, number: int) -> Figures:
        stage.fleet(stage.effort.fleet)
        return measure(stage, number)

    return among_others


def beside_work(measure: Measure[Stage]) -> Measure[Stage]:
    """The same while all other instances of the fleet serve hits, too: some 1,000 a second each."""

    def beside(stage: Stage, number: int) -> Figures:
        at_most = stage.effort.seconds + wrk.GRACE
        with ExitStack() as stack:
            for url in stage.fleet(stage.effort.fleet)[1:]:
                asked = wrk.paced(url + HIT, PACE)
                stack.enter_context(
                    wrk.busy(asked, at_most=at_most, connections=AT_WORK, own_session=stage.own_sessions)
                )
            return measure(stage, number)

    return beside


def hits_among_misses(every: int) -> Measure[Stage]:
    """The hits alone, at 16 connections, when every so many-th read is a miss (0: none).

    Each round has documents of its own to miss; those that hits are for are never among them.
    """

    def measure(stage: Stage, number: int) -> Figures:
        hot, share = stage.effort.hot, stage.effort.seconds * MISSES_A_SECOND
        stage.need(hot + stage.effort.rounds * share)
        stage.warm(hot)
        given = ("/config/bench/", str(hot), str(every), str(hot + number * share), str(share))
        figures, printed = _run(stage, wrk.Requests(stage.instance, given, "hits.lua"), FEW)
        refuse_too_few_misses(printed, every)
        return figures

    return measure


def refuse_too_few_misses(printed: str, every: int) -> None:
    """Raises wrk.Failed: documents that were read before are no misses any more."""
    found = re.search(r"^hits: (\d+) misses: (\d+)$", printed, re.MULTILINE)
    hits, misses = (int(each) for each in found.groups()) if found else (0, 0)
    if every and misses < 0.9 * (hits + misses) / every:
        raise wrk.Failed(f"only {misses} misses beside {hits} hits: too few documents for so many seconds")


def _run(stage: Stage, asked: wrk.Requests, connections: int) -> tuple[Figures, str]:
    return wrk.run(asked, seconds=stage.effort.seconds, connections=connections, own_session=stage.own_sessions)


# --- requests


def hit(stage: Stage) -> wrk.Requests:
    """One document that the instance holds."""
    stage.warm(1)
    return wrk.Requests(stage.instance + HIT)


def hit_of_workers(stage: Stage) -> wrk.Requests:
    """The same document, held by each of several workers on one port."""
    stage.warm(1)
    return wrk.Requests(stage.workers + HIT)


def puts_to_workers(stage: Stage) -> wrk.Requests:
    """PUTs of different documents in turn, to several workers on one port."""
    return wrk.listed(stage.workers, stage.lines("writes", documents.writes(CROWD)))


def bare(stage: Stage) -> wrk.Requests:
    """The same answer, from the bare RSGI callable."""
    return wrk.Requests(stage.bare + HIT)


def flask(stage: Stage) -> wrk.Requests:
    """The same answer, from the plain Flask route."""
    return wrk.Requests(stage.flask + HIT)


def reads(count: int, query: str) -> Asked:
    """So many documents in turn, all of them held, asked for in this way."""

    def requests(stage: Stage) -> wrk.Requests:
        stage.warm(count)
        name = f"reads-{count}-{re.sub(r'[^a-z]', '-', query)}"
        return wrk.listed(stage.instance, stage.lines(name, documents.reads(count, query)))

    return requests


def gateway_reads(count: int) -> Asked:
    """The same documents, of etcd itself: linearizable ranges."""

    def requests(stage: Stage) -> wrk.Requests:
        stage.need(count)
        lines = documents.gateway_reads(PREFIX, count)
        return wrk.listed(stage.etcd, stage.lines(f"gateway-reads-{count}", lines))

    return requests


def puts(stage: Stage) -> wrk.Requests:
    """PUTs of different documents in turn."""
    return wrk.listed(stage.instance, stage.lines("writes", documents.writes(CROWD)))


def gateway_puts(stage: Stage) -> wrk.Requests:
    """The same, each in a transaction as one PUT alone makes it."""
    return wrk.listed(stage.etcd, stage.lines("gateway-writes", documents.gateway_writes(CROWD)))
