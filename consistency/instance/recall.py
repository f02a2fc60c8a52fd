"""The value of a key at an earlier revision: from etcd, or, where that is compacted, from records (rule 19).

Owns which reads that takes. What they mean is `core.past`'s. Fills nothing: the cache learns by proofs (rule 5).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import assert_never

from consistency.core.model import Document, Reading, Revision, Source
from consistency.core.past import Current, KeyPast, Recorded, Unknowable, at
from consistency.core.records import Record, Trace
from consistency.core.store import Compacted, NotReached, Store, TooLarge

AT_ONCE = 32
"""Records read in one go: each may hold a document."""


@dataclass(frozen=True, slots=True)
class KeyHistory:
    """What is known of a key's changes, as of a revision; the newest first.

    current: the revision of the document that there is; 0: there is none. began: since when every write of any key has
    left a record; 0: none does. trimmed: nothing is known from before it. more: there are older records.
    """

    revision: Revision
    current: Revision
    began: Revision
    trimmed: Revision
    records: tuple[Record, ...]
    more: bool


class Recall:
    """Belongs to one loop. timeout: seconds for each call of the store."""

    def __init__(self, store: Store, *, timeout: float, refuse_if_down: Callable[[], None]) -> None:
        self._store = store
        self._timeout = timeout
        self._refuse_if_down = refuse_if_down

    async def get_at(self, key: str, revision: Revision) -> Reading:
        """See `AsyncDistributedCache.get_at`."""
        self._refuse_if_down()
        try:
            document = (await self._store.past(key, revision, timeout=self._timeout)).document
        except Compacted:
            document = await self.recall(key, revision)
        if document is None:
            return Reading(None, 0, revision, Source.BYPASS, 0.0)
        return Reading(document.data, document.mod_revision, revision, Source.BYPASS, 0.0)

    async def recall(self, key: str, revision: Revision) -> Document | None:
        """The document at a revision that etcd has compacted, exactly. Raises Compacted (it can't be known)."""
        past = await self._store.traces(key, timeout=self._timeout)
        return await self.settle(key, past, revision)

    async def settle(self, key: str, past: KeyPast, revision: Revision) -> Document | None:
        """The same, once all is known by name. Raises Compacted."""
        if revision > past.revision:
            raise NotReached(f"revision {revision} has not been reached; it is {past.revision} now")
        found = at(past, revision)
        match found:
            case Unknowable(why):
                raise Compacted(f"etcd has compacted revision {revision}, and {why}")
            case Current():
                return (await self._store.values((key,), past.revision, timeout=self._timeout))[0]
            case Recorded(trace):
                if trace is None:
                    return None
                (record,) = await self._store.recorded(key, (trace,), past.revision, timeout=self._timeout)
                if record.document is None:
                    what = f"its document of {record.size} bytes was not kept"
                    raise Compacted(f"etcd has compacted revision {revision}, and {what}")
                return Document(record.document, trace.mod_revision, trace.mod_revision)
            case _:
                assert_never(found)

    async def history(self, key: str, *, before: Revision | None, limit: int) -> KeyHistory:
        """See `AsyncDistributedCache.history`."""
        self._refuse_if_down()
        past = await self._store.traces(key, timeout=self._timeout)
        known = [trace for trace in past.traces if before is None or trace.mod_revision < before]
        chosen = known[::-1][:limit]
        records: list[Record] = []
        for start in range(0, len(chosen), AT_ONCE):
            records += await self._read(key, chosen[start : start + AT_ONCE], past.revision)
        current = past.current.mod_revision if past.current else 0
        return KeyHistory(past.revision, current, past.began, past.trimmed, tuple(records), len(known) > limit)

    async def _read(self, key: str, traces: Sequence[Trace], revision: Revision) -> Sequence[Record]:
        try:
            return await self._store.recorded(key, traces, revision, timeout=self._timeout)
        except TooLarge:
            if len(traces) < 2:
                raise
            half = len(traces) // 2
            first = await self._read(key, traces[:half], revision)
            return [*first, *await self._read(key, traces[half:], revision)]
