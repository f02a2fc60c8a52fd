"""The calls by which an instance belongs to a fleet: leases, slots, acknowledgements, and the records of departures.

A part of `store`, which has the calls.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

from etcd3 import etcdrpc as pb  # type: ignore[import-untyped]

from consistency.core.model import Departure, Revision
from consistency.core.store import Lease, Rejected
from consistency.etcd import readings
from consistency.etcd.calls import Call, Calls
from consistency.etcd.errors import NoSuchLease
from consistency.etcd.transactions import Layout, absent, delete_op, encode, held_by, put_op, range_op, ranges_of

MOST_ERASED = 100
"""Records of members that have gone, erased in one transaction."""


class Leases:
    """See `consistency.core.store.Store` for what each of these promises."""

    _layout: Layout
    _calls: Calls[Any]
    _clock: Callable[[], float]

    async def acknowledge(self, slot: int, lease: int, applied: Revision, *, timeout: float) -> None:
        """See Store.acknowledge."""
        ours = held_by(self._layout.member(slot), lease)
        put = put_op(self._layout.ack(slot), b"%d" % applied, lease)
        request = pb.TxnRequest(compare=(ours,), success=(put,))
        if not (await self._calls.send(Call("acknowledge", "txn", request, write=True), timeout)).succeeded:
            raise Rejected(f"slot {slot:02d} is not held by lease {lease:x}")

    async def claim(self, slot: int, lease: int, description: str, *, timeout: float) -> bool:
        """See Store.claim. An absent key has no lease, either."""
        key = self._layout.member(slot)
        # In this order: a watching member sees the slot held before the place is given up, and counts nobody as lost.
        claimed = (put_op(key, encode(description), lease), delete_op(self._layout.wait(lease)))
        request = pb.TxnRequest(compare=(held_by(key, 0),), success=claimed)
        return bool((await self._calls.send(Call("claim", "txn", request, write=True), timeout)).succeeded)

    async def wait(self, lease: int, description: str, *, timeout: float) -> None:
        """See Store.wait."""
        put = put_op(self._layout.wait(lease), encode(description), lease)
        await self._calls.send(Call("wait", "txn", pb.TxnRequest(success=(put,)), write=True), timeout)

    async def fleet(self, candidate: str, *, timeout: float) -> str:
        """See Store.fleet. A read first: it is retried, and etcd answers it when it is out of space, too."""
        deadline, key = self._clock() + timeout, self._layout.fleet
        answer = await self._calls.ask(Call("fleet", "range", pb.RangeRequest(key=key)), timeout)
        if not answer.kvs:
            put, look = put_op(key, candidate.encode()), range_op(key)
            request = pb.TxnRequest(compare=(absent(key),), success=(put,), failure=(look,))
            made = await self._calls.send(Call("fleet", "txn", request, write=True), deadline - self._clock())
            if made.succeeded:
                return candidate
            answer = ranges_of(made)[0]
        return readings.fleet_id(self._layout, answer)

    async def grant(self, ttl: int, *, timeout: float) -> Lease:
        """See Store.grant."""
        answer = await self._calls.send(Call("grant", "grant", pb.LeaseGrantRequest(TTL=ttl), write=True), timeout)
        return Lease(answer.ID, answer.TTL)

    async def keep_alive(self, lease: int, *, timeout: float) -> int:
        """See Store.keep_alive. Renewing twice is renewing, so this is retried as a read is."""
        answer = await self._calls.ask(Call("keep_alive", "keep_alive", pb.LeaseKeepAliveRequest(ID=lease)), timeout)
        return max(0, int(answer.TTL))

    async def revoke(self, lease: int, *, timeout: float) -> None:
        """See Store.revoke."""
        with contextlib.suppress(NoSuchLease):
            await self._calls.send(Call("revoke", "revoke", pb.LeaseRevokeRequest(ID=lease), write=True), timeout)

    async def record(self, departure: Departure, lease: int, *, timeout: float) -> bool:
        """See Store.record."""
        key = self._layout.departure(departure.lease)
        request = pb.TxnRequest(compare=(absent(key),), success=(put_op(key, departure.encode(), lease),))
        return bool((await self._calls.send(Call("record", "txn", request, write=True), timeout)).succeeded)

    async def erase(self, departed: Sequence[int], *, timeout: float) -> None:
        """See Store.erase."""
        deletions = [delete_op(self._layout.departure(lease)) for lease in departed[:MOST_ERASED]]
        await self._calls.send(Call("erase", "txn", pb.TxnRequest(success=deletions), write=True), timeout)
