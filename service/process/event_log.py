"""Tells in the log what an operator wants to read of the protocol: who came and went, and what failed.

Says nothing of single reads, batches or RPCs: those are counted. A failure that goes on is told when it begins, when it
changes, and then at growing intervals; its end is told by what began anew.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import assert_never

import structlog

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
from service.http.requests import legible

FIRST_REPEAT = 10.0
"""Seconds until a failure that goes on is told again; doubled each time."""

LAST_REPEAT = 600.0
"""Seconds between two lines on one failure at most."""

_NUMBER = re.compile(r"\d[\d.]*")


@dataclass
class Failure:
    """One failure that goes on. Not safe for concurrent use."""

    what: str
    told: float
    pause: float = FIRST_REPEAT
    untold: int = 0  # occurrences since the last line

    def again(self, now: float) -> bool:
        """Notes that it happened once more; whether it is time to say so."""
        if now - self.told < self.pause:
            self.untold += 1
            return False
        self.told, self.pause = now, min(2 * self.pause, LAST_REPEAT)
        return True


class EventLog:
    """An observer that logs. Any thread may call it; `clock` gives seconds, monotonic."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._log = structlog.stdlib.get_logger("config.events")
        self._lock = threading.Lock()  # protects the failures: an endpoint may fail on many threads at once
        self._failures: dict[str, Failure] = {}
        self._told_down: set[str] = set()  # endpoints of etcd of which the last line said that they fail
        self._watched = False  # whether the watch was up before: else there was nothing to drop

    def observe(self, event: Event) -> None:
        """Logs one event, or keeps quiet. What happens thousands of times a second is sorted out first."""
        match event:
            case ReadServed() | StoreCalled() | BatchAnswered() | Invalidated() | Evicted() | Acknowledged():
                pass
            case Guarded() | ChangesTold() | ScopeReset() | PastRead() | HistoryTrimmed():
                pass
            case Joined(slot):
                self._over("join")
                self._log.info("joined the fleet", slot=slot)
            case JoinFailed(cause, detail):
                self._failed("join", cause, logging.WARNING, "no slot, serving uncached", cause=cause, detail=detail)
            case Left(slot, cause):
                self._left(slot, cause)
            case WatchStarted(revision, history_kept):
                self._watching(revision, history_kept)
            case WatchEnded("closed", _):
                self._log.info("watch closed")
            case WatchEnded(cause, detail):
                self._failed("watch", cause, logging.WARNING, "watch is down", cause=cause, detail=detail)
            case TimeWentBackwards(detail):
                self._log.error("etcd answered from another history, everything is dropped", detail=detail)
            case AuditFound(documents):
                self._log.warning("written or deleted past this service; the fleet validates", documents=documents)
            case PolicyPut(revision, author):
                told = {name: legible(text) for name, text in author.members().items()}
                self._log.info("another policy is in force", revision=revision, **told)
            case EndpointUp(endpoint):
                if endpoint in self._told_down:
                    self._told_down.discard(endpoint)
                    self._log.info("an etcd endpoint answers again", endpoint=endpoint)
            case EndpointDown(endpoint, finding):
                kind = _NUMBER.sub("#", finding)  # "no answer within 1.3 s" is no news after 1.2
                message = "an etcd endpoint fails"
                if self._failed(endpoint, kind, logging.WARNING, message, endpoint=endpoint, detail=finding):
                    self._told_down.add(endpoint)
            case WorkerFailed(name, detail):
                message = "a background task failed and starts over"
                self._failed(name, detail, logging.ERROR, message, worker=name, detail=detail)
            case _:
                assert_never(event)

    def _left(self, slot: int, cause: str) -> None:
        if cause == "closed":
            self._log.info("left the fleet", slot=slot)
        else:
            self._log.warning("lost the slot, serving uncached", slot=slot, cause=cause)

    def _watching(self, revision: int, history_kept: bool) -> None:
        self._over("watch")
        nothing_lost, self._watched = history_kept or not self._watched, True
        if nothing_lost:
            self._log.info("watch is up", revision=revision)
        else:
            self._log.warning("watch is up, cached entries dropped", revision=revision)

    def _failed(self, topic: str, what: str, level: int, message: str, **fields: str) -> bool:
        """Logs a failure, unless the same `what` of this topic was told a short while ago; whether it did."""
        now = self._clock()
        with self._lock:
            last = self._failures.get(topic)
            if last is None or last.what != what:
                self._failures[topic] = Failure(what, told=now)
                untold = {}
            elif last.again(now):
                untold, last.untold = {"untold": last.untold}, 0
            else:
                return False
        self._log.log(level, message, **fields, **untold)
        return True

    def _over(self, topic: str) -> None:
        self._failures.pop(topic, None)
