"""Asks after a watch that has been silent for a while, whether it has missed who has come and gone.

1. The watch falls silent. 2. The instance in the lowest slot goes. 3. Nobody writes, so no proof shows that a version
was missed: the fleet that we see still has it, and the audit, which is ours now (rule 13), is not done. Owns when it is
asked; restarting is the caller's. A fleet in which something happens asks nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from consistency.core.store import Store, StoreError
from consistency.instance.fleet import Fleet
from consistency.instance.state import LocalState
from consistency.tasks import Worker

SILENCE = 10.0
"""Seconds without an event after which the watch is asked after."""


class Patrol:
    """`run` belongs to a worker. `on_stuck` restarts the watch.

    heard: how many events it has told so far. patience: seconds for what may be on its way.
    """

    def __init__(
        self,
        store: Store,
        state: LocalState,
        fleet: Fleet,
        *,
        timeout: float,
        patience: float,
        heard: Callable[[], int],
        on_stuck: Callable[[], None],
    ) -> None:
        self._store = store
        self._state = state
        self._fleet = fleet
        self._timeout = timeout
        self._patience = patience
        self._heard = heard
        self._on_stuck = on_stuck

    async def run(self, worker: Worker) -> None:
        """One look, if the watch has told nothing meanwhile."""
        before = self._heard()
        await worker.pause(SILENCE)
        for pause in (self._patience, 0.0):
            if self._heard() != before or not self._state.snapshot().watch_up or not await self._has_missed():
                return
            await worker.pause(pause)
        self._on_stuck()

    async def _has_missed(self) -> bool:
        try:
            survey = await self._store.survey(None, timeout=self._timeout)
        except StoreError:
            return False
        there = {(member.slot, member.lease) for member in survey.members}
        return there != {(member.slot, member.lease) for member in self._fleet.members()}
