"""Removes what is surplus of what writes leave of themselves (rule 19).

The member in the lowest slot trims. It goes by the names in the versions that it has applied since its last round; who
trims for the first time, or has missed versions, looks at all records there are, a page a round. Owns which keys are to
be looked at, within a bound. Reads and writes of documents never wait for it: what can't be done now is done later.
"""

from __future__ import annotations

from consistency.core.events import HistoryTrimmed, Observer
from consistency.core.model import VersionEvent, VersionState
from consistency.core.past import surplus, traced
from consistency.core.records import Trace
from consistency.core.store import Store, StoreError
from consistency.instance.auditor import AUDIT
from consistency.instance.fleet import Fleet
from consistency.instance.state import LocalState
from consistency.tasks import Worker

INTERVAL = 5.0
"""Seconds between rounds."""

MOST_KEYS = 10_000
"""Keys that wait for their turn. With more, all records there are will be looked at."""

KEYS_A_ROUND = 100
"""Keys that are looked at in one round."""

PAGE = 1000
"""Records that one round looks at by name, where it looks at all there are; or removes, where none are to be kept."""

AT_ONCE = 40
"""Records that are removed in one transaction."""

MOST_OF_A_KEY = 600
"""Records of one key that one round removes."""


class Trimmer:
    """`run` belongs to a worker. timeout: seconds for each call of the store."""

    def __init__(
        self,
        store: Store,
        state: LocalState,
        fleet: Fleet,
        *,
        timeout: float,
        observer: Observer,
    ) -> None:
        self._store = store
        self._state = state
        self._fleet = fleet
        self._timeout = timeout
        self._observer = observer
        self._since: VersionState | None = None  # up to where the versions have been looked at
        self._keep = 0
        self._keys: dict[str, None] = {}
        self._place: bytes | None = None  # of the walk through all records; None: there is none
        self._ours = False

    async def run(self, worker: Worker) -> None:
        """One round, if it is ours to do."""
        await worker.pause(INTERVAL)
        slot, keep = self._state.snapshot().slot, self._state.policy.history.keep
        if slot is None or slot != self._fleet.leader():
            self._ours = False
            return
        try:
            if not keep:
                await self._remove_all()
            else:
                await self._trim(keep)
        except StoreError:
            return  # what was not done is still to be done: nothing has been crossed off

    async def _remove_all(self) -> None:
        """Once: while none are kept, none are left."""
        if self._keep or not self._ours:
            if await self._store.forget_all(limit=PAGE, timeout=self._timeout):
                return
            self._keep, self._ours, self._since = 0, True, None

    async def _trim(self, keep: int) -> None:
        now = self._state.applied
        events = self._state.events_between(self._since, now) if self._since is not None else None
        if not self._ours or keep != self._keep or events is None:
            await self._store.begin_past(anew=False, timeout=self._timeout)
            self._ours, self._keep, self._place = True, keep, b""
        elif any(map(_left_none, events)):  # by an instance that knows nothing of records
            await self._store.begin_past(anew=True, timeout=self._timeout)
        for event in events or ():
            self._keys |= dict.fromkeys(event.names or ())
        self._since = now
        if len(self._keys) > MOST_KEYS:
            self._keys, self._place = {}, b""
        for key in list(self._keys)[:KEYS_A_ROUND]:
            await self._trim_key(key)
            del self._keys[key]
        if self._place is not None:
            await self._walk(self._place)

    async def _trim_key(self, key: str) -> None:
        await self._remove(key, (await self._store.traces(key, timeout=self._timeout)).traces)

    async def _walk(self, place: bytes) -> None:
        """One page of all records. What is surplus of a part of a key's records is surplus of all of them."""
        names = await self._store.past_names("", after=place, limit=PAGE, timeout=self._timeout)
        of_key: dict[str, list[tuple[str, int]]] = {}
        for key, name, revision in names.found:
            of_key.setdefault(key, []).append((name, revision))
        for key, found in of_key.items():
            await self._remove(key, traced(found))
        self._place = names.place or None

    async def _remove(self, key: str, traces: tuple[Trace, ...]) -> None:
        gone = surplus(traces, self._keep)[:MOST_OF_A_KEY]
        for start in range(0, len(gone), AT_ONCE):
            some = gone[start : start + AT_ONCE]
            kept_from = traces[traces.index(some[-1]) + 1].mod_revision
            if not await self._store.forget(key, some, kept_from, timeout=self._timeout):
                return  # somebody else trims, too
            self._observer(HistoryTrimmed(len(some)))


def _left_none(event: VersionEvent) -> bool:
    """Whether it names keys, and has left no records: not as an audit, which changes nothing."""
    return bool(event.names) and not event.kept and event.op != AUDIT
