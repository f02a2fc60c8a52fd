"""A store with a history, as etcd keeps one: every revision can be read until it is compacted.

Owns revisions, versions and leases of raw keys. Knows nothing of the protocol's keys, of threads or of time: a lease
ends when somebody says so. Written to agree with etcd 3.4 and 3.5; the contract suite checks that it does.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field


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


@dataclass(slots=True)
class Mvcc:
    """All revisions, and the leases with the keys they hold. Not safe for concurrent access."""

    revision: int = 1
    compacted: int = 0
    log: list[Kv] = field(default_factory=list)
    leases: set[int] = field(default_factory=set)

    def copy(self) -> Mvcc:
        """What `etcdctl snapshot save` would keep. The entries are immutable, so a shallow copy will do."""
        return Mvcc(self.revision, self.compacted, list(self.log), set(self.leases))

    def get(self, key: bytes, at: int | None = None) -> Kv | None:
        """The key as of revision `at` (default: now); None when absent. Raises CompactedError, FutureError."""
        return next(iter(self.range(key, key + b"\x00", at)), None)

    def range(self, first: bytes, end: bytes, at: int | None = None) -> list[Kv]:
        """Keys from `first` up to and without `end`, sorted. Raises CompactedError, FutureError."""
        if at is not None and at > self.revision:
            raise FutureError(at)
        if at is not None and at < self.compacted:
            raise CompactedError(at)
        latest = {kv.key: kv for kv in self.log if first <= kv.key < end and (at is None or kv.mod <= at)}
        return [latest[key] for key in sorted(latest) if latest[key].version]

    def since(self, revision: int) -> list[Kv]:
        """Every change from `revision` on, in order. Raises CompactedError."""
        if revision < self.compacted:
            raise CompactedError(self.compacted)
        return [kv for kv in self.log if kv.mod >= revision]

    def write(self, puts: Iterable[tuple[bytes, bytes, int]], deletes: Iterable[bytes] = ()) -> list[Kv]:
        """One transaction: puts (key, value, lease) and deletes at one new revision; none if nothing changes.

        Returns the changes. Raises NoLeaseError, and then nothing has changed.
        """
        puts = list(puts)
        for _, _, lease in puts:
            if lease and lease not in self.leases:
                raise NoLeaseError(lease)
        revision = self.revision + 1
        changes = [self._successor(key, value, lease, revision) for key, value, lease in puts]
        changes += [self._tombstone(key, revision) for key in deletes if self.get(key)]
        if changes:
            self.revision = revision
            self.log += changes
        return changes

    def end_lease(self, lease: int) -> list[Kv]:
        """Deletes the lease's keys in one transaction; returns the changes. No error when it is gone already."""
        self.leases.discard(lease)
        return self.write((), [kv.key for kv in self.range(b"", b"\xff") if kv.lease == lease and lease])

    def compact(self, revision: int) -> None:
        """Forgets what was before `revision`. Raises CompactedError, FutureError as etcd does."""
        if revision <= self.compacted:
            raise CompactedError(self.compacted)
        if revision > self.revision:
            raise FutureError(revision)
        self.compacted = revision

    def _successor(self, key: bytes, value: bytes, lease: int, revision: int) -> Kv:
        before = self.get(key)
        if before is None:
            return Kv(key, value, revision, revision, 1, lease)
        return Kv(key, value, before.created, revision, before.version + 1, lease)

    def _tombstone(self, key: bytes, revision: int) -> Kv:
        return Kv(key, b"", 0, revision, 0, 0)
