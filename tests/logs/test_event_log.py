"""What the log tells of the protocol's events, at which level, and how often. Time is moved by hand."""

from __future__ import annotations

from itertools import pairwise
from typing import get_args

import pytest
from structlog.testing import capture_logs

from consistency.core.events import (
    Acknowledged,
    AuditFound,
    BatchAnswered,
    ChangesTold,
    EndpointDown,
    EndpointUp,
    Event,
    Evicted,
    Guarded,
    HistoryTrimmed,
    Invalidated,
    Joined,
    JoinFailed,
    Left,
    PastRead,
    PolicyPut,
    ReadServed,
    ScopeReset,
    StoreCalled,
    TimeWentBackwards,
    WatchEnded,
    WatchStarted,
    WorkerFailed,
)
from consistency.core.model import Author, Source
from service.process.event_log import LAST_REPEAT, EventLog

TOLD: list[tuple[Event, str, str]] = [
    (Joined(3), "info", "joined the fleet"),
    (Left(3, "closed"), "info", "left the fleet"),
    (Left(3, "expired"), "warning", "lost the slot, serving uncached"),
    (JoinFailed("full"), "warning", "no slot, serving uncached"),
    (WatchStarted(9, history_kept=True), "info", "watch is up"),
    (WatchStarted(9, history_kept=False), "info", "watch is up"),
    (WatchEnded("closed"), "info", "watch closed"),
    (WatchEnded("unavailable", "etcd is away"), "warning", "watch is down"),
    (TimeWentBackwards("3 after 9"), "error", "etcd answered from another history, everything is dropped"),
    (AuditFound(2), "warning", "written or deleted past this service; the fleet validates"),
    (PolicyPut(9, Author("ops", "r-1", "limits for all")), "info", "another policy is in force"),
    (EndpointDown("http://a:1", "connection refused"), "warning", "an etcd endpoint fails"),
    (WorkerFailed("watch", "KeyError: 'x'"), "error", "a background task failed and starts over"),
]

SILENT: list[Event] = [
    ReadServed(Source.HIT),
    StoreCalled("read", "unavailable", 0.5),
    BatchAnswered(1, 1, proved=False),
    Invalidated("version", 3),
    Evicted(2),
    Acknowledged(2, 2, complete=True),
    Guarded("acknowledged"),
    EndpointUp("http://a:1"),  # for the first time
    ChangesTold(3, 0.1),
    ScopeReset("asked"),
    PastRead(7),
    HistoryTrimmed(9),
]


class Clock:
    """Seconds, moved by the test."""

    now = 0.0

    def __call__(self) -> float:
        """The time."""
        return self.now


@pytest.mark.parametrize(("event", "level", "message"), TOLD, ids=repr)
def test_event_is_told_at_a_fitting_level(event: Event, level: str, message: str) -> None:
    """What an operator has to know is a line; what he has to act on is at least a warning."""
    with capture_logs() as lines:
        EventLog(Clock()).observe(event)
    assert [(line["log_level"], line["event"]) for line in lines] == [(level, message)]


def test_who_put_a_policy_is_told_with_all_that_is_known_and_moves_no_terminal() -> None:
    with capture_logs() as lines:
        EventLog(Clock()).observe(PolicyPut(9, Author("ops", "r-1", "for \x1b[2Jall")))
    (line,) = lines
    told = {name: line.get(name) for name in ("revision", "by", "request", "why")}
    assert told == {"revision": 9, "by": "ops", "request": "r-1", "why": "for \\x1b[2Jall"}


def test_dropped_entries_are_a_warning_but_not_at_the_start() -> None:
    """The first watch finds nothing to keep; a later one that drops everything costs a load per key."""
    log, start = EventLog(Clock()), WatchStarted(9, history_kept=False)
    with capture_logs() as lines:
        for event in (start, WatchEnded("compacted"), start):
            log.observe(event)
    told = [(line["log_level"], line["event"]) for line in lines]
    assert told[0] == ("info", "watch is up")
    assert told[2] == ("warning", "watch is up, cached entries dropped")


@pytest.mark.parametrize("event", SILENT, ids=repr)
def test_what_happens_with_every_read_is_not_logged(event: Event) -> None:
    """Hits, RPCs and their like are counted instead."""
    with capture_logs() as lines:
        EventLog(Clock()).observe(event)
    assert lines == []


def test_no_event_class_goes_without_a_test() -> None:
    """A new event has to be told or kept quiet on purpose."""
    assert {type(event) for event, *_ in TOLD} | {type(event) for event in SILENT} == set(get_args(Event))


def test_failure_that_goes_on_is_told_at_growing_intervals() -> None:
    """etcd away for half an hour, one attempt a second: eight lines instead of 1800, and none of them lost to view."""
    clock, told = Clock(), []
    log = EventLog(clock)
    for second in range(1800):
        clock.now = float(second)
        with capture_logs() as lines:
            log.observe(WatchEnded("unavailable", f"attempt {second}"))
        told += [(second, line.get("untold")) for line in lines]
    assert told == [(0, None), (10, 9), (30, 19), (70, 39), (150, 79), (310, 159), (630, 319), (1230, 599)]
    assert max(b - a for (a, _), (b, _) in pairwise(told)) <= LAST_REPEAT


def test_failure_that_changes_is_told_at_once() -> None:
    """From "etcd is away" to "permission denied" is news."""
    log = EventLog(Clock())
    with capture_logs() as lines:
        for cause in ("unavailable", "unavailable", "denied", "denied", "unavailable"):
            log.observe(WatchEnded(cause))
    assert [line["cause"] for line in lines] == ["unavailable", "denied", "unavailable"]


@pytest.mark.parametrize(
    ("failure", "recovery"),
    [(WatchEnded("unavailable"), WatchStarted(9, history_kept=True)), (JoinFailed("unavailable"), Joined(1))],
)
def test_failure_after_a_recovery_is_told_at_once(failure: Event, recovery: Event) -> None:
    """The second outage of the day gets its own line."""
    log = EventLog(Clock())
    with capture_logs() as lines:
        for event in (failure, failure, recovery, failure):
            log.observe(event)
    assert len(lines) == 3


def test_failures_of_different_kinds_do_not_silence_each_other() -> None:
    """etcd away stops both the watch and the joining: both are told, once."""
    log = EventLog(Clock())
    with capture_logs() as lines:
        for _ in range(3):
            log.observe(WatchEnded("unavailable"))
            log.observe(JoinFailed("unavailable"))
            log.observe(WorkerFailed("prover", "KeyError"))
    assert len(lines) == 3
