"""How documents are written: one transaction with the version key (rule 1), sent once, and what it found before.

A part of `store`, which has the calls.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from etcd3 import etcdrpc as pb  # type: ignore[import-untyped]

from consistency.core.model import Revision, VersionRecord
from consistency.core.store import Change, Commit, OutcomeUnknown, Put, StoreError, TooLarge
from consistency.etcd import messages as answers
from consistency.etcd.calls import Call, Calls
from consistency.etcd.layout import Layout
from consistency.etcd.requests import absent, compare, delete_op, last_written, put_op, range_op

MAX_CHANGES = 100
"""Most changes of one commit."""

MAX_LOOKED_AT = 62
"""Most changes that leave room, in etcd's 128 operations, for a look at what was there before each."""

MAX_REQUEST = 1_572_000
"""Most bytes of one write, all included: etcd's 1.5 MiB less what it adds itself."""


class Commits:
    """See `consistency.core.store.Store` for what each of these promises."""

    _layout: Layout
    _calls: Calls[Any]
    _clock: Callable[[], float]

    async def commit(
        self,
        changes: Sequence[Change],
        version: VersionRecord,
        *,
        only_if_new: bool = False,
        policy: Revision | None = None,
        new_policy: bytes | None = None,
        timeout: float,
    ) -> Commit:
        """See Store.commit. Raises TooLarge over MAX_CHANGES or MAX_REQUEST, before anything is sent."""
        request = self._transaction(changes, version, only_if_new, policy)
        if new_policy is not None:
            request.success.append(put_op(self._layout.policy, new_policy))
        if len(changes) > MAX_CHANGES or request.ByteSize() > MAX_REQUEST:
            raise TooLarge(
                f"a write of {len(changes)} changes and {request.ByteSize():,} bytes; "
                f"etcd takes at most {MAX_CHANGES} changes and {MAX_REQUEST:,} bytes"
            )
        deadline = self._clock() + timeout
        answer = await self._calls.send(Call("commit", "txn", request, write=True), timeout)
        header, ranges = answers.header(answer), answers.ranges(answer)
        members = answers.slots(self._layout, ranges.pop()) if answer.succeeded and version.ack else ()
        found = policy or 0
        if policy is not None and not answer.succeeded:
            found = answers.mod_revision(ranges.pop())
        if answer.succeeded and len(changes) > MAX_LOOKED_AT:
            before = await self._before(changes, header.revision, deadline - self._clock())
        else:
            before = tuple(map(answers.mod_revision, ranges))
        return Commit(header, answer.succeeded, before, members, found)

    def _transaction(
        self, changes: Sequence[Change], version: VersionRecord, only_if_new: bool, policy: Revision | None
    ) -> Any:
        """What was there before is asked for in the same breath, unless that would be too many operations."""
        request = pb.TxnRequest()
        may_fail = only_if_new or policy is not None or any(change.precondition is not None for change in changes)
        for change in changes:
            key = self._layout.document(change.key)
            before = pb.RequestOp(request_range=pb.RangeRequest(key=key, keys_only=True))
            if change.precondition is not None:
                request.compare.append(compare(key, change.precondition))
            if len(changes) <= MAX_LOOKED_AT:
                request.success.append(before)
            if isinstance(change, Put):
                request.success.add().request_put.MergeFrom(pb.PutRequest(key=key, value=change.value))
            else:
                request.success.append(delete_op(key))
            if may_fail:
                request.failure.append(before)
        if only_if_new:
            request.compare.append(absent(self._layout.version))
        if policy is not None:
            request.compare.append(last_written(self._layout.policy, policy))
            request.failure.append(range_op(self._layout.policy, keys_only=True))
        request.success.add().request_put.MergeFrom(pb.PutRequest(key=self._layout.version, value=version.encode()))
        if version.ack:
            request.success.append(self._range_slots())
        return request

    async def _before(self, changes: Sequence[Change], revision: Revision, timeout: float) -> tuple[Revision, ...]:
        """What a large write found, looked up in the revision before it. Raises OutcomeUnknown, though it happened."""
        asked = (range_op(self._layout.document(each.key), keys_only=True, revision=revision - 1) for each in changes)
        try:
            answer = await self._calls.ask(Call("before", "txn", pb.TxnRequest(success=asked)), timeout)
        except StoreError as error:
            raise OutcomeUnknown(
                f"written at revision {revision}, but what was there before is lost: {error}"
            ) from error
        return tuple(answers.mod_revision(response.response_range) for response in answer.responses)

    def _range_slots(self) -> Any:
        """Without whoever has gone: a synchronous write has no use for them."""
        return range_op(self._layout.members, range_end=self._layout.slots_end, keys_only=True)
