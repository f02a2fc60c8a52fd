"""A bounded cache of entries, tombstones included, least recently used out first; and which writes made here are over,
so that nothing from before one of them becomes an entry.

Pure: no I/O, no clock. `get` may be called from any thread at any time; everything else belongs to one loop.

An OrderedDict and no cache library: 100,000 entries take a third less memory, and any thread may call `get`, since each
step of it is one that the interpreter does not divide.

Nothing here takes long, however much is held. What is kept of an entry is a plain tuple: of all that has fields, this
alone is nothing that the collector of cycles goes through again and again. And what is cleared is let go of bit by bit.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator
from functools import partial
from sys import getsizeof
from typing import NamedTuple

from consistency.core.model import Revision

# As measured: the heads of the objects, the numbers, a place in the order.
ENTRY_OVERHEAD = 249
"""Bytes an entry costs beyond the objects that are its key and its value."""

VALUE_OVERHEAD = 37
"""Bytes more that it costs to hold a value at all: a tombstone has none."""


LET_GO, LET_GO_BYTES = 64, 256 * 1024
"""What was cleared goes whenever an entry is kept: so many entries or bytes, which takes some microseconds."""

WRITES_REMEMBERED = 1000
"""Names kept of writes made here. What was asked for before one that is forgotten is not cached, which is safe."""


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


def _size(key: str, kept: Kept) -> int:
    # As resident: a key takes one, two or four bytes for each of its characters, as its widest one needs.
    value = kept[0]
    return ENTRY_OVERHEAD + getsizeof(key) + (0 if value is None else VALUE_OVERHEAD + getsizeof(value))
