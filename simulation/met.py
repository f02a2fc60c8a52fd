"""Whom an instance has seen come, and what is known of those who are not there any more (rule 9)."""

from __future__ import annotations

from collections.abc import Iterator

from consistency.core.departures import MOST
from consistency.instance.fleet import Fleet


class Met:
    """Of one life of an instance. Looks into its picture of the fleet, changes nothing."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._leases = set[int]()
        self._histories = 0

    def look(self, histories: int) -> None:
        """Who is there now. histories: how many the instance has found; of another one it knows nobody."""
        if histories != self._histories:
            self._histories = histories
            self._leases.clear()
        if self._fleet._known_at is not None:  # else its picture is that of the other history
            self._leases |= {member.lease for member in self._fleet._present()}

    def wrong(self, slot: int | None) -> Iterator[tuple[str, str]]:
        """What is, long after the last fault. slot: its own; who has the lowest one writes down who has gone."""
        departures = self._fleet._departures
        written, unwritten = departures._written.keys(), departures._unwritten.keys()
        if both := written & unwritten:
            yield "whoever said that it left counts as lost", f"{sorted(both)}"
        gone = self._leases - {member.lease for member in self._fleet._present()}
        whole = len(written) < MOST  # what is too much is erased
        if whole and slot is not None and slot == self._fleet.leader() and (missing := gone - written):
            yield "somebody has gone, and nobody has written it down", f"{sorted(missing)}"
