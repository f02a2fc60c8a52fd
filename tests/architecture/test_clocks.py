"""The wall clock decides nothing: people, time servers and summer time may set it as they like."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
SOURCES = [path for room in ("consistency", "metrics", "service") for path in sorted((PROJECT / room).rglob("*.py"))]
STEADY = {"clock_gettime", "clock_gettime_ns", "monotonic", "perf_counter", "sleep"}
"""What may be used of the module `time`. `clock_gettime` only with clocks that nobody sets."""

NOW = "datetime.datetime.now(datetime.UTC)"
SAID = {
    "consistency/cache.py": {"time.time"},
    "consistency/instance/auditor.py": {"time.time"},
    "service/answering.py": {"time.time"},
    "service/process/compose.py": {NOW},
    "service/http/door.py": {"time.time"},
    "service/fleet/whole_fleet.py": {"time.time"},
    "service/doctor/endpoints.py": {NOW},
    "service/doctor/glimpse.py": {NOW},
    "service/doctor/https.py": {"time.time"},
    "service/doctor/material.py": {NOW},
    "service/tls/material.py": {NOW},
}
"""Where the wall clock is read, and how: an instance tells people since when it runs, when it left, and how long ago
others did; a record of a change tells when it was made or found; a certificate has begun and has not ended, or is
refused, and the name in a client's gives no right after its end; the doctor tells when certificates begin and end, and
whether etcd's wall clock agrees."""


def wall_clock(source: str) -> Iterator[str]:
    """Each expression that reads it, or may."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Attribute(value=ast.Name(id="time"), attr=name) if not name.startswith("CLOCK_"):
                if name not in STEADY:
                    yield ast.unparse(node)
            case ast.Attribute(value=ast.Name(id="time"), attr="CLOCK_REALTIME" | "CLOCK_TAI"):
                yield ast.unparse(node)
            case ast.ImportFrom(module="time" | "datetime"):
                yield ast.unparse(node)
            case ast.Call(func=ast.Attribute(attr="now" | "utcnow" | "today")):
                yield ast.unparse(node)


@pytest.mark.fault("wall clock ±1 h")
@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PROJECT)))
def test_wall_clock(path: Path) -> None:
    """Rule 4's window is measured by CLOCK_BOOTTIME, deadlines by the monotonic clock, order by etcd's revisions."""
    assert set(wall_clock(path.read_text())) == SAID.get(str(path.relative_to(PROJECT)), set())


@pytest.mark.parametrize(
    "source",
    [
        "time.time()",
        "time.time_ns()",
        "later(clock=time.time)",
        "time.clock_gettime(time.CLOCK_REALTIME)",
        "time.strftime('%H')",
        "from time import time",
        "datetime.datetime.now()",
        "datetime.date.today()",
        "from datetime import datetime",
    ],
)
def test_whoever_reads_the_wall_clock_is_found(source: str) -> None:
    assert list(wall_clock(source))
