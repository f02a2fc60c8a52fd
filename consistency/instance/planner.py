"""Plans the way of a prefix back to an earlier revision (rule 19).

Owns which reads that takes, and their bounds: names are read in pages, documents only of keys that have changed since.
What is written while it plans, it doesn't see; it is executed over what the plan has seen of each key.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence

from consistency.core.feed import in_order
from consistency.core.model import Document, Revision
from consistency.core.rollbacks import Plan, Step
from consistency.core.store import Compacted, NotReached, Store, TooLarge
from consistency.instance.recall import Recall

PAGE = 1000
"""Names in one read."""

AT_ONCE = 50
"""Documents in one read."""

MOST = 1000
"""Keys that have changed, in one plan."""

MOST_BYTES = 16 * 1024 * 1024
"""Bytes of documents in one plan."""

ANY = "-"
"""A key to ask with since when writes leave records: the answer is the same with each."""

Names = AsyncIterator[tuple[str, Revision]]


class Planner:
    """Belongs to one loop. timeout: seconds for each call of the store."""

    def __init__(self, store: Store, recall: Recall, *, timeout: float, refuse_if_down: Callable[[], None]) -> None:
        self._store = store
        self._recall = recall
        self._timeout = timeout
        self._refuse_if_down = refuse_if_down

    async def plan(self, prefix: str, revision: Revision) -> Plan:
        """See `AsyncDistributedCache.plan`."""
        self._refuse_if_down()
        seen = (await self._store.page(prefix, after="", limit=1, timeout=self._timeout)).header.revision
        if revision > seen:
            raise NotReached(f"revision {revision} has not been reached; it is {seen} now")
        try:
            return await self._of_etcd(prefix, revision, seen)
        except Compacted:
            return await self._of_records(prefix, revision, seen)

    async def _of_etcd(self, prefix: str, revision: Revision, seen: Revision) -> Plan:
        changed, unchanged = list[str](), 0
        async for key, now, then in _beside(self._names(prefix, seen), self._names(prefix, revision)):
            if now == then:
                unchanged += 1
            else:
                _add(changed, key)
        before, after = await self._documents(changed, seen), await self._documents(changed, revision)
        steps = [
            Step(key, old, then.data if then else None) for key, old, then in zip(changed, before, after, strict=True)
        ]
        return _planned(prefix, revision, seen, steps, unchanged, ())

    async def _of_records(self, prefix: str, revision: Revision, seen: Revision) -> Plan:
        """By what writes have left, key by key."""
        changed, unchanged = list[str](), 0
        began = (await self._store.traces(prefix or ANY, timeout=self._timeout)).began
        async for key, now, _ in _beside(self._names(prefix, seen), self._recorded(prefix, seen)):
            if 0 < now <= revision:
                unchanged += 1
            else:
                _add(changed, key)
        steps, unknowable = list[Step](), list[tuple[str, str]]()
        for key, current in zip(changed, await self._documents(changed, seen), strict=True):
            try:
                then = await self._recall.recall(key, revision)
            except Compacted as why:
                unknowable.append((key, str(why)))
                continue
            steps.append(Step(key, current, then.data if then else None))
        if not began or revision < began:
            # 1. There was a document; 2. it is deleted, and leaves no record; 3. nothing names it any more.
            unknowable.append((prefix, f"what was deleted {_no_record(began)} has left no name"))
        return _planned(prefix, revision, seen, steps, unchanged, unknowable)

    async def _names(self, prefix: str, at: Revision) -> Names:
        after, more = "", True
        while more:
            page = await self._store.scan(
                prefix, after=after, limit=PAGE, at=at, names_only=True, timeout=self._timeout
            )
            for key, document in page.documents:
                yield key, document.mod_revision
                after = key
            more = page.more

    async def _recorded(self, prefix: str, at: Revision) -> Names:
        """The keys of which there are records."""
        place, more, last = b"", True, ""
        while more:
            names = await self._store.past_names(prefix, after=place, limit=PAGE, at=at, timeout=self._timeout)
            for key, _, revision in names.found:
                if key != last:
                    yield key, revision
                last = key
            place, more = names.place, bool(names.place)

    async def _documents(self, keys: Sequence[str], at: Revision) -> list[Document | None]:
        found, left = list[Document | None](), MOST_BYTES
        for start in range(0, len(keys), AT_ONCE):
            some = await self._some(keys[start : start + AT_ONCE], at)
            left -= sum(len(document.data) for document in some if document is not None)
            if left < 0:
                raise TooLarge(f"what has changed has more than {MOST_BYTES:,} bytes; name a longer prefix")
            found += some
        return found

    async def _some(self, keys: Sequence[str], at: Revision) -> Sequence[Document | None]:
        try:
            return await self._store.values(keys, at, timeout=self._timeout)
        except TooLarge:
            if len(keys) < 2:
                raise
            half = len(keys) // 2
            return [*await self._some(keys[:half], at), *await self._some(keys[half:], at)]


async def _beside(first: Names, second: Names) -> AsyncIterator[tuple[str, Revision, Revision]]:
    """The keys of both, in their order, each with its revision in either; 0: it is not there."""
    one, other = await anext(first, None), await anext(second, None)
    while one or other:
        if one and other and one[0] == other[0]:
            yield one[0], one[1], other[1]
            one, other = await anext(first, None), await anext(second, None)
        elif one and (not other or in_order(one[0]) < in_order(other[0])):
            yield one[0], one[1], 0
            one = await anext(first, None)
        elif other:
            yield other[0], 0, other[1]
            other = await anext(second, None)


def _planned(
    prefix: str,
    revision: Revision,
    seen: Revision,
    steps: Sequence[Step],
    unchanged: int,
    unknowable: Sequence[tuple[str, str]],
) -> Plan:
    """What has been written again since, byte for byte, is unchanged."""
    differ = tuple(step for step in steps if (step.before.data if step.before else None) != step.after)
    same = sum(1 for step in steps if step.before is not None and step.before.data == step.after)
    return Plan(prefix, revision, seen, differ, unchanged + same, tuple(unknowable))


def _no_record(began: Revision) -> str:
    return f"before revision {began}, where history begins," if began else "while no history is kept"


def _add(changed: list[str], key: str) -> None:
    if len(changed) >= MOST:
        raise TooLarge(f"more than {MOST} keys have changed since; name a longer prefix")
    changed.append(key)
