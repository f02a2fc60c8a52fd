"""Finds writes that bypassed the version key, such as `etcdctl put`, and tells the fleet (rule 13).

The member in the lowest slot audits. From one audit to the next it compares what etcd has with what the versions
explain: a document written at a revision whose version does not name it was written from outside; so was a deletion,
if a document is gone that a version has put, or if more are gone than the versions name. Then a version with
`keys: null` makes every entry be validated before it is served again.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from consistency.events import AuditFound, Observer
from consistency.fleet import Fleet
from consistency.local_state import LocalState
from consistency.store import Store, StoreError, Touched
from consistency.terms import Revision, VersionEvent, VersionRecord, new_nonce
from consistency.workers import Worker

MOST = 1000
"""Documents, and names, that one audit looks at. With more written in between, entries age out instead (rule 13)."""

AT_ONCE = 100
"""Keys asked about in one transaction."""

Events = Sequence[VersionEvent]


@dataclass(frozen=True, slots=True)
class Baseline:
    """What the last audit saw: `count` documents at `revision`. Good for one epoch."""

    epoch: int
    revision: Revision
    count: int


def unexplained(touched: Touched, events: Events) -> int:
    """How many documents were written at a revision whose version does not name them.

    What came before a version that means "anything" has been invalidated by it already.
    """
    names = {event.state.revision: event.names or frozenset() for event in events}
    covered = max((event.state.revision for event in events if event.names is None), default=0)
    later = (listed for listed in touched.keys if listed.mod_revision > covered)
    return sum(listed.key not in names.get(listed.mod_revision, frozenset()) for listed in later)


def undone(touched: Touched, events: Events) -> int:
    """How many documents are gone although the last version that names them put them."""
    last = {name: event.op for event in events for name in event.names or ()}
    here = {listed.key for listed in touched.keys}
    return sum(op == "put" and name not in here for name, op in last.items())


def vanished(before: Baseline, touched: Touched) -> int:
    """How many of the documents that existed then have been deleted since, whether or not they are back."""
    created = sum(listed.create_revision > before.revision for listed in touched.keys)
    return before.count + created - touched.count


def perhaps_deleted(before: Baseline, touched: Touched, events: Events) -> list[str]:
    """The names among which are all that a version accounts for: those that have lived on are not."""
    lived_on = {listed.key for listed in touched.keys if listed.create_revision <= before.revision}
    named = {name for event in events for name in event.names or ()}
    return sorted(named - lived_on)


class Auditor:
    """`run` belongs to a worker's thread. `interval`: seconds between audits."""

    def __init__(
        self, store: Store, state: LocalState, fleet: Fleet, *, interval: float, timeout: float, observer: Observer
    ) -> None:
        self._store = store
        self._state = state
        self._fleet = fleet
        self._interval = interval
        self._timeout = timeout
        self._observer = observer
        self._before: Baseline | None = None

    def run(self, worker: Worker) -> None:
        """One audit, if it is ours to do."""
        worker.pause(self._interval)
        if worker.stopping or not self._leads():
            self._before = None
            return
        try:
            self._audit()
        except StoreError:
            return  # the next one looks at what this one missed

    def _leads(self) -> bool:
        """Whether ours is the lowest slot, as far as we see."""
        us = self._state.snapshot()
        return us.slot is not None and us.watch_up and us.slot == self._fleet.leader()

    def _audit(self) -> None:
        epoch, before = self._state.epoch, self._before
        if before and before.epoch == epoch and self._state.snapshot().horizon <= before.revision:
            return  # a proof since then shows that nobody has written anything: no need to look through all documents
        since = before.revision if before else 0
        touched = self._store.touched(since, limit=MOST if before else 1, timeout=self._timeout)
        if before is None or before.epoch != epoch:
            self._before = Baseline(epoch, touched.header.revision, touched.count)
            return
        events = self._state.events_between(since, touched.version)
        if events is None:
            return  # not all applied yet: look again
        outside = self._outside(before, touched, events) if touched.complete else 0
        self._before = Baseline(epoch, touched.header.revision, touched.count)
        if outside:
            self._observer(AuditFound(outside))
            self._store.commit((), VersionRecord(new_nonce(), None, "audit"), timeout=self._timeout)

    def _outside(self, before: Baseline, touched: Touched, events: Events) -> int:
        """How many documents were written or deleted past the version key."""
        accounted = self._existed(perhaps_deleted(before, touched, events), before.revision)
        gone = max(0, vanished(before, touched) - accounted)
        return unexplained(touched, events) + undone(touched, events) + gone

    def _existed(self, keys: Collection[str], since: Revision) -> int:
        """How many of these existed at the last audit."""
        chosen, found = list(keys)[:MOST], 0
        for start in range(0, len(chosen), AT_ONCE):
            found += sum(self._store.existed(chosen[start : start + AT_ONCE], since, timeout=self._timeout))
        return found
