"""Reads of what etcd remembers: documents as of a revision, and the version key's own history (rule 18).

Owns the messages of these reads and their meaning. `store` gives it the calls, and the watches.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from etcd3 import etcdrpc as pb  # type: ignore[import-untyped]

from consistency.core.known import weight
from consistency.core.model import Document, Revision, VersionEvent
from consistency.core.store import PastVersions, Scan, TooLarge, Unavailable
from consistency.etcd import readings
from consistency.etcd.calls import Call, Calls
from consistency.etcd.transactions import Layout, header_of, successor
from consistency.etcd.watch import EtcdWatch

MAX_VALUES = 126
"""Most keys of one look at the past: etcd takes 128 operations in a transaction."""


class PastReads:
    """Belongs to the store's loop. watch: opens a stream of version events from a revision on, in so many seconds."""

    def __init__(
        self,
        layout: Layout,
        calls: Calls[Any],
        clock: Callable[[], float],
        snapshot: Callable[[str, Any, float], Awaitable[Any]],
        watch: Callable[[Revision, float], Awaitable[EtcdWatch]],
    ) -> None:
        self._layout = layout
        self._calls = calls
        self._clock = clock
        self._snapshot = snapshot
        self._watch = watch

    async def values(
        self, keys: Sequence[str], at: Revision, names_only: bool, timeout: float
    ) -> tuple[Document | None, ...]:
        """See Store.values. Raises ValueError over MAX_VALUES."""
        if len(keys) > MAX_VALUES:
            raise ValueError(f"at most {MAX_VALUES} keys at once, not {len(keys)}")
        asked = [
            pb.RequestOp(
                request_range=pb.RangeRequest(key=self._layout.document(key), revision=then(at), keys_only=names_only)
            )
            for key in keys
        ]
        answer = await self._snapshot("values", pb.TxnRequest(success=asked), timeout)
        return tuple(readings.found(response.response_range).document for response in answer.responses)

    async def scan(
        self, prefix: str, after: str | bytes, limit: int, at: Revision, names_only: bool, timeout: float
    ) -> Scan:
        """See Store.scan."""
        deadline = self._clock() + timeout
        first, end = self._layout.listing(prefix, after)
        while True:
            request = pb.RangeRequest(
                key=first, range_end=end, limit=limit + 1, revision=then(at), keys_only=names_only
            )
            try:
                answer = await self._calls.ask(Call("scan", "range", request), deadline - self._clock())
                break
            except TooLarge:
                if limit == 1:
                    return await self._one(end, request, deadline)
                limit //= 2
        return Scan(header_of(answer), self._documents(answer.kvs[:limit]), more=len(answer.kvs) > limit)

    async def _one(self, end: bytes, request: Any, deadline: float) -> Scan:
        """The first alone: with the second, which only tells that there is one, it was too large."""
        request.limit = 1
        answer = await self._calls.ask(Call("scan", "range", request), deadline - self._clock())
        more = False
        if answer.kvs:
            rest = pb.RangeRequest(
                key=successor(answer.kvs[0].key), range_end=end, limit=1, revision=request.revision, keys_only=True
            )
            more = bool((await self._calls.ask(Call("scan", "range", rest), deadline - self._clock())).kvs)
        return Scan(header_of(answer), self._documents(answer.kvs), more)

    def _documents(self, kvs: Any) -> tuple[tuple[str, Document], ...]:
        return tuple(
            (self._layout.key_of(kv.key), Document(kv.value, kv.mod_revision, kv.create_revision, kv.lease))
            for kv in kvs
        )

    async def versions(self, after: Revision, until: Revision, most: int, timeout: float) -> PastVersions:
        """See Store.versions. A watch from the past: etcd keeps each change of a key until it is compacted."""
        deadline = self._clock() + timeout
        request = pb.RangeRequest(key=self._layout.version, revision=then(after))
        start = readings.version_state(await self._calls.ask(Call("versions", "range", request), timeout))
        events: list[VersionEvent] = []
        if after >= until:
            return PastVersions(start, ())
        stream = await self._watch(after + 1, deadline - self._clock())
        try:
            async with asyncio.timeout(max(0.0, deadline - self._clock())):
                await _collect(stream, events, until, most)
        except TimeoutError:
            raise Unavailable(f"the changes since revision {after} did not come within {timeout:.1f} s") from None
        finally:
            stream.close()
        return PastVersions(start, tuple(events))


async def _collect(stream: EtcdWatch, events: list[VersionEvent], until: Revision, most: int) -> None:
    names = 0
    async for event in stream:
        if not isinstance(event, VersionEvent):
            continue
        events.append(event)
        names += weight(event)
        if names > most:
            raise TooLarge(f"more than {most} names have been changed since")
        if event.state.revision >= until:
            return


def then(revision: Revision) -> Revision:
    """A revision of the past. Raises ValueError below 1: etcd would answer with the present."""
    if revision < 1:
        raise ValueError(f"revisions count from 1 on, not {revision}")
    return revision
