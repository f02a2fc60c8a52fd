"""The last minutes of an instance: whoever looks after a fault began can see how it began.

Owns a ring of samples. They are taken by a task, every few seconds; requests pay nothing for it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from consistency.core.model import Status
from consistency.tasks import Worker
from metrics import Totals

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
    """The samples, oldest first. Belongs to one loop."""

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

    async def run(self, worker: Worker) -> None:
        """Belongs to a worker."""
        self.take()
        await worker.pause(EVERY)

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
            for sample in self._ring
        ]
