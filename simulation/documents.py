"""What each document was at each revision, from what the cluster has committed. Grows along with it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import NamedTuple

from consistency.core.model import Revision
from simulation.etcd.records import Committed


class Version(NamedTuple):
    """One change of a document. value: what it has been since; None: there has been none."""

    revision: Revision
    value: bytes | None

    @property
    def mod_revision(self) -> Revision:
        """As it is told: 0 where there is no document."""
        return 0 if self.value is None else self.revision


NEVER = Version(0, None)

_when: Callable[[Version], Revision] = attrgetter("revision")


class Documents:
    """Of one history, under one prefix. `history` may go on growing."""

    def __init__(self, history: Sequence[Committed], prefix: bytes) -> None:
        self._history = history
        self._prefix = prefix
        self._versions: dict[str, list[Version]] = {}
        self._read = 0  # of the history

    def at(self, key: str, revision: Revision) -> Version:
        """The last change of the key at or before a revision."""
        return _at(self.versions(key), revision)

    def mod_revision_at(self, key: str, revision: Revision) -> Revision:
        """Of the key as it was at a revision; 0 if it was absent."""
        return self.at(key, revision).mod_revision

    def all_at(self, revision: Revision) -> dict[str, Version]:
        """Each key that was there at a revision."""
        self._catch_up()
        found = ((key, _at(versions, revision)) for key, versions in self._versions.items())
        return {key: version for key, version in found if version.value is not None}

    def versions(self, key: str) -> Sequence[Version]:
        """All changes of a key, the oldest first."""
        self._catch_up()
        return self._versions.get(key, ())

    @property
    def revision(self) -> Revision:
        """Of the last that has been committed."""
        return self._history[-1].revision if self._history else 0

    def _catch_up(self) -> None:
        for committed in self._history[self._read :]:
            for kv in committed.changes:
                if kv.key.startswith(self._prefix):
                    name = kv.key.removeprefix(self._prefix).decode()
                    version = Version(committed.revision, kv.value if kv.version else None)
                    self._versions.setdefault(name, []).append(version)
        self._read = len(self._history)


def _at(versions: Sequence[Version], revision: Revision) -> Version:
    place = bisect_right(versions, revision, key=_when)
    return versions[place - 1] if place else NEVER
