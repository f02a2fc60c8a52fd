"""A bounded cache of entries, tombstones included, least recently used out first.

Pure: no I/O, no clock. `get` may be called from any thread at any time; everything else belongs to one loop.

An OrderedDict and no cache library: 100,000 entries take a third less memory, and any thread may call `get`, since each
step of it is one that the interpreter does not divide.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from sys import getsizeof

from consistency.core.model import Revision

# As measured: the heads of the objects, the numbers, a place in the order.
ENTRY_OVERHEAD = 241
"""Bytes an entry costs beyond the objects that are its key and its value."""

VALUE_OVERHEAD = 37
"""Bytes more that it costs to hold a value at all: a tombstone has none."""


@dataclass(frozen=True, slots=True)
class Entry:
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


class NearCache:
    """Entries by key, within `max_entries` and `max_bytes`."""

    def __init__(self, max_entries: int, max_bytes: int) -> None:
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._entries: OrderedDict[str, Entry] = OrderedDict()  # the least recently used one first
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    @property
    def bytes(self) -> int:
        """Bytes held, overhead included."""
        return self._bytes

    def get(self, key: str) -> Entry | None:
        """The entry, now the most recently used one."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        try:
            self._entries.move_to_end(key)
        except KeyError:
            return None  # evicted since the line above, by the loop's thread
        return entry

    def store(self, key: str, entry: Entry) -> int:
        """Keeps the entry and returns how many others were evicted. One larger than the whole bound is not kept."""
        self.drop(key)
        size = _size(key, entry)
        if size > self._max_bytes:
            return 0
        evicted = 0
        while self._entries and (len(self._entries) >= self._max_entries or self._bytes + size > self._max_bytes):
            self._evict()
            evicted += 1
        self._entries[key] = entry
        self._bytes += size
        return evicted

    def invalidate(self, key: str, revision: Revision) -> bool:
        """Marks the entry stale if it was validated before `revision`; whether that changed anything (rule 2).

        The value stays: its mod_revision lets the next load move no bytes if nothing changed after all.
        """
        entry = self._entries.get(key)
        if entry is None or entry.stale or entry.validated_at >= revision:
            return False
        self._entries[key] = replace(entry, stale=True)
        return True

    def drop(self, key: str) -> None:
        """Forgets the entry, if there is one."""
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._bytes -= _size(key, entry)

    def clear(self) -> int:
        """Forgets everything; how many entries that were."""
        dropped = len(self._entries)
        self._entries.clear()
        self._bytes = 0
        return dropped

    def _evict(self) -> None:
        key, entry = self._entries.popitem(last=False)
        self._bytes -= _size(key, entry)


def _size(key: str, entry: Entry) -> int:
    # As resident: a key takes one, two or four bytes for each of its characters, as its widest one needs.
    value = 0 if entry.value is None else VALUE_OVERHEAD + getsizeof(entry.value)
    return ENTRY_OVERHEAD + getsizeof(key) + value
