"""Who has gone within the last hour, and how (rule 9).

Pure: no I/O, no clock; the time is an argument. Belongs to one loop, as `Fleet` does.

A member that leaves in order writes that down before its key goes. A key that vanishes without such a record is a loss:
a process that was killed, that hung, or was cut off for longer than its lease. Instances that start later must know of
it, too:

    1. A is killed, and its lease ends.
    2. B and C see its key vanish, and find nothing written about A: lost.
    3. B, in the lowest slot, writes it down. Were B lost as well, C would do it for both, once it is the lowest.
    4. D starts, and reads what is written.

A record ends with a lease of its own. A member with two records (two members thought that they were the lowest) has one
key: the first record stays.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import replace
from functools import lru_cache

from consistency.core.model import Departure, Look, Member

KEPT = 3600
"""Seconds for which a departure is told."""

MOST = 128
"""Departures that are kept in etcd: two rolling restarts of the largest fleet. What is beyond is erased, oldest first,
and whoever left in order before whoever was lost."""

MOST_HEARD = 2 * MOST
"""Departures that an instance keeps in memory, whatever is in etcd."""


class Departures:
    """What is written about those who have gone, and those about whom nothing is written yet."""

    def __init__(self) -> None:
        self._written: dict[int, Departure] = {}
        self._unwritten: dict[int, tuple[Departure, float]] = {}  # and since when, in local seconds

    def replace(self, written: Iterable[Departure]) -> None:
        """All that is written now."""
        self._written.clear()
        for departure in written:
            self.wrote(departure)

    def wrote(self, departure: Departure) -> None:
        """Somebody has written this down."""
        if len(self._written) < MOST_HEARD:
            self._written[departure.lease] = departure
        self._unwritten.pop(departure.lease, None)

    def erased(self, lease: int) -> None:
        """What was written is gone: it is an hour old, or there were too many."""
        self._written.pop(lease, None)

    def gone(self, member: Member, now: float, at: float) -> None:
        """Its key has vanished. `now`: local seconds; `at`: seconds since 1970. It is lost if nothing is written."""
        if member.lease in self._written:
            return
        while len(self._unwritten) >= MOST:
            del self._unwritten[next(iter(self._unwritten))]
        self._unwritten[member.lease] = (Departure(member.lease, member.slot, "lost", at, member.description), now)

    def forget(self) -> None:
        """Another history: its members don't count as lost."""
        self._written.clear()
        self._unwritten.clear()

    def unwritten(self, now: float) -> tuple[Departure, ...]:
        """Those about whom somebody should write."""
        self._drop_old(now)
        return tuple(departure for departure, _ in self._unwritten.values())

    def last_look(self) -> Look | None:
        """The last one of those that were handed over (rule 13)."""
        looks = [departure.look for departure in self._written.values() if departure.look is not None]
        return max(looks, key=lambda look: look.version.revision, default=None)

    def surplus(self) -> tuple[int, ...]:
        """The leases of those of whom too much is written."""
        by_worth = sorted(self._written.values(), key=lambda each: (each.how != "left", each.at))
        return tuple(departure.lease for departure in by_worth[: max(0, len(by_worth) - MOST)])

    def all(self, present: Collection[Member], now: float) -> tuple[Departure, ...]:
        """The latest first. A lost member is "back" if the same process is here, or has left in order since."""
        known = [*self._written.values(), *self.unwritten(now)]
        here = {_process(member.description) for member in present}
        here |= {_process(departure.description) for departure in known if departure.how == "left"}
        told = (_seen(departure, here) for departure in known)
        return tuple(sorted(told, key=lambda departure: -departure.at))

    def _drop_old(self, now: float) -> None:
        for lease in [lease for lease, (_, since) in self._unwritten.items() if now - since > KEPT]:
            del self._unwritten[lease]


def _seen(departure: Departure, here: Collection[str]) -> Departure:
    process = _process(departure.description)
    return replace(departure, how="back") if departure.how == "lost" and process and process in here else departure


@lru_cache(maxsize=4 * MOST)
def _process(description: str) -> str:
    """What tells a process from the next one in its place: `boot` in its description; "" if it does not say."""
    try:
        boot = json.loads(description)["boot"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    return boot if isinstance(boot, str) else ""
