"""Keeps the proof young while nobody reads, so that a hit never waits for one (rule 4).

Busy instances prove by their readers' batches: then there is nothing to do here. It also notices a watch that is up
but lags behind what the proofs see, and has it restarted: one that has not told of a version, or of our own slot.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from consistency.core.decisions import Ahead, Proof
from consistency.core.store import StoreError
from consistency.instance.fleet import Fleet
from consistency.instance.reads import Reads
from consistency.instance.state import LocalState
from consistency.tasks import Worker


class Prover:
    """`run` belongs to a worker. `on_stuck` restarts the watch. fleet: what the watch has told of members.

    interval: seconds between proofs. patience: seconds that the watch may lag behind before it is called stuck.
    """

    def __init__(
        self,
        reads: Reads,
        state: LocalState,
        fleet: Fleet,
        *,
        interval: float,
        patience: float,
        clock: Callable[[], float],
        on_stuck: Callable[[], None],
    ) -> None:
        self._reads = reads
        self._state = state
        self._fleet = fleet
        self._interval = interval
        self._patience = patience
        self._clock = clock
        self._on_stuck = on_stuck
        self._lags_since: float | None = None

    async def run(self, worker: Worker) -> None:
        """One proof when it is due, and a look at what hinders it."""
        due = self._due_in()
        if due > 0:
            self._watch_lag(self._is_unseen())
            await worker.pause(due)
            return
        try:
            verdict = await self._reads.prove()
        except StoreError:
            await worker.pause(random.uniform(0.2, 0.6) * self._interval)
            return
        self._watch_lag(isinstance(verdict, Ahead) or self._is_unseen())
        if not isinstance(verdict, Proof):
            await worker.pause(self._interval)

    def _due_in(self) -> float:
        snapshot = self._state.snapshot()
        if snapshot.proved_at is None or not snapshot.fresh_until:
            return 0.0
        return snapshot.proved_at + self._interval - self._clock()

    def _is_unseen(self) -> bool:
        """Whether proofs see our member key, and the watch has not told of it.

        1. The watch falls silent. 2. We get a slot, the lowest. 3. Nobody writes, so no version is missed. Without this
        the fleet that we see would lack us for ever, and the audit, which is ours (rule 13), would not be done.
        """
        us = self._state.snapshot()
        return us.slot is not None and us.watch_up and not self._fleet.shows(us.slot, us.lease)

    def _watch_lag(self, lags: bool) -> None:
        now = self._clock()
        if not lags:
            self._lags_since = None
        elif self._lags_since is None:
            self._lags_since = now
        elif now - self._lags_since > self._patience:
            self._lags_since = None
            self._on_stuck()
