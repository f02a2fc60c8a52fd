"""The table: what is compared with what, and what should come of it."""

from __future__ import annotations

from bench.contest import AtLeast, AtMost, Row
from bench.measures import (
    CROWD,
    EVERY,
    SLOW,
    fresh_elsewhere,
    gateway,
    gateway_first,
    gateway_puts,
    hits_among_misses,
    hits_among_slow_clients,
    hot,
    ours,
    p99,
    puts,
    rate,
    raw_watch,
    resident,
    served_by,
    unbound,
)
from bench.stage import Stage

_RATE = "requests/s"
_HIT = "cached GET"

ROWS: tuple[Row[Stage], ...] = (
    Row(_HIT, "bare WSGI callable", AtLeast(0.8), _RATE, rate(hot), rate(served_by(lambda stage: stage.bare))),
    Row(
        _HIT,
        "bare WSGI callable with one header",
        None,
        _RATE,
        rate(hot),
        rate(served_by(lambda stage: stage.bare_with_one_header)),
    ),
    Row(_HIT, "plain Flask route", AtLeast(5), _RATE, rate(hot), rate(served_by(lambda stage: stage.flask))),
    Row(_HIT, "etcd's JSON gateway, linearizable", AtLeast(5), _RATE, rate(hot), rate(gateway_first)),
    Row(
        _HIT,
        "nginx, from disk",
        AtLeast(0.5),
        _RATE,
        rate(hot),
        rate(served_by(lambda stage: stage.nginx)),
        programs=("nginx",),
    ),
    Row(
        _HIT,
        "Flask with Redis",
        AtLeast(4),
        _RATE,
        rate(hot),
        rate(served_by(lambda stage: stage.flask_redis)),
        programs=("redis-server",),
    ),
    Row(
        _HIT,
        "Flask with Redis and client-side caching",
        AtLeast(4),
        _RATE,
        rate(hot),
        rate(served_by(lambda stage: stage.flask_redis_tracking)),
        programs=("redis-server",),
    ),
    Row(
        "linearizable cached GET, 64 connections",
        "etcd's JSON gateway",
        AtLeast(1.5),
        _RATE,
        rate(ours("?consistency=linearizable"), CROWD),
        rate(gateway, CROWD),
    ),
    Row(
        "use_cache=false GET, 64 connections",
        "etcd's JSON gateway",
        AtLeast(1),
        _RATE,
        rate(ours("?use_cache=false"), CROWD),
        rate(gateway, CROWD),
    ),
    Row(
        "PUT, 64 connections",
        "etcd's JSON gateway, same transaction",
        AtLeast(0.8),
        _RATE,
        rate(puts, CROWD),
        rate(gateway_puts, CROWD),
    ),
    Row(
        "hits' p99, 16 connections",
        "bare WSGI callable",
        AtMost(2),
        "ms",
        p99(hot),
        p99(served_by(lambda stage: stage.bare)),
    ),
    Row(
        "hits' p99 beside 5 % misses, 16 connections",
        "without misses",
        AtMost(3),
        "ms",
        hits_among_misses(EVERY),
        hits_among_misses(0),
    ),
    Row(
        "hits' p99 beside 900 slow clients, 16 connections",
        "without slow clients",
        AtMost(3),
        "ms",
        hits_among_slow_clients(SLOW),
        p99(hot),
    ),
    Row(
        "cached GET, 64 connections",
        "with threads on all CPUs",
        None,
        _RATE,
        rate(ours(""), CROWD),
        rate(unbound(""), CROWD),
    ),
    Row(
        "cached GET's p99, 64 connections",
        "with threads on all CPUs",
        None,
        "ms",
        p99(ours(""), CROWD),
        p99(unbound(""), CROWD),
    ),
    Row(
        "use_cache=false GET, 64 connections",
        "with threads on all CPUs",
        None,
        _RATE,
        rate(ours("?use_cache=false"), CROWD),
        rate(unbound("?use_cache=false"), CROWD),
    ),
    Row(
        "PUT on A until fresh read on B, p99, 8 instances",
        "raw watch of etcd",
        AtMost(10),
        "ms",
        fresh_elsewhere,
        raw_watch,
    ),
    Row("memory of an instance with 100,000 entries of 100 bytes", "", AtMost(150), "MB", resident),
)


def chosen(words: list[str]) -> tuple[Row[Stage], ...]:
    """The rows whose name contains all of the words; all rows when there are none."""
    return tuple(row for row in ROWS if all(word.lower() in row.name.lower() for word in words))
