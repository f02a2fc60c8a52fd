"""Finds writes that bypassed the version key, such as `etcdctl put`, and tells the fleet (rule 13).

The member in the lowest slot audits. From one audit to the next it compares what etcd has with what the versions
explain. A document came from outside if the version of its revision does not name it. A deletion came from outside if a
document is gone that a version has put, or if more are gone than the versions name. Then a version names what was
found: its entries are validated before they are served again, and followers are told (rule 18). Sometimes nobody knows
the names of what has vanished, or there is too much to compare, or nothing to compare with (etcd compacts). Then the
version says `keys: null`, which means every entry.

A member that leaves in order hands its last look over (`last_looks`). Without it:

1. The member that audits dies. 2. Somebody writes from outside what all the others have in memory. 3. The next one
takes its first look, and would find the new state unchanged ever after. Only one first look is harmless: that of an
instance which comes to an empty fleet, before it joins. All that is in memory then has to be validated (rule 9).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from consistency.core.events import AuditFound, Observer
from consistency.core.model import Look, Revision, VersionEvent, VersionRecord, VersionState, new_nonce
from consistency.core.records import Keeping
from consistency.core.store import Compacted, Store, StoreError, Touched
from consistency.instance.fleet import Fleet
from consistency.instance.last_looks import LastLooks
from consistency.instance.state import LocalState
from consistency.tasks import Worker

MOST = 1000
"""Documents, and names, that one audit looks at. With more written in between, everything is validated (rule 13)."""

AT_ONCE = 100
"""Keys asked about in one transaction."""

MOST_NAMED = 100
"""Documents that one version names, as many as one write may change."""

AUDIT = "audit"
"""What a version's `op` is that an audit has put."""

Events = Sequence[VersionEvent]


@dataclass(frozen=True, slots=True)
class Baseline:
    """What the last look saw: `count` documents at `revision`, which bore `version`.

    history: the number of the one that was looked at. Another one may share the version, and not the revision:
    1. a backup is made; 2. others than the fleet write, and a look is taken; 3. the backup is restored; 4. what is
    written from outside now, below the revision of that look, would not be written since.
    """

    revision: Revision
    version: VersionState
    count: int
    history: int = 0


def seen_at(touched: Touched, history: int) -> Baseline:
    """What to compare the next look with."""
    return Baseline(touched.header.revision, touched.version, touched.count, history)


@dataclass(frozen=True, slots=True)
class Outside:
    """What was written or deleted past the version key: the documents known by name, and how many vanished besides."""

    named: frozenset[str]
    vanished: int

    @property
    def count(self) -> int:
        """How many documents."""
        return len(self.named) + self.vanished

    @property
    def to_tell(self) -> frozenset[str] | None:
        """What a version has to name: None, anything, where not all is known, or it is too much for one."""
        return self.named if not self.vanished and len(self.named) <= MOST_NAMED else None


def unexplained(touched: Touched, events: Events) -> set[str]:
    """The documents that were written at a revision whose version does not name them.

    What came before a version that means "anything" has been invalidated by it already, and so has what an audit named.
    """
    names = {event.state.revision: event.names or frozenset() for event in events}
    covered = max((event.state.revision for event in events if event.names is None), default=0)
    audited = {name: event.state.revision for event in events if event.op == AUDIT for name in event.names or ()}
    later = (each for each in touched.keys if each.mod_revision > max(covered, audited.get(each.key, 0)))
    return {each.key for each in later if each.key not in names.get(each.mod_revision, frozenset())}


def undone(touched: Touched, events: Events) -> set[str]:
    """The documents that are gone although the last version that names them put them."""
    put: set[str] = set()
    for event in _writes(events):
        if event.op == "put":
            put |= event.names or frozenset()
        else:
            put -= event.names or frozenset()
    return put - {listed.key for listed in touched.keys}


def vanished(before: Baseline, touched: Touched) -> int:
    """How many of the documents that existed then have been deleted since, whether or not they are back."""
    created = sum(listed.create_revision > before.revision for listed in touched.keys)
    return before.count + created - touched.count


def perhaps_deleted(before: Baseline, touched: Touched, events: Events) -> list[str]:
    """The names among which are all that a version accounts for: those that have lived on are not. MOST of them."""
    lived_on = {listed.key for listed in touched.keys if listed.create_revision <= before.revision}
    named = frozenset[str]().union(*(event.names or () for event in _writes(events)))
    return sorted(islice(named - lived_on, MOST))


def _writes(events: Events) -> Iterator[VersionEvent]:
    """The events of writes. What an audit names it has not written, so that it accounts for nothing:

    1. a document is put from outside; 2. an audit names it; 3. it is deleted from outside. The next audit would take
    that version for the deletion's.
    """
    return (event for event in events if event.op != AUDIT)


class Auditor:
    """`run` belongs to a worker. `interval`: seconds between audits.

    A member that audits again, after others have, goes on from its own last look: nothing is missed, at worst found
    twice.
    """

    def __init__(
        self,
        store: Store,
        state: LocalState,
        fleet: Fleet,
        looks: LastLooks,
        *,
        interval: float,
        timeout: float,
        observer: Observer,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._state = state
        self._fleet = fleet
        self._looks = looks
        self._interval = interval
        self._timeout = timeout
        self._observer = observer
        self._wall = wall
        self._before: Baseline | None = None

    async def run(self, worker: Worker) -> None:
        """One audit, if it is ours to do."""
        await worker.pause(self._interval)
        try:
            await self._audit()
        except StoreError:
            return  # the next one looks at what this one missed

    async def look_first(self) -> None:
        """Look before joining a fleet that may be empty, unless a look was handed over. Raises StoreError.

        A client that follows a scope (rule 18) may come back to the fleet, and was not told of changes that are in no
        version.
        """
        history, seen = self._state.histories, await self._look(0, limit=1)
        survey = await self._store.survey(None, timeout=self._timeout)
        if not survey.members and not any(departure.look for departure in survey.departed):
            self._before = seen_at(seen, history)

    async def _audit(self) -> None:
        us, before = self._state.snapshot(), self._before
        if us.slot is None or not us.watch_up or us.slot != self._fleet.leader():
            return
        history = self._state.histories
        if before is None or before.history != history or not self._state.has_applied(before.version):
            await self._begin(before, history)
        elif us.horizon > before.revision:  # else a proof shows that nobody has written anything since
            await self._compare(before)

    async def _begin(self, before: Baseline | None, history: int) -> None:
        """With what was handed over, or else with nothing to compare with. before: what can't be compared with."""
        if look := await self._looks.handed_over():
            self._looks.keep(look, history)
            self._goes_on_from(handed := Baseline(look.version.revision, look.version, look.documents, history), before)
            await self._compare(handed)
            return
        seen = await self._look(0, limit=1)
        await self._tell(None)
        self._goes_on_from(seen_at(seen, history), before)

    async def _compare(self, before: Baseline) -> None:
        seen = await self._look(before.revision, limit=MOST)
        events = self._state.events_between(before.version, seen.version)
        if events is None:
            return  # not all applied yet: look again
        outside: Outside | None = None  # too much to compare
        if seen.complete:
            with contextlib.suppress(Compacted):  # nobody can tell any more what was there then, now or later
                outside = await self._outside(before, seen, events)
        if outside is None:
            await self._tell(None)
        elif outside.count:
            self._observer(AuditFound(outside.count))
            if outside.to_tell is None:  # of which keys no record is to be believed is not known (rule 19)
                await self._store.begin_past(anew=True, timeout=self._timeout)
            await self._tell(outside.to_tell)
        elif seen.version.revision > before.revision:  # nothing from outside came after that version
            self._looks.keep(Look(seen.version, seen.count), before.history)
        # Only now: if nobody could be told, the next one finds it again.
        self._goes_on_from(seen_at(seen, before.history), before)

    def _goes_on_from(self, seen: Baseline, before: Baseline | None) -> None:
        """The next look compares with this one, unless another has come between.

        1. An audit is under way, compared with look A; 2. the slot is lost, the fleet is empty, and a first look B is
        taken before the next slot; 3. the audit ends: what it saw is older than B.
        """
        if self._before is before:
            self._before = seen

    async def _look(self, since: Revision, *, limit: int) -> Touched:
        return await self._store.touched(since, limit=limit, timeout=self._timeout)

    async def _tell(self, names: frozenset[str] | None) -> None:
        """The fleet validates these, or everything, and tells who follows them; their histories say so (rule 19)."""
        keeping = Keeping.by(self._state.policy.history, self._wall()) if names else None
        record = VersionRecord(new_nonce(), names, AUDIT, kept=keeping is not None)
        await self._store.commit((), record, keeping=keeping, timeout=self._timeout)

    async def _outside(self, before: Baseline, touched: Touched, events: Events) -> Outside:
        """What was written or deleted past the version key."""
        accounted = await self._existed(perhaps_deleted(before, touched, events), before.revision)
        gone = max(0, vanished(before, touched) - accounted)
        return Outside(frozenset(unexplained(touched, events) | undone(touched, events)), gone)

    async def _existed(self, keys: Collection[str], since: Revision) -> int:
        """How many of these existed at the last audit."""
        chosen, found = list(keys), 0
        for start in range(0, len(chosen), AT_ONCE):
            found += sum(await self._store.existed(chosen[start : start + AT_ONCE], since, timeout=self._timeout))
        return found
