"""The version events applied lately, as the questions that rules 4, 5, 8 and 18 ask of them.

Pure: no I/O, no clock. Belongs to one loop, as `LocalState` does.

Why a memory of events and not a list of loads in flight: an answer read at revision h is overtaken iff an applied
event names its key after h, whether that event came before or after the answer, and however many loads of the key
were under way (rule 5). Asking the events needs no bookkeeping per load, so no load can be forgotten.
"""

from __future__ import annotations

import enum
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import chain
from sys import getsizeof

from consistency.core.model import NO_VERSION, Revision, VersionEvent, VersionState

NAMES_REMEMBERED = 16_384
"""Names kept, over all events, where nobody says. Answers older than the memory are not cached, which is safe."""

NAME = 128
"""Bytes in memory that count as one name: a long one, or one beyond Latin-1, counts as several (17 at most)."""

PLACE = 320
"""Bytes of memory that what counts as one name costs, its event included. Measured: 306."""


class Standing(enum.Enum):
    """How a version state seen in etcd relates to what has been applied here."""

    OURS = "applied here"
    AHEAD = "not applied yet"
    FORGOTTEN = "older than the memory"
    FOREIGN = "contradicts what was applied: another history"


class History:
    """Every version event in (base, applied], in order. `base` itself is known as a state, its names are not."""

    def __init__(self, base: VersionState, *, remember: int = NAMES_REMEMBERED) -> None:
        self._base = base
        self._remember = remember
        self._lent = 0  # beyond `remember`, for a past that was read; given back event by event
        self._events: list[VersionEvent] = []
        self._states: dict[Revision, VersionState] = {base.revision: base}
        self._named: dict[str, Revision] = {}  # the latest event in memory that names the key
        self.all_named: Revision = 0  # the latest event so far that may have changed anything
        self._weight = 0

    @property
    def base(self) -> VersionState:
        """The state before the first event in memory."""
        return self._base

    @property
    def applied(self) -> VersionState:
        """The state after the last event."""
        return self._events[-1].state if self._events else self._base

    def follows(self, event: VersionEvent) -> bool:
        """Whether `event` is the very next one: nothing was missed and the key was not recreated (rule 2)."""
        return _follows(self.applied, event)

    def append(self, event: VersionEvent) -> None:
        """Remembers an event that `follows`."""
        self._events.append(event)
        self._states[event.state.revision] = event.state
        for name in event.names or ():
            self._named[name] = event.state.revision
        if event.names is None:
            self.all_named = event.state.revision
        more = weight(event)
        self._weight += more
        self._lent = max(0, self._lent - more)
        while self._weight > self._remember + self._lent and len(self._events) > 1:
            self._forget_oldest()

    @property
    def room(self) -> int:
        """Names of a past that may be remembered besides (rule 18): as many as of all that came by itself.

        1. A client that was away has its past read: as many names as are remembered at all. 2. One that was away for
        longer has the past before that read. Each is within the bound, and together they would be without one.
        """
        return self._remember - self._lent

    def lengthen(self, start: VersionState, events: Sequence[VersionEvent]) -> bool:
        """Remembers what led from `start` to `base`; False, and nothing changed, if these events don't (rule 18).

        As much as there is `room` for; it is given back as new events come.
        """
        applied = start
        for event in events:
            if not _follows(applied, event):
                return False
            applied = event.state
        more = sum(map(weight, events))
        if applied != self._base or start == NO_VERSION or more > self.room:
            return False
        self._events[:0] = events
        for event in events:
            self._states[event.state.revision] = event.state
            for name in event.names or ():
                self._named[name] = max(self._named.get(name, 0), event.state.revision)
            if event.names is None:
                self.all_named = max(self.all_named, event.state.revision)
        self._base = self._states[start.revision] = start
        self._weight += more
        self._lent += more
        return True

    def standing(self, seen: VersionState, header: Revision) -> Standing:
        """Where a version state stands that an answer with this header revision showed (rules 4 and 8)."""
        applied = self.applied
        if seen.revision > applied.revision:
            return Standing.AHEAD
        if seen.revision < applied.revision <= header:
            return Standing.FOREIGN  # at that header our event was there to be seen, and was not
        if seen.revision < self._base.revision:
            return Standing.FORGOTTEN
        return Standing.OURS if self._states.get(seen.revision) == seen else Standing.FOREIGN

    def named_after(self, key: str, revision: Revision) -> bool:
        """Whether an applied event names the key after `revision`. True also when that can't be told any more."""
        return revision < self._base.revision or self._named.get(key, 0) > revision

    def holds(self, state: VersionState) -> bool:
        """Whether `state` was applied here and every event since is in memory."""
        return self._states.get(state.revision) == state

    def between(self, start: VersionState, end: VersionState) -> tuple[VersionEvent, ...] | None:
        """The events that led from `start` to `end`, in order; None unless both are held."""
        if not (self.holds(start) and self.holds(end)):
            return None
        return tuple(event for event in self._events if start.revision < event.state.revision <= end.revision)

    def at(self, revision: Revision) -> VersionState | None:
        """The state as it was at `revision`, up to which all is applied; None if that is not known any more."""
        if revision < self._base.revision:
            return None
        number = self._behind(revision)
        return self._events[number - 1].state if number else self._base

    def explains(self, key: str, revision: Revision) -> bool | None:
        """Whether the version at exactly this revision names the key, and has left a record of it (rule 19), or may.

        None: that is not known here.
        """
        if not self._base.revision < revision <= self.applied.revision:
            return None
        number = self._behind(revision)
        if not number or self._events[number - 1].state.revision != revision:
            return False
        event = self._events[number - 1]
        return event.names is None or (key in event.names and event.kept)

    def after(self, revision: Revision) -> Iterator[VersionEvent]:
        """The events after a revision of which `at` knows the state, in order."""
        for number in range(self._behind(revision), len(self._events)):
            yield self._events[number]

    def all_named_after(self, revision: Revision) -> bool:
        """Whether an applied event after `revision` may have changed anything."""
        return self.all_named > revision

    def _behind(self, revision: Revision) -> int:
        return bisect_right(self._events, revision, key=_revision)

    def _forget_oldest(self) -> None:
        oldest = self._events.pop(0)
        del self._states[self._base.revision]
        self._base = oldest.state
        self._weight -= weight(oldest)
        for name in oldest.names or ():
            if self._named.get(name) == oldest.state.revision:
                del self._named[name]


def _follows(applied: VersionState, event: VersionEvent) -> bool:
    return (
        event.state.count == applied.count + 1
        and event.state.created == applied.created
        and event.state.revision > applied.revision
    )


def _revision(event: VersionEvent) -> Revision:
    return event.state.revision


def weight(event: VersionEvent) -> int:
    """What an event counts as, in names."""
    held = event.intent.keys if event.intent is not None else None
    names = chain(event.names or (), held or ())
    return 1 + sum(-(-getsizeof(name) // NAME) for name in names) + -(-event.authors.memory // PLACE)
