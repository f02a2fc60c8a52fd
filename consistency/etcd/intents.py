"""How a guarded write is announced, and given up (rule 16). Its commit is as any other's, behind a fence.

A part of `store`, which has the calls.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from etcd3 import etcdrpc as pb  # type: ignore[import-untyped]

from consistency.core.model import Revision, VersionRecord
from consistency.core.store import Change, Commit, Unavailable
from consistency.etcd.calls import Call, Calls
from consistency.etcd.errors import NoSuchLease
from consistency.etcd.transactions import (
    Layout,
    compare,
    delete_op,
    header_of,
    last_written,
    mod_revision_of,
    put_op,
    range_end,
    range_op,
    ranges_of,
    slots_of,
)

MOST_WITHDRAWN = 100
"""Intents, at once."""


class Intents:
    """See `consistency.core.store.Store` for what each of these promises."""

    _layout: Layout
    _calls: Calls[Any]
    _clock: Callable[[], float]

    async def intend(
        self, changes: Sequence[Change], version: VersionRecord, *, lease: int, policy: Revision, timeout: float
    ) -> Commit:
        """See Store.intend."""
        request = self._intent(changes, version, lease, policy)
        try:
            answer = await self._calls.send(Call("intend", "txn", request, write=True), timeout)
        except NoSuchLease as error:
            raise Unavailable(f"the lease {lease:x} of this instance has ended; nothing was done") from error
        header, ranges = header_of(answer), ranges_of(answer)
        if answer.succeeded:
            return Commit(header, True, (), slots_of(self._layout, ranges.pop()), policy)
        found = mod_revision_of(ranges.pop())
        return Commit(header, False, tuple(map(mod_revision_of, ranges)), (), found)

    async def withdraw(self, nonces: Sequence[str], *, timeout: float) -> None:
        """See Store.withdraw."""
        gone = [delete_op(self._layout.intent(nonce)) for nonce in nonces[:MOST_WITHDRAWN]]
        await self._calls.send(Call("withdraw", "txn", pb.TxnRequest(success=gone), write=True), timeout)

    def _intent(self, changes: Sequence[Change], version: VersionRecord, lease: int, policy: Revision) -> Any:
        assert version.intent is not None  # what this is about
        request = pb.TxnRequest(compare=[last_written(self._layout.policy, policy)])
        for change in changes:
            key = self._layout.document(change.key)
            if change.precondition is not None:
                request.compare.append(compare(key, change.precondition))
            request.failure.append(range_op(key, keys_only=True))
        request.failure.append(range_op(self._layout.policy, keys_only=True))
        told = version.encode()  # in the intent as well: an instance that joins reads there what is held
        request.success.append(put_op(self._layout.intent(version.intent.nonce), told, lease))
        request.success.append(put_op(self._layout.version, told))
        request.success.append(range_op(self._layout.members, range_end=self._layout.slots_end, keys_only=True))
        return request


def range_intents(layout: Layout, *, keys_only: bool = False) -> Any:
    """All of the guarded writes that are under way."""
    return range_op(layout.intents, range_end=range_end(layout.intents), keys_only=keys_only)
