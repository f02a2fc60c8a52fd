"""What each document was at each revision, from what the cluster has committed. Grows along with it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from operator import itemgetter

from consistency.core.model import Revision
from simulation.etcd.records import Committed

_when: Callable[[tuple[Revision, Revision]], Revision] = itemgetter(0)


class Documents:
    """Of one history, under one prefix. `history` may go on growing."""

    def __init__(self, history: Sequence[Committed], prefix: bytes) -> None:
        self._history = history
        self._prefix = prefix
        self._versions: dict[str, list[tuple[Revision, Revision]]] = {}  # when, and the mod_revision: 0 for a deletion
        self._read = 0  # of the history

    def mod_revision_at(self, key: str, revision: Revision) -> Revision:
        """Of the key as it was at a revision; 0 if it was absent."""
        self._catch_up()
        return _at(self._versions.get(key, ()), revision)

    def all_at(self, revision: Revision) -> dict[str, Revision]:
        """The mod_revision of each key that was there at a revision."""
        self._catch_up()
        return {key: at for key, versions in self._versions.items() if (at := _at(versions, revision))}

    @property
    def revision(self) -> Revision:
        """Of the last that has been committed."""
        return self._history[-1].revision if self._history else 0

    def _catch_up(self) -> None:
        for committed in self._history[self._read :]:
            for kv in committed.changes:
                if kv.key.startswith(self._prefix):
                    name = kv.key.removeprefix(self._prefix).decode()
                    version = committed.revision, kv.mod if kv.version else 0
                    self._versions.setdefault(name, []).append(version)
        self._read = len(self._history)


def _at(versions: Sequence[tuple[Revision, Revision]], revision: Revision) -> Revision:
    place = bisect_right(versions, revision, key=_when)
    return versions[place - 1][1] if place else 0
