"""The picture of the fleet that the watch paints: who holds which slot, and who has acknowledged what (rules 9, 12).

Owns that picture and the lock that guards it; knows nothing of freshness. Waits for nothing but its own condition
while holding the lock.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable

from consistency.roll_call import RollCall
from consistency.terms import AckEvent, Member, MemberEvent, Revision


class Fleet:
    """Safe for concurrent use. `bound`: the staleness bound, seconds; `clock`: local seconds."""

    def __init__(self, bound: float, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._news = threading.Condition()  # protects everything below
        self._members: dict[int, Member] = {}
        self._roll = RollCall(bound)
        self._owed: Revision = 0  # the newest version that asks us for an acknowledgement, if not given yet

    # What the watch tells

    def stream_began(self, members: Iterable[Member]) -> None:
        """A new stream goes on from this survey."""
        with self._news:
            self._members = {member.slot: member for member in members}
            self._roll.stream_began(self._clock())

    def stream_ended(self) -> None:
        """Nobody tells who leaves until the next stream."""
        with self._news:
            self._roll.stream_ended()

    def apply(self, event: MemberEvent | AckEvent) -> None:
        """Somebody came, left, or acknowledged."""
        with self._news:
            if isinstance(event, AckEvent):
                self._roll.acknowledged(event.slot, event.applied)
            elif event.member is not None:
                self._members[event.slot] = event.member
            else:
                self._members.pop(event.slot, None)
                self._roll.left(self._clock())
            self._news.notify_all()

    def owe(self, revision: Revision) -> None:
        """The version of this revision has been applied here and asks for an acknowledgement."""
        with self._news:
            self._owed = max(self._owed, revision)

    def forget(self) -> None:
        """Another history: its revisions are not these (rule 8)."""
        with self._news:
            self._roll.forget()
            self._owed = 0

    # What others want to know

    def take_owed(self) -> Revision:
        """What has to be acknowledged, 0 if nothing; asking settles it."""
        with self._news:
            owed, self._owed = self._owed, 0
            return owed

    def await_acks(self, revision: Revision, members: Collection[int], deadline: float) -> tuple[int, bool]:
        """Waits until nobody can serve anything older than `revision`, or `deadline` in local seconds (rule 12).

        How many of `members` have acknowledged, and whether that was enough.
        """
        with self._news:
            while not (complete := self._roll.complete(revision, members, self._clock())):
                if not self._news.wait(max(0.0, deadline - self._clock())):
                    break
            return self._roll.count(revision, members), complete

    def members(self) -> tuple[Member, ...]:
        """By slot."""
        with self._news:
            return tuple(self._members[slot] for slot in sorted(self._members))

    def leader(self) -> int | None:
        """The lowest slot that is held (rule 13)."""
        with self._news:
            return min(self._members, default=None)
