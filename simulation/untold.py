"""Was the fleet told of everything that was written past the service (rule 13)? Pure, from etcd's history alone.

A change without a version has to be named by a later one, or a later one says that anything may have changed. Nobody
has to read the document for that, or to hold it. An instance that comes to an empty fleet holds nothing from before,
and need not tell of it, unless a look was handed over: then clients who follow changes go on from there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from consistency.core.model import Revision, VersionRecord
from consistency.etcd.transactions import Layout
from consistency.instance.auditor import AUDIT
from simulation.etcd.mvcc import Kv
from simulation.etcd.records import Committed


class Untold:
    """Goes through one history. `found`: the documents whose last change past the service nobody has told of."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self.found: dict[str, Revision] = {}
        self._present: dict[str, bool] = {}
        self._there: dict[str, bool] = {}  # the same, as far as it has been told
        self._held: dict[int, int] = {}  # slots, and their leases
        self._looks = dict[int, bool]()  # who has gone, and whether he has handed over a look

    def through(self, history: Sequence[Committed]) -> Untold:
        """All of it."""
        for committed in history:
            versions = [kv for kv in committed.changes if kv.key == self._layout.version]
            for kv in committed.changes:
                if kv.key.startswith(self._layout.documents):
                    self._document(kv, told=bool(versions))
                elif kv.key.startswith(self._layout.members):
                    self._member(kv)
            for kv in versions:
                self._version(kv)
        return self

    def problems(self) -> Iterator[str]:
        """In words."""
        for key, revision in self.found.items():
            yield f"{key} was written past the service at {revision}, and no version has told of it"

    def _document(self, kv: Kv, *, told: bool) -> None:
        key = self._layout.key_of(kv.key)
        self._present[key] = kv.version > 0
        if told:
            self._there[key] = kv.version > 0
            self.found.pop(key, None)
        elif not kv.version and not self._there.get(key, False):
            self.found.pop(key, None)  # as if it had never been
        else:
            self.found[key] = kv.mod

    def _version(self, kv: Kv) -> None:
        record = VersionRecord.decode(kv.value) if kv.version else None
        names = record.names if record is not None else None
        looked = record is not None and record.op == AUDIT  # else no audit need have seen what was put, if it goes soon
        for key in [*self.found] if names is None else sorted(names & self.found.keys()):
            self._there[key] = self._present[key] if looked else self._there.get(key, False)
            del self.found[key]

    def _member(self, kv: Kv) -> None:
        if (lease := self._layout.departed_lease_of(kv.key)) is not None:
            self._looks[lease] = kv.version > 0 and "look" in json.loads(kv.value)
        elif (slot := self._layout.slot_of(kv.key)) is not None:
            if kv.version and kv.lease and not self._held and not any(self._looks.values()):
                self.found.clear()
            if kv.version and kv.lease:
                self._held[slot] = kv.lease
            else:
                self._held.pop(slot, None)
