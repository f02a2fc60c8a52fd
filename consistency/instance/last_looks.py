"""The look that an auditor hands over when it leaves in order, and when the next one may go on from it (rule 13).

A look is handed over as of the last version before it, if it has found nothing that was written from outside since:
then what there is at the look is what there was at the version. So the version's nonce proves all of it: a history that
shares the version shares all that came before. A later revision would prove nothing:

1. a backup is made; 2. others than the fleet write, and A takes a look; 3. the backup is restored; 4. somebody writes
   from outside, below the revision of that look; 5. A leaves before it has heard of it. An auditor that compared from
   there would not find that write, and the version is the same in both histories.

Any look will do, however old: what has come since is found, at worst twice. The last one leaves the least to compare.
"""

from __future__ import annotations

from consistency.core.model import Look, WrongTimeline
from consistency.core.store import Compacted, TooLarge
from consistency.instance.fleet import Fleet
from consistency.instance.shared_past import NoWay, SharedPast
from consistency.instance.state import LocalState

TRIES = 3
"""Reads of the past that were begun anew, since what is remembered here had moved on meanwhile."""


class LastLooks:
    """Owns the look that this instance would hand over. Belongs to one loop."""

    def __init__(self, state: LocalState, fleet: Fleet, past: SharedPast) -> None:
        self._state = state
        self._fleet = fleet
        self._past = past
        self._ours: Look | None = None
        self._history = 0  # the number of the one that it was taken in

    def keep(self, look: Look, history: int) -> None:
        """This one is the last."""
        self._ours, self._history = look, history

    def ours(self) -> Look | None:
        """What this instance hands over; None if it has nothing, or what it has is of another history."""
        return self._ours if self._history == self._state.histories else None

    async def handed_over(self) -> Look | None:
        """The last look that somebody handed over, with all versions since in memory; None if that can't be had.

        Raises StoreError: it can't be said now.
        """
        look = self._fleet.last_look()
        if look is None:
            return None
        for _ in range(TRIES):
            if self._state.has_applied(look.version):
                return look
            if self._state.remembered.revision <= look.version.revision:
                return None  # another version stands there
            try:
                await self._past.read(look.version.revision)
            except (Compacted, TooLarge, NoWay, WrongTimeline):
                return None
        return look if self._state.has_applied(look.version) else None
