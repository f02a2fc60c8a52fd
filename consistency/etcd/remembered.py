"""What writes have left of themselves (rule 19): how it is read, and how what is surplus is removed.

A part of `store`, which has the calls. `transactions` writes the records, `core.past` says what they mean.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from etcd3 import etcdrpc as pb  # type: ignore[import-untyped]

from consistency.core.model import MustBeAbsent, MustBeAt, Revision
from consistency.core.past import KeyPast, traced
from consistency.core.records import DOUBTED, Record, Trace
from consistency.core.store import PastNames, TooLarge
from consistency.etcd import readings
from consistency.etcd.calls import Call, Calls
from consistency.etcd.past import then
from consistency.etcd.transactions import (
    Layout,
    absent,
    compare,
    delete_op,
    header_of,
    mod_revision_of,
    put_op,
    range_end,
    range_op,
    ranges_of,
)

MOST_TRACES = 10_000
"""Records of one key that are looked at by name. There are some more than are kept, until they have been trimmed."""

MOST_FORGOTTEN = 40
"""Records removed in one transaction, with what stands beside them: within etcd's 128 operations."""


class Remembered:
    """See `consistency.core.store.Store` for what each of these promises."""

    _layout: Layout
    _calls: Calls[Any]
    _clock: Callable[[], float]
    _snapshot: Callable[[str, Any, float], Awaitable[Any]]

    async def traces(self, key: str, *, timeout: float) -> KeyPast:
        """See Store.traces. Moves no document."""
        first = self._layout.past(key)
        request = pb.TxnRequest(
            success=(
                range_op(self._layout.document(key), keys_only=True),
                range_op(self._layout.began, keys_only=True),
                range_op(first),
                range_op(first, range_end=range_end(first), keys_only=True, limit=MOST_TRACES),
            )
        )
        answer = await self._snapshot("traces", request, timeout)
        document, began, trimmed, records = ranges_of(answer)
        return KeyPast(
            header_of(answer).revision,
            readings.found(document).document,
            mod_revision_of(began),
            _trimmed_in(trimmed),
            traced(self._names(records.kvs, key)),
        )

    async def recorded(self, key: str, traces: Sequence[Trace], at: Revision, *, timeout: float) -> tuple[Record, ...]:
        """See Store.recorded. Raises ValueError over 100 of them, or for a revision below 1."""
        if len(traces) > 100:
            raise ValueError(f"at most 100 records at once, not {len(traces)}")
        asked = (range_op(self._layout.past(key, trace.nonce + trace.op), revision=then(at)) for trace in traces)
        answer = await self._snapshot("recorded", pb.TxnRequest(success=asked), timeout)
        found = zip(traces, ranges_of(answer), strict=True)
        return tuple(Record.decode(trace, ranged.kvs[0].value if ranged.kvs else b"") for trace, ranged in found)

    async def past_names(
        self, prefix: str, *, after: bytes, limit: int, at: Revision | None = None, timeout: float
    ) -> PastNames:
        """See Store.past_names."""
        first, end = self._layout.pasts_listing(prefix, after)
        deadline = self._clock() + timeout
        while True:
            request = pb.RangeRequest(key=first, range_end=end, limit=limit + 1, revision=at or 0, keys_only=True)
            try:
                answer = await self._calls.ask(Call("past-names", "range", request), deadline - self._clock())
                break
            except TooLarge:
                if limit == 1:
                    raise
                limit //= 2
        kvs = answer.kvs[:limit]
        more = len(answer.kvs) > limit
        parsed = ((self._layout.past_of(kv.key), kv.mod_revision) for kv in kvs)
        found = tuple((*named, revision) for named, revision in parsed if named)
        return PastNames(header_of(answer), found, bytes(kvs[-1].key) if more else b"")

    async def forget(self, key: str, traces: Sequence[Trace], kept_from: Revision, *, timeout: float) -> bool:
        """See Store.forget. Raises ValueError over MOST_FORGOTTEN."""
        if len(traces) > MOST_FORGOTTEN:
            raise ValueError(f"at most {MOST_FORGOTTEN} records at once, not {len(traces)}")
        deadline = self._clock() + timeout
        marker = self._layout.past(key)
        ranged = (await self._calls.ask(Call("traces", "range", pb.RangeRequest(key=marker)), timeout)).kvs
        seen = MustBeAt(ranged[0].mod_revision) if ranged else MustBeAbsent()
        trimmed = max(kept_from, _trimmed(ranged[0].value) if ranged else 0)
        request = pb.TxnRequest(compare=[compare(marker, seen)])
        request.success.append(put_op(marker, json.dumps({"from": trimmed}).encode()))
        for trace in traces:
            request.success.extend(delete_op(self._layout.past(key, name)) for name in trace.names)
        answer = await self._calls.send(Call("forget", "txn", request, write=True), deadline - self._clock())
        return bool(answer.succeeded)

    async def forget_all(self, *, limit: int, timeout: float) -> bool:
        """See Store.forget_all."""
        deadline = self._clock() + timeout
        first, end = self._layout.pasts, range_end(self._layout.pasts)
        asked = pb.RangeRequest(key=first, range_end=end, limit=limit, keys_only=True)
        found = await self._calls.ask(Call("past-names", "range", asked), timeout)
        if not found.kvs:
            return False
        last = bytes(found.kvs[-1].key) + b"\0"
        request = pb.TxnRequest(
            success=[pb.RequestOp(request_delete_range=pb.DeleteRangeRequest(key=first, range_end=last))]
        )
        await self._calls.send(Call("forget", "txn", request, write=True), deadline - self._clock())
        return bool(found.more)

    async def doubt(self, keys: Sequence[str], nonce: str, *, timeout: float) -> None:
        """See Store.doubt. Raises ValueError over 100 of them."""
        if len(keys) > 100:
            raise ValueError(f"at most 100 keys at once, not {len(keys)}")
        puts = [put_op(self._layout.past(key, nonce + DOUBTED), b"") for key in keys]
        await self._calls.send(Call("doubt", "txn", pb.TxnRequest(success=puts), write=True), timeout)

    async def begin_past(self, *, anew: bool, timeout: float) -> None:
        """See Store.begin_past."""
        request = pb.TxnRequest(success=[put_op(self._layout.began, b"{}")])
        if not anew:
            request.compare.append(absent(self._layout.began))
        await self._calls.send(Call("begin-past", "txn", request, write=True), timeout)

    def _names(self, kvs: Any, key: str) -> list[tuple[str, Revision]]:
        """Return the names of this key's records. Another key may begin with this one, and a NUL."""
        found = ((self._layout.past_of(kv.key), int(kv.mod_revision)) for kv in kvs)
        return [(named[1], revision) for named, revision in found if named and named[0] == key]


def _trimmed_in(ranged: Any) -> Revision:
    return _trimmed(ranged.kvs[0].value) if ranged.kvs else 0


def _trimmed(raw: bytes) -> Revision:
    """A value written there by hand says that nothing is known: that everything has been trimmed."""
    try:
        return int(json.loads(raw)["from"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return 1 << 62
