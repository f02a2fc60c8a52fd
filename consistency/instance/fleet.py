"""The picture of the fleet that the watch paints: who holds which slot, who has gone, who has acknowledged what.

Owns that picture (rules 9, 12); knows nothing of freshness. Belongs to one loop.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import assert_never

from consistency.core.acks import RollCall
from consistency.core.departures import KEPT, Departures
from consistency.core.model import (
    WAITING,
    AckEvent,
    Departure,
    DepartureEvent,
    Look,
    Member,
    MemberEvent,
    Revision,
    WaitingEvent,
)
from consistency.core.store import Survey
from consistency.tasks import Broadcast

MOST_HEARD = 2 * WAITING
"""Instances that wait for a slot and are kept in memory, whatever is in etcd."""


class Fleet:
    """`bound`: the staleness bound, seconds; `clock`: local seconds; `wall`: since 1970."""

    def __init__(self, bound: float, clock: Callable[[], float], wall: Callable[[], float]) -> None:
        self._clock = clock
        self._wall = wall
        self._changed = Broadcast()
        self._members: dict[int, Member] = {}
        self._waiting: dict[int, Member] = {}  # by lease
        self._departures = Departures()
        self._known_at: float | None = None  # when the picture was last true; None: of no use any more
        self._roll = RollCall(bound)
        self._owed: Revision = 0  # the newest version that asks us for an acknowledgement, if not given yet

    # What the watch tells

    def stream_began(self, survey: Survey) -> None:
        """A new stream goes on from this survey.

        A member that was here before and is not any more has gone unseen. After more than an hour it may have left in
        order, and its record be gone as well: then nobody counts as lost.
        """
        before, now = self._present(), self._clock()
        self._members = {member.slot: member for member in survey.members if member.slot is not None}
        self._waiting = {member.lease: member for member in survey.waiting[:MOST_HEARD]}
        self._departures.replace(survey.departed)
        if self._known_at is not None and now - self._known_at < KEPT:
            self._have_gone(before)
        self._known_at = now
        self._roll.stream_began(now)

    def stream_ended(self) -> None:
        """Nobody tells who leaves until the next stream."""
        if self._known_at is not None:
            self._known_at = self._clock()
        self._roll.stream_ended()

    def see(self, event: MemberEvent | WaitingEvent | AckEvent | DepartureEvent) -> None:
        """Somebody came, waits, left, or acknowledged, or it was written down that somebody left."""
        match event:
            case AckEvent():
                self._roll.acknowledged(event.slot, event.applied)
            case MemberEvent():
                self._take(event)
            case WaitingEvent():
                self._wait(event)
            case DepartureEvent():
                if event.departure is None:
                    self._departures.erased(event.lease)
                else:
                    self._departures.wrote(event.departure)
            case _:
                assert_never(event)
        self._changed.tell()

    def _take(self, event: MemberEvent) -> None:
        before = self._members.pop(event.slot, None)
        if event.member is None:
            self._roll.left(self._clock())
        else:
            self._members[event.slot] = event.member
        if before is not None and self._known_at is not None:
            self._have_gone((before,))

    def _wait(self, event: WaitingEvent) -> None:
        """No right rests on it: neither does a departure of those who wait delay a synchronous write (rule 12)."""
        before = self._waiting.pop(event.lease, None)
        if event.member is not None and len(self._waiting) < MOST_HEARD:
            self._waiting[event.lease] = event.member
        elif before is not None and self._known_at is not None:
            self._have_gone((before,))

    def _present(self) -> tuple[Member, ...]:
        return (*self._members.values(), *self._waiting.values())

    def _have_gone(self, those: Collection[Member]) -> None:
        """Notes each of those whose lease holds no key any more."""
        here = {member.lease for member in self._present()}
        for member in those:
            if member.lease not in here:
                self._departures.gone(member, self._clock(), self._wall())

    def owe(self, revision: Revision) -> None:
        """The version of this revision has been applied here and asks for an acknowledgement."""
        self._owed = max(self._owed, revision)

    def forget(self) -> None:
        """Another history: its revisions are not these (rule 8)."""
        self._roll.forget()
        self._departures.forget()
        self._known_at = None
        self._owed = 0

    # What others want to know

    def take_owed(self) -> Revision:
        """What has to be acknowledged, 0 if nothing; asking settles it."""
        owed, self._owed = self._owed, 0
        return owed

    async def await_acks(self, revision: Revision, members: Collection[int], deadline: float) -> tuple[int, bool]:
        """Wait until nobody can serve anything older than `revision`, or `deadline` in local seconds (rule 12).

        How many of `members` have acknowledged, and whether that was enough.
        """
        while not (complete := self._roll.complete(revision, members, self._clock())):
            if not await self._changed.wait(deadline - self._clock()):
                break
        return self._roll.count(revision, members), complete

    def members(self) -> tuple[Member, ...]:
        """Return the members that have a slot, in the order of the slots."""
        return tuple(self._members[slot] for slot in sorted(self._members))

    def waiting(self) -> tuple[Member, ...]:
        """Return the members that wait for a slot, in the order of coming."""
        return tuple(sorted(self._waiting.values(), key=lambda member: member.created))

    def shows(self, slot: int, lease: int) -> bool:
        """Whether the watch has told that this lease holds the slot."""
        member = self._members.get(slot)
        return member is not None and member.lease == lease

    def leader(self) -> int | None:
        """The lowest slot that is held (rule 13)."""
        return min(self._members, default=None)

    def departed(self) -> tuple[Departure, ...]:
        """Return the members that have gone within the last hour, the latest first."""
        return self._departures.all(self._present(), self._clock())

    def last_look(self) -> Look | None:
        """See `Departures.last_look`."""
        return self._departures.last_look()

    def unwritten(self) -> tuple[Departure, ...]:
        """Return the members that have gone without a record of it in etcd."""
        return self._departures.unwritten(self._clock())

    def surplus(self) -> tuple[int, ...]:
        """See `Departures.surplus`."""
        return self._departures.surplus()
