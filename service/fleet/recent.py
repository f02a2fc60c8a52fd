"""The last minutes of an instance: whoever looks after a fault began can see how it began.

Owns a ring of samples. They are taken by a worker's thread, every few seconds; requests pay nothing for it. The same
thread gives back what memory a rush has left.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from consistency.core.model import Status
from metrics import Totals
from service.memory.allocator import give_back_free_pages
from service.process.threads import Worker

EVERY = 5.0
"""Seconds between samples."""

KEPT = 61
"""Samples: the ends of five minutes' worth of intervals."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One moment. at: local seconds; requests, reads, hits: counted since the start; proof_age: seconds, or None."""

    at: float
    requests: int
    reads: int
    hits: int
    proof_age: float | None


class Recent:
    """The samples, oldest first. Safe for concurrent use: the ring is appended to by one thread, and copied whole."""

    def __init__(
        self,
        status: Callable[[], Status],
        totals: Callable[[], Totals],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._status = status
        self._totals = totals
        self._clock = clock
        self._ring: deque[Sample] = deque(maxlen=KEPT)

    def run(self, worker: Worker) -> None:
        """Belongs to a worker's thread."""
        while not worker.stopping:
            self.take()
            give_back_free_pages()
            worker.pause(EVERY)

    def take(self) -> None:
        """One more sample."""
        now, totals = self._clock(), self._totals()
        reads = sum(totals.reads.values())
        self._ring.append(Sample(now, totals.requests, reads, totals.reads["hit"], self._status().proof_age))

    def ago(self) -> list[tuple[float, int, int, int, float | None]]:
        """As JSON has them: seconds ago, requests, reads, hits, age of the proof."""
        now = self._clock()
        return [
            (
                round(now - sample.at, 2),
                sample.requests,
                sample.reads,
                sample.hits,
                None if sample.proof_age is None else round(sample.proof_age, 3),
            )
            for sample in self._ring.copy()
        ]
