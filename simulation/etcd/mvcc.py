"""A store with a history, as etcd keeps one: every revision can be read until it is compacted.

Owns revisions, versions and leases of raw keys. Knows nothing of the protocol's keys, of members or of time: a lease
ends when somebody says so. Written to agree with etcd; the contract suite and tests/simulation check that it does.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from operator import attrgetter


class CompactedError(Exception):
    """The revision has been compacted away."""


class FutureError(Exception):
    """The revision has not been reached."""


class NoLeaseError(Exception):
    """There is no such lease."""


@dataclass(frozen=True, slots=True)
class Kv:
    """A key as it stood from revision `mod` on. A tombstone has `version` 0 and no value."""

    key: bytes
    value: bytes
    created: int
    mod: int
    version: int
    lease: int


_by_mod = attrgetter("mod")


class Mvcc:
    """All revisions, and the leases with the keys they hold. Belongs to whoever made it, alone."""

    def __init__(self) -> None:
        self.revision = 1
        self.compacted = 0
        self.leases: dict[int, dict[bytes, None]] = {}
        """By lease: the keys that it holds."""
        self._states: dict[bytes, list[Kv]] = {}  # of each key, the oldest first
        self._keys: list[bytes] = []  # those of `_states`, sorted
        self._log: list[tuple[Kv, ...]] = []  # what each revision changed, from `_first` on
        self._first = 2

    def copy(self) -> Mvcc:
        """What `etcdctl snapshot save` would keep. The entries are immutable, and shared."""
        made = Mvcc()
        made.revision, made.compacted = self.revision, self.compacted
        made.leases = {lease: dict(keys) for lease, keys in self.leases.items()}
        made._states = {key: list(states) for key, states in self._states.items()}
        made._keys, made._log, made._first = list(self._keys), list(self._log), self._first
        return made

    # --- reads

    def get(self, key: bytes, at: int | None = None) -> Kv | None:
        """The key as of revision `at` (default: now); None when absent. Raises CompactedError, FutureError."""
        return self.state(key, self.revision if at is None else self._there(at))

    def range(self, first: bytes, end: bytes | None, at: int | None = None) -> list[Kv]:
        """Keys from `first` up to and without `end` (None: to the last), sorted. Raises CompactedError, FutureError."""
        return self.span(first, end, self.revision if at is None else self._there(at))

    def state(self, key: bytes, at: int) -> Kv | None:
        """As `get`, without a look at whether `at` is there."""
        states = self._states.get(key)
        if not states:
            return None
        found = states[-1]
        if found.mod > at:
            older = bisect_right(states, at, key=_by_mod)
            if not older:
                return None
            found = states[older - 1]
        return found if found.version else None

    def span(self, first: bytes, end: bytes | None, at: int) -> list[Kv]:
        """As `range`, without a look at whether `at` is there."""
        keys = self._keys
        upto = len(keys) if end is None else bisect_left(keys, end)
        found = (self.state(key, at) for key in keys[bisect_left(keys, first) : upto])
        return [kv for kv in found if kv is not None]

    def since(self, revision: int, upto: int | None = None) -> list[Kv]:
        """Every change from `revision` on, up to and with `upto`, in order. Raises CompactedError."""
        if revision < self.compacted:
            raise CompactedError(self.compacted)
        return [kv for changes in self.log(revision, upto) for kv in changes]

    def log(self, revision: int, upto: int | None = None) -> list[tuple[Kv, ...]]:
        """What each revision changed, from `revision` up to and with `upto`."""
        end = len(self._log) if upto is None else upto + 1 - self._first
        return self._log[max(0, revision - self._first) : max(0, end)]

    # --- writes

    def write(self, puts: Iterable[tuple[bytes, bytes, int]], deletes: Iterable[bytes] = ()) -> tuple[Kv, ...]:
        """One transaction: puts (key, value, lease) and deletes at one new revision; none if nothing changes.

        Returns the changes. Raises NoLeaseError, and then nothing has changed.
        """
        puts = list(puts)
        for _, _, lease in puts:
            if lease and lease not in self.leases:
                raise NoLeaseError(lease)
        writing = Writing(self)
        for key, value, lease in puts:
            writing.put(key, value, lease)
        for key in deletes:
            writing.delete(key)
        return writing.end()

    def end_lease(self, lease: int) -> tuple[Kv, ...]:
        """Deletes the lease's keys in one transaction; returns the changes. No error when it is gone already."""
        keys = sorted(self.leases.get(lease, ()))
        changes = self.write((), keys)
        self.leases.pop(lease, None)
        return changes

    def compact(self, revision: int, forgotten: int | None = None) -> None:
        """Forgets what was before `revision`; keeps all that somebody may still read who has `forgotten` less.

        Raises CompactedError, FutureError as etcd does.
        """
        if revision <= self.compacted:
            raise CompactedError(self.compacted)
        if revision > self.revision:
            raise FutureError(revision)
        self.compacted = revision
        self._forget(revision if forgotten is None else min(revision, forgotten))

    def _there(self, at: int) -> int:
        if at > self.revision:
            raise FutureError(at)
        if at < self.compacted:
            raise CompactedError(at)
        return at

    def _forget(self, before: int) -> None:
        for key in [key for key, states in self._states.items() if states[0].mod < before]:
            states = self._states[key]
            last = bisect_right(states, before, key=_by_mod) - 1
            del states[: last if states[last].version else last + 1]
            if not states:
                del self._states[key]
                del self._keys[bisect_left(self._keys, key)]
        del self._log[: max(0, before - self._first)]
        self._first = max(self._first, before)

    def _keep(self, kv: Kv) -> None:
        states = self._states.get(kv.key)
        if states is None:
            self._states[kv.key] = [kv]
            insort(self._keys, kv.key)
        else:
            states.append(kv)


class Writing:
    """A transaction under way: what it has written is seen by its own reads at `revision`. `end` it."""

    def __init__(self, store: Mvcc) -> None:
        self._store = store
        self._changes: list[Kv] = []

    @property
    def revision(self) -> int:
        """At which its reads see the store: the next one, once something has changed."""
        return self._store.revision + bool(self._changes)

    def put(self, key: bytes, value: bytes, lease: int) -> Kv | None:
        """Write the key; what it was before. The lease is there, or 0."""
        store = self._store
        before = store.state(key, store.revision + 1)
        mod = store.revision + 1
        if before is None:
            kv = Kv(key, value, mod, mod, 1, lease)
        else:
            kv = Kv(key, value, before.created, mod, before.version + 1, lease)
            self._detach(before)
        if lease:
            store.leases[lease][key] = None
        self._take(kv)
        return before

    def delete(self, key: bytes) -> Kv | None:
        """Delete the key; what it was before, None if it was absent, and then nothing has changed."""
        store = self._store
        before = store.state(key, store.revision + 1)
        if before is not None:
            self._detach(before)
            self._take(Kv(key, b"", 0, store.revision + 1, 0, 0))
        return before

    def end(self) -> tuple[Kv, ...]:
        """Return the changes; they have a revision of their own if there are any."""
        store, changes = self._store, tuple(self._changes)
        if changes:
            store.revision += 1
            store._log.append(changes)
        return changes

    def _take(self, kv: Kv) -> None:
        self._store._keep(kv)
        self._changes.append(kv)

    def _detach(self, kv: Kv) -> None:
        if kv.lease in self._store.leases:
            self._store.leases[kv.lease].pop(kv.key, None)


def matching(changes: Iterable[Kv], first: bytes, end: bytes | None) -> Iterator[Kv]:
    """Those of the changes whose keys are from `first` up to and without `end`; None: to the last."""
    return (kv for kv in changes if kv.key >= first and (end is None or kv.key < end))
