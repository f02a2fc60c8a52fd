"""Tells the fleet what has been applied here, when a write waits for it (rule 12).

After applying, never before. What several writes wait for is acknowledged once: the horizon covers them all.
"""

from __future__ import annotations

from consistency.core.store import Store, StoreError
from consistency.instance.fleet import Fleet
from consistency.instance.state import LocalState
from consistency.tasks import Worker

IDLE = 60.0
"""Seconds between looks when nobody rings; somebody rings whenever there is something to acknowledge."""


class Acknowledger:
    """`run` belongs to a worker, woken when an event has been applied that asks for acknowledgement."""

    def __init__(self, store: Store, state: LocalState, fleet: Fleet, *, timeout: float) -> None:
        self._store = store
        self._state = state
        self._fleet = fleet
        self._timeout = timeout

    async def run(self, worker: Worker) -> None:
        """One acknowledgement, if one is owed. If it fails the writer waits the bound out: no harm, so no retry."""
        owed, us = self._fleet.take_owed(), self._state.snapshot()
        if not owed or us.slot is None:
            await worker.pause(IDLE)
            return
        try:
            await self._store.acknowledge(us.slot, us.lease, us.horizon, timeout=self._timeout)
        except StoreError:
            return
