"""What really happened in etcd: every change of every key, as a watch from the first revision saw it. Pure.

Owns the index over the changes. The harness asks etcd directly, past the service and its proxies.
"""

from __future__ import annotations

import itertools
import json
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass

from consistency.core.model import VersionRecord
from torture.history import CHECKED

DOCUMENTS = "config/"
VERSION = "version"


@dataclass(frozen=True, slots=True)
class Change:
    """One key at one revision. `value` None: deleted. `count`: etcd's per-key version, 0 for a deletion.

    seen: monotonic seconds at which the harness knew; the change was committed before.
    """

    revision: int
    key: str  # without the prefix: "config/…", "version", "members/…"
    value: str | None
    count: int
    seen: float

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: str) -> Change:
        """The inverse of `to_json`."""
        return cls(**json.loads(line))

    @property
    def document(self) -> str | None:
        """The caller's key, if it is one whose every change has to be explained."""
        name = self.key.removeprefix(DOCUMENTS)
        return name if self.key != name and name.startswith(CHECKED) else None


class Truth:
    """All changes, by key and by revision. Made of what a watch delivered, in any order."""

    def __init__(self, changes: Iterable[Change]) -> None:
        self.changes: Sequence[Change] = sorted(changes, key=lambda change: change.revision)
        self.by_revision: dict[int, list[Change]] = defaultdict(list)
        self._of: dict[str, list[Change]] = defaultdict(list)
        self._revisions: dict[str, list[int]] = defaultdict(list)
        for change in self.changes:
            self.by_revision[change.revision].append(change)
            self._of[change.key].append(change)
            self._revisions[change.key].append(change.revision)

        self._documented = list(self.documents())
        self._documented_at = [change.revision for _, change in self._documented]

    @property
    def last(self) -> int:
        """The newest revision seen."""
        return self.changes[-1].revision if self.changes else 0

    def documents(self) -> Iterator[tuple[str, Change]]:
        """Every change of a document that has to be explained, with the caller's key."""
        for change in self.changes:
            if (name := change.document) is not None:
                yield name, change

    def documents_between(self, after: int, to: int) -> Iterator[tuple[str, Change]]:
        """The changes of such documents in (after, to], in order, with the callers' keys."""
        start = bisect_right(self._documented_at, after)
        for number in range(start, bisect_right(self._documented_at, to)):
            yield self._documented[number]

    def of(self, document: str) -> Sequence[Change]:
        """The changes of a document, oldest first."""
        return self._of.get(DOCUMENTS + document, ())

    def at(self, document: str, revision: int) -> Change | None:
        """The newest change at or before `revision`."""
        place = bisect_right(self._revisions.get(DOCUMENTS + document, ()), revision)
        return self.of(document)[place - 1] if place else None

    def after(self, document: str, revision: int) -> Change | None:
        """The first change after `revision`."""
        place = bisect_right(self._revisions.get(DOCUMENTS + document, ()), revision)
        changes = self.of(document)
        return changes[place] if place < len(changes) else None

    def exactly(self, document: str, revision: int) -> Change | None:
        """The change at `revision`."""
        revisions = self._revisions.get(DOCUMENTS + document, ())
        place = bisect_left(revisions, revision)
        return self.of(document)[place] if place < len(revisions) and revisions[place] == revision else None

    def record(self, revision: int) -> VersionRecord | None:
        """The version record put at `revision`."""
        for change in self.by_revision.get(revision, ()):
            if change.key == VERSION and change.value is not None:
                return VersionRecord.decode(change.value.encode())
        return None

    def gaps(self) -> list[tuple[Change, Change]]:
        """Neighbouring changes of a key whose counts do not follow: events that the watch missed. Empty when sound."""
        pairs = ((a, b) for of in self._of.values() for a, b in itertools.pairwise(of))
        return [(a, b) for a, b in pairs if b.count not in (0, a.count + 1)]
