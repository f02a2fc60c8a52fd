"""What is measured against what, and what should come of it.

In the order in which it is measured: first what wants a machine without other instances, then what is about a fleet,
then what is about a wider one.
"""

from __future__ import annotations

from bench.contest import Contest, at_least, at_most
from bench.costs import full, idle, library, waiting
from bench.freshness import beside_polls, beside_streams, fresh_elsewhere, raw_watch, told, undisturbed, watched
from bench.measures import (
    CROWD,
    EVERY,
    FEW,
    Asked,
    bare,
    beside_work,
    flask,
    gateway_puts,
    gateway_reads,
    hit,
    hit_of_workers,
    hits_among_misses,
    in_fleet,
    puts,
    puts_to_workers,
    reads,
    under,
)
from bench.stage import Stage

_BARE, _GATEWAY = "bare RSGI callable", "etcd's JSON gateway, linearizable"
_LINEARIZABLE, _UNCACHED = "?consistency=linearizable", "?use_cache=false"
_TAIL = {"p99": at_most(2.5)}


def _alone(connections: int) -> Contest[Stage]:
    """Of these the latencies are shown."""
    targets = _TAIL if connections in (64, 256) else {}
    what = f"hits, {connections:,} connection{'s' if connections > 1 else ''}"
    return Contest(what, _BARE, under(connections, hit), under(connections, bare), targets)


LATENCIES = tuple(_alone(connections) for connections in (1, 16, 64, 256, 1_000))


def _among_four(connections: int) -> Contest[Stage]:
    what = f"hits, {connections} connections, in a fleet of 4"
    sides = in_fleet(under(connections, hit)), in_fleet(under(connections, bare))
    return Contest(what, _BARE, *sides, {"requests/s": at_least(0.75)})


def _beside_three(connections: int) -> Contest[Stage]:
    what = f"hits, {connections} connections, beside three instances that work"
    return Contest(what, _BARE, beside_work(under(connections, hit)), beside_work(under(connections, bare)), _TAIL)


def _rates(what: str, against: str, ours: Asked, peer: Asked, least: float, where: str = "") -> Contest[Stage]:
    """Of these the rates are compared, at CROWD connections."""
    sides = under(CROWD, ours), under(CROWD, peer)
    return Contest(f"{what}, {CROWD} connections{where}", against, *sides, {"requests/s": at_least(least)})


CONTESTS: tuple[Contest[Stage], ...] = (
    Contest(
        "an idle instance",
        "",
        idle,
        None,
        {"MB": at_most(75), "% of a CPU": at_most(1), "MB more with 2,000 clients": at_most(40)},
    ),
    Contest(
        "9,900 clients that wait for changes",
        "",
        waiting,
        None,
        {"kB a stream": at_most(20), "kB a long poll": at_most(20)},
    ),
    Contest("an instance with 100,000 entries of 100 bytes", "", full, None, {"MB": at_most(150)}),
    Contest(
        "a client of the library that holds 10,000 documents",
        "",
        library,
        None,
        {"µs a read": at_most(2), "s to start": at_most(1), "MB": at_most(20)},
    ),
    *LATENCIES,
    Contest(
        "hits, 1,000 connections", "hits at 64", under(1_000, hit), under(CROWD, hit), {"requests/s": at_least(0.8)}
    ),
    Contest(
        "hits with 5 % misses, 16 connections",
        "without misses",
        hits_among_misses(EVERY),
        hits_among_misses(0),
        {"p99": at_most(3)},
    ),
    _rates("hits", "plain Flask route on Granian with WSGI", hit, flask, 10),
    _rates("hits", _GATEWAY, hit, gateway_reads(1), 5),
    _rates("linearizable", _GATEWAY, reads(1, _LINEARIZABLE), gateway_reads(1), 1.5),
    _rates("use_cache=false", _GATEWAY, reads(1, _UNCACHED), gateway_reads(1), 1.5),
    _rates("linearizable of 64 keys", _GATEWAY, reads(CROWD, _LINEARIZABLE), gateway_reads(CROWD), 1.2),
    _rates("PUT", "etcd's JSON gateway, same transaction", puts, gateway_puts, 1.2),
    Contest(
        "one write, until 1,000 streams are told",
        "a watch of etcd's JSON gateway for each",
        told,
        watched,
        {"p50": at_most(2)},
    ),
    Contest(
        "hits, 16 connections, while 1,000 streams are told of changes",
        "hits alone",
        beside_streams,
        undisturbed,
        {"p99": at_most(3)},
    ),
    Contest(
        "hits, 16 connections, while 1,000 streams are told of changes",
        "while 1,000 clients ask every second",
        beside_streams,
        beside_polls,
        {"p99": at_most(1)},
    ),
    _among_four(FEW),
    _among_four(CROWD),
    _beside_three(CROWD),
    _beside_three(256),
    _rates("hits", "1 worker", hit_of_workers, hit, 1, ", 2 workers"),
    _rates("PUT", "1 worker", puts_to_workers, puts, 1, ", 2 workers"),
    Contest(
        "PUT on A until fresh read on B, 8 instances", "raw watch", fresh_elsewhere, raw_watch, {"p99": at_most(10)}
    ),
)


def chosen(words: list[str]) -> tuple[Contest[Stage], ...]:
    """Those whose name contains all of the words; all when there are none."""
    return tuple(each for each in CONTESTS if all(word.lower() in each.name.lower() for word in words))
