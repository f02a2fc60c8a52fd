"""A history and the truth, indexed once for all checks. Pure.

The version of a key that a read saw is its mod_revision; of an absent key it is the last deletion at or before the
revision that the answer holds at (0 when it never was).
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from torture.followed import Told
from torture.history import Kind, Level, Operation, Outcome
from torture.truth import Change, Truth

Guarded = tuple[str, ...] | Callable[[Operation], bool]
"""Which reads are of guarded keys (rules 16, 17): prefixes of the keys that were guarded all the time; or who says so
of a read."""

_STRICT = (Level.UNCACHED, Level.LINEARIZABLE)


class Case:
    """What the checks look at. `bound` and `slack` in seconds. followed: what followers of /changes were told."""

    def __init__(
        self,
        history: Sequence[Operation],
        truth: Truth,
        bound: float,
        slack: float,
        followed: Sequence[Told] = (),
        guarded: Guarded = (),
    ) -> None:
        self.history = history
        self.guarded = guarded
        self.followed = followed
        self.truth = truth
        self.bound = bound
        self.slack = slack
        self.writes = [operation for operation in history if operation.kind is not Kind.READ]
        self.answered = [operation for operation in history if operation.outcome is Outcome.OK]
        self.reads = [operation for operation in self.answered if operation.kind is Kind.READ]
        self.authors = _authors(self.writes)
        self.reached = Reached(self.answered, truth.changes)

    def version(self, read: Operation) -> int:
        """The version of its key that a read saw."""
        if read.modified:
            return read.modified
        last = self.truth.at(read.key, read.asked if read.level is Level.PAST else read.revision)
        return last.revision if last else 0

    def strict_reads(self) -> list[Operation]:
        """The reads that promise linearizability."""
        return [read for read in self.reads if read.level in _STRICT]

    def guarded_reads(self) -> list[Operation]:
        """The reads of guarded keys that promise linearizability for that alone: hits, and what else is of now."""
        guarded = self.guarded
        if not guarded:
            return []
        present = (read for read in self.present_reads() if read.level not in _STRICT and read.cache != "STALE")
        if isinstance(guarded, tuple):
            return [read for read in present if read.key.startswith(guarded)]
        return [read for read in present if guarded(read)]

    def present_reads(self) -> list[Operation]:
        """The reads of the present, whatever they promise."""
        return [read for read in self.reads if read.level is not Level.PAST]

    def placed_write(self, key: str, write: Operation) -> Change | None:
        """The change that a write made to `key`; None when it made none, or when that can't be told."""
        if write.outcome is Outcome.OK:
            return self.truth.exactly(key, write.revision)
        value = dict(write.changes).get(key)
        if write.outcome is not Outcome.UNKNOWN or value is None:
            return None
        return next((change for change in self.truth.of(key) if change.value == value), None)


class Reached:
    """When the store is known to have reached a revision: the earliest moment at which somebody had been told so.

    An answer that holds at h, received at t, shows that the store was at h before t; so does a watched event.
    """

    def __init__(self, answered: Iterable[Operation], changes: Iterable[Change]) -> None:
        told = [(operation.revision, operation.returned, operation) for operation in answered if operation.revision]
        seen = [(change.revision, change.seen, None) for change in changes]
        known: list[tuple[int, float, Operation | None]] = sorted([*told, *seen], key=lambda item: item[:2])
        self._revisions = [revision for revision, _, _ in known]
        self._earliest: list[tuple[float, Operation | None]] = []
        earliest: tuple[float, Operation | None] = (float("inf"), None)
        for _, moment, witness in reversed(known):
            earliest = min(earliest, (moment, witness), key=lambda item: item[0])
            self._earliest.append(earliest)
        self._earliest.reverse()

    def by(self, revision: int) -> tuple[float, Operation | None]:
        """The moment (infinite if nobody knows of that revision) and who knew; None: the watch of the harness."""
        place = bisect_left(self._revisions, revision)
        return self._earliest[place] if place < len(self._earliest) else (float("inf"), None)


def _authors(writes: Iterable[Operation]) -> dict[tuple[str, str | None], list[Operation]]:
    """The operation that wanted to write a value to a key (values are unique), or to delete the key (value None)."""
    authors: dict[tuple[str, str | None], list[Operation]] = defaultdict(list)
    for write in writes:
        for change in write.changes:
            authors[change].append(write)
    return authors
