"""Tells in the log what an operator wants to read of the protocol: who came and went, and what failed.

Says nothing of single reads, batches or RPCs: those are counted. A failure that goes on is told when it begins, when it
changes, and then at growing intervals; its end is told by what began anew.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import assert_never

import structlog

from consistency.events import (
    Acknowledged,
    AuditFound,
    BatchAnswered,
    Event,
    Evicted,
    Invalidated,
    Joined,
    JoinFailed,
    Left,
    ReadServed,
    StoreCalled,
    TimeWentBackwards,
    WatchEnded,
    WatchStarted,
    WorkerFailed,
)

FIRST_REPEAT = 10.0
"""Seconds until a failure that goes on is told again; doubled each time."""

LAST_REPEAT = 600.0
"""Seconds between two lines on one failure at most."""


@dataclass
class Failure:
    """One failure that goes on. Not safe for concurrent use; the thread that fails is the one that reports."""

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
        self._failures: dict[str, Failure] = {}
        self._watched = False  # whether the watch was up before: else there was nothing to drop

    def observe(self, event: Event) -> None:
        """Logs one event, or keeps quiet. What happens thousands of times a second is sorted out first."""
        match event:
            case ReadServed() | StoreCalled() | BatchAnswered() | Invalidated() | Evicted() | Acknowledged():
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
            case WorkerFailed(name, detail):
                message = "a background thread failed and starts over"
                self._failed(name, detail, logging.ERROR, message, thread=name, detail=detail)
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

    def _failed(self, topic: str, what: str, level: int, message: str, **fields: str) -> None:
        """Logs a failure, unless the same `what` of this topic was told a short while ago."""
        now, last = self._clock(), self._failures.get(topic)
        if last is None or last.what != what:
            self._failures[topic] = Failure(what, told=now)
            self._log.log(level, message, **fields)
        elif last.again(now):
            self._log.log(level, message, **fields, untold=last.untold)
            last.untold = 0

    def _over(self, topic: str) -> None:
        self._failures.pop(topic, None)
