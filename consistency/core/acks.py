"""The acknowledgements of each member, and whether all that matter have come (rule 12).

Pure: no I/O, no clock; the time is an argument. Belongs to one loop, as `Fleet` does.

A synchronous write may return as soon as every instance that might still serve the old value has applied it. Members
acknowledge. An instance that has left may serve from memory for the bound after its departure, and acknowledges
nothing. So after a departure younger than the bound the write waits for the bound. Departures and acknowledgements come
on one ordered stream: when an acknowledgement of this write has been seen, so has every departure before it.
"""

from __future__ import annotations

from collections.abc import Collection

from consistency.core.model import Revision


class RollCall:
    """`bound` is the staleness bound, in seconds."""

    def __init__(self, bound: float) -> None:
        self._bound = bound
        self._applied: dict[int, Revision] = {}
        self._blind_until = float("inf")  # departures before this moment may have been missed, or are too young

    def stream_began(self, now: float) -> None:
        """Departures are seen from now on; those just before were not."""
        self._blind_until = now + self._bound

    def stream_ended(self) -> None:
        """Nothing is seen any more."""
        self._blind_until = float("inf")

    def left(self, now: float) -> None:
        """A member key vanished."""
        self._blind_until = max(self._blind_until, now + self._bound)

    def acknowledged(self, slot: int, applied: Revision) -> None:
        """The instance in `slot` has applied everything up to `applied`."""
        self._applied[slot] = max(applied, self._applied.get(slot, 0))

    def forget(self) -> None:
        """Another history: its revisions are not these."""
        self._applied.clear()

    def count(self, revision: Revision, members: Collection[int]) -> int:
        """How many of these slots have acknowledged `revision`."""
        return sum(self._applied.get(slot, 0) >= revision for slot in members)

    def complete(self, revision: Revision, members: Collection[int], now: float) -> bool:
        """Whether nobody can serve anything older than `revision` any more."""
        return bool(members) and now >= self._blind_until and self.count(revision, members) == len(members)
