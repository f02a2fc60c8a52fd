"""What an instance knows: entries, tombstones included; which writes made here are over, so that nothing from before
one of them becomes an entry; and the version events applied lately, as the questions that rules 4, 5, 8 and 18 ask.

Pure: no I/O, no clock. `NearCache.get` may be called from any thread at any time; everything else belongs to one loop.

The entries are a bounded cache, least recently used out first: an OrderedDict and no cache library, since 100,000
entries take a third less memory, and any thread may call `get`: each step of it is one that the interpreter does not
divide. Nothing takes long, however much is held. What is kept of an entry is a plain tuple: of all that has fields,
this alone is nothing that the collector of cycles goes through again and again. And what is cleared is let go of bit by
bit.

Why a memory of events and not a list of loads in flight: an answer read at revision h is overtaken iff an applied
event names its key after h, whether that event came before or after the answer, and however many loads of the key
were under way (rule 5). Asking the events needs no bookkeeping per load, so no load can be forgotten.
"""

from __future__ import annotations

import enum
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from itertools import chain
from sys import getsizeof
from typing import NamedTuple

from consistency.core.model import NO_VERSION, Revision, VersionEvent, VersionState

# Entries

# As measured: the heads of the objects, the numbers, a place in the order.
ENTRY_OVERHEAD = 249
"""Bytes an entry costs beyond the objects that are its key and its value."""

VALUE_OVERHEAD = 37
"""Bytes more that it costs to hold a value at all: a tombstone has none."""

LET_GO, LET_GO_BYTES = 64, 256 * 1024
"""What was cleared goes whenever an entry is kept: so many entries or bytes, which takes some microseconds."""


class Entry(NamedTuple):
    """What is known of one key.

    value: the document, or None for a tombstone: the key was absent (absence is cached like a value, rule 5).
    mod_revision: of the document, 0 for a tombstone.
    validated_at: the revision at which it was last known current.
    loaded_at: local seconds at which the value itself was read (rule 13's reload by age).
    stale: an event after `validated_at` named the key.
    """

    value: bytes | None
    mod_revision: Revision
    validated_at: Revision
    loaded_at: float
    stale: bool = False


Kept = tuple[bytes | None, Revision, Revision, float, bool]

_entry: Callable[[Kept], Entry] = partial(tuple.__new__, Entry)


class NearCache:
    """Entries by key, within `max_entries` and `max_bytes`."""

    def __init__(self, max_entries: int, max_bytes: int) -> None:
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._entries: OrderedDict[str, Kept] = OrderedDict()  # the least recently used one first
        self._bytes = 0
        self._cleared: list[OrderedDict[str, Kept]] = []  # what nobody finds any more, and takes memory

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def values(self) -> Iterator[Entry]:
        """Every entry, for those who look on: none is used by it."""
        return map(_entry, self._entries.values())

    @property
    def bytes(self) -> int:
        """Bytes held, overhead included."""
        return self._bytes

    def get(self, key: str) -> Entry | None:
        """The entry, now the most recently used one."""
        entries = self._entries  # those that are now: the loop may clear them
        kept = entries.get(key)
        if kept is None:
            return None
        try:
            entries.move_to_end(key)
        except KeyError:
            return None  # evicted since the line above, by the loop's thread
        return _entry(kept)

    def store(self, key: str, entry: Entry) -> int:
        """Keeps the entry and returns how many others were evicted. One larger than the whole bound is not kept."""
        self.drop(key)
        size = _size(key, entry)
        if self._cleared:
            self._let_go(size)
        if size > self._max_bytes:
            return 0
        evicted = 0
        while self._entries and (len(self._entries) >= self._max_entries or self._bytes + size > self._max_bytes):
            self._evict()
            evicted += 1
        self._entries[key] = entry[:]  # a plain tuple
        self._bytes += size
        return evicted

    def invalidate(self, key: str, revision: Revision) -> bool:
        """Marks the entry stale if it was validated before `revision`; whether that changed anything (rule 2).

        The value stays: its mod_revision lets the next load move no bytes if nothing changed after all.
        """
        kept = self._entries.get(key)
        if kept is None:
            return False
        entry = _entry(kept)
        if entry.stale or entry.validated_at >= revision:
            return False
        self._entries[key] = entry._replace(stale=True)[:]
        return True

    def drop(self, key: str) -> None:
        """Forgets the entry, if there is one."""
        kept = self._entries.pop(key, None)
        if kept is not None:
            self._bytes -= _size(key, kept)

    def clear(self) -> int:
        """Forgets everything; how many entries that were. Their memory is given back as others take their place."""
        dropped = len(self._entries)
        if dropped:
            self._cleared.append(self._entries)
            self._entries = OrderedDict()
        self._bytes = 0
        return dropped

    def _evict(self) -> None:
        key, kept = self._entries.popitem(last=False)
        self._bytes -= _size(key, kept)

    def _let_go(self, room: int) -> None:
        """Free some entries that were cleared, and more of them if they are smaller than what takes their place (`room`
        bytes)."""
        entries = size = 0
        while self._cleared and (size < room or (entries < LET_GO and size < LET_GO_BYTES)):
            key, kept = self._cleared[-1].popitem()
            entries, size = entries + 1, size + _size(key, kept)
            if not self._cleared[-1]:
                self._cleared.pop()


def _size(key: str, kept: Kept) -> int:
    # As resident: a key takes one, two or four bytes for each of its characters, as its widest one needs.
    value = kept[0]
    return ENTRY_OVERHEAD + getsizeof(key) + (0 if value is None else VALUE_OVERHEAD + getsizeof(value))


# Our own writes

WRITES_REMEMBERED = 1000
"""Names kept of writes made here. What was asked for before one that is forgotten is not cached, which is safe."""


class OwnWrites:
    """The writes made here that are over, by key. `over`: how many, so that a read can say which came before it.

    An entry is marked when such a write is over; what was asked for before comes in later:

        1. a load of k is sent, and etcd executes it,
        2. a write of k commits, its answer arrives, and what is held of k is marked,
        3. the answer to the load arrives: a proof, of before the write. No event has named k yet. Kept, it would be
           served by the very instance that made the write.
    """

    def __init__(self, remember: int = WRITES_REMEMBERED) -> None:
        self.over = 0
        self._remember = remember
        self._of: dict[str, tuple[int, Revision]] = {}  # the last one of each key, the oldest first
        self._forgotten = 0

    def note(self, keys: Collection[str], revision: Revision) -> None:
        """A write of these keys is over; one of unknown outcome at a revision above all."""
        self.over += 1
        for key in keys:
            self._of.pop(key, None)
            self._of[key] = self.over, revision
        while len(self._of) > self._remember:
            self._forgotten, _ = self._of.pop(next(iter(self._of)))

    def since(self, over: int, key: str, at: Revision = 0) -> bool:
        """Whether what was asked for when so many were over, and is as of `at`, may lack a write of this key."""
        number, revision = self._of.get(key, (0, 0))
        return over < self._forgotten or (over < number and at < revision)


# Version events

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
