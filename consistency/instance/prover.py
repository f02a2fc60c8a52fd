"""Keeps the proof young while nobody reads, so that a hit never waits for one (rule 4).

Busy instances prove by their readers' batches: then there is nothing to do here. It also notices a watch that is up
but lags behind what the proofs see, and has it restarted.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from consistency.core.decisions import Ahead, Proof
from consistency.core.store import StoreError
from consistency.instance.reads import Reads
from consistency.instance.state import LocalState
from consistency.tasks import Worker


class Prover:
    """`run` belongs to a worker. `on_stuck` restarts the watch.

    interval: seconds between proofs. patience: seconds that the watch may lag behind before it is called stuck.
    """

    def __init__(
        self,
        reads: Reads,
        state: LocalState,
        *,
        interval: float,
        patience: float,
        clock: Callable[[], float],
        on_stuck: Callable[[], None],
    ) -> None:
        self._reads = reads
        self._state = state
        self._interval = interval
        self._patience = patience
        self._clock = clock
        self._on_stuck = on_stuck
        self._lags_since: float | None = None

    async def run(self, worker: Worker) -> None:
        """One proof when it is due, and a look at what hinders it."""
        due = self._due_in()
        if due > 0:
            await worker.pause(due)
            return
        try:
            verdict = await self._reads.prove()
        except StoreError:
            await worker.pause(random.uniform(0.2, 0.6) * self._interval)
            return
        self._watch_lag(isinstance(verdict, Ahead))
        if not isinstance(verdict, Proof):
            await worker.pause(self._interval)

    def _due_in(self) -> float:
        snapshot = self._state.snapshot()
        if snapshot.proved_at is None or not snapshot.fresh_until:
            return 0.0
        return snapshot.proved_at + self._interval - self._clock()

    def _watch_lag(self, lags: bool) -> None:
        now = self._clock()
        if not lags:
            self._lags_since = None
        elif self._lags_since is None:
            self._lags_since = now
        elif now - self._lags_since > self._patience:
            self._lags_since = None
            self._on_stuck()
