"""Writes down who has gone, for those who come later (rule 9). See `departures` for the story.

Owns no state. Reads and writes of documents never wait for it: what can't be written now is tried again.
"""

from __future__ import annotations

import contextlib

from consistency.core.departures import KEPT
from consistency.core.model import Departure
from consistency.core.store import Lease, OutcomeUnknown, Store, StoreError
from consistency.instance.fleet import Fleet
from consistency.instance.state import LocalState
from consistency.tasks import Worker

IDLE = 60.0
"""Seconds between looks when nobody rings; somebody rings whenever somebody has come or gone."""

AGAIN = 10.0
"""Seconds until what could not be written is tried again."""

AT_ONCE = 100
"""Records that are erased in one transaction."""


async def write_down(store: Store, departure: Departure, *, timeout: float) -> None:
    """Once for all, for an hour; nothing if somebody has done it already. `timeout`: seconds for each of the calls.

    Raises StoreError. After OutcomeUnknown the lease is left to end by itself: 1. it was written, the answer is lost;
    2. all have seen it, and nobody has it on his list any more; 3. to revoke the lease would be to erase it.
    """
    lease = await store.grant(KEPT, timeout=timeout)
    try:
        written = await store.record(departure, lease.id, timeout=timeout)
    except OutcomeUnknown:
        raise
    except StoreError:
        await _give_back(store, lease, timeout)
        raise
    if not written:
        await _give_back(store, lease, timeout)


async def _give_back(store: Store, lease: Lease, timeout: float) -> None:
    with contextlib.suppress(StoreError):  # then it ends by itself
        await store.revoke(lease.id, timeout=timeout)


class Recorder:
    """`run` belongs to a worker, woken when somebody has come or gone. Only the lowest slot writes."""

    def __init__(self, store: Store, state: LocalState, fleet: Fleet, *, timeout: float) -> None:
        self._store = store
        self._state = state
        self._fleet = fleet
        self._timeout = timeout
        self._pause = IDLE

    async def run(self, worker: Worker) -> None:
        """Waits to be woken, then writes what is to be written, if that is ours to do."""
        await worker.pause(self._pause)
        self._pause = IDLE
        slot = self._state.snapshot().slot
        if slot is None or slot != self._fleet.leader():
            return
        try:
            for departure in self._fleet.unwritten():
                await write_down(self._store, departure, timeout=self._timeout)
            if surplus := self._fleet.surplus():
                await self._store.erase(surplus[:AT_ONCE], timeout=self._timeout)
        except StoreError:
            self._pause = AGAIN
