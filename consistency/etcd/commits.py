"""How documents are written: one transaction with the version key (rule 1), sent once, and what it found before.

It leaves records of itself (rule 19). A part of `store`, which has the calls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from etcd3 import etcdrpc as pb  # type: ignore[import-untyped]

from consistency.core.model import Fence, MustExist, Revision, VersionRecord
from consistency.core.past import FRESH, Keeping, Op, Record
from consistency.core.store import Change, Commit, Delete, Put, TooLarge
from consistency.etcd import messages as answers
from consistency.etcd.calls import Call, Calls
from consistency.etcd.layout import Layout
from consistency.etcd.requests import absent, compare, delete_op, last_written, put_op, range_op

MAX_CHANGES = 100
"""Most changes of one commit."""

MAX_OPERATIONS = 124
"""Most operations that go without transactions within the transaction: etcd's 128, less some for the whole of it."""

AT_ONCE = 6
"""Changes in each transaction within: etcd allows it as many operations as the outer one leaves of 128. That has up to
103 operations for when it fails, and a change takes four."""

FRAME = 16
"""Bytes that a longer value may add to the lengths of what it is within."""

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
        keeping: Keeping | None = None,
        fence: Fence | None = None,
        timeout: float,
    ) -> Commit:
        """See Store.commit. Raises TooLarge over MAX_CHANGES or MAX_REQUEST, before anything is sent."""
        request = self._transaction(changes, version, only_if_new, policy, keeping)
        if new_policy is not None:
            request.success.append(put_op(self._layout.policy, new_policy))
        if fence is not None:
            self._end(request, fence)
        if len(changes) > MAX_CHANGES or request.ByteSize() > MAX_REQUEST:
            raise TooLarge(
                f"a write of {len(changes)} changes and {request.ByteSize():,} bytes; "
                f"etcd takes at most {MAX_CHANGES} changes and {MAX_REQUEST:,} bytes"
            )
        if keeping is not None:
            self._leave_documents(request, changes, version, keeping)
        answer = await self._calls.send(Call("commit", "txn", request, write=True), timeout)
        header, ranges = answers.header(answer), answers.ranges(answer)
        members = answers.slots(self._layout, ranges.pop()) if answer.succeeded and version.ack else ()
        found, lapsed = policy or 0, False
        if fence is not None and not answer.succeeded:
            lapsed = answers.mod_revision(ranges.pop()) != fence.revision
        if policy is not None and not answer.succeeded:
            found = answers.mod_revision(ranges.pop())
        before = tuple(map(answers.mod_revision, ranges))
        return Commit(header, answer.succeeded, before, members, found, lapsed)

    def _transaction(
        self,
        changes: Sequence[Change],
        version: VersionRecord,
        only_if_new: bool,
        policy: Revision | None,
        keeping: Keeping | None,
    ) -> Any:
        """What was there before is asked for in the same breath."""
        request = pb.TxnRequest()
        may_fail = only_if_new or policy is not None or any(change.precondition is not None for change in changes)
        for change in changes:
            key = self._layout.document(change.key)
            if change.precondition is not None:
                request.compare.append(compare(key, change.precondition))
            if may_fail:
                request.failure.append(range_op(key, keys_only=True))
        request.success.extend(_grouped([self._operations(change, version, keeping) for change in changes]))
        if not changes and keeping is not None:
            request.success.extend(self._outside(version, keeping))
        if changes and keeping is None:  # history has ended: see rule 19
            request.success.append(delete_op(self._layout.began))
        if only_if_new:
            request.compare.append(absent(self._layout.version))
        if policy is not None:
            request.compare.append(last_written(self._layout.policy, policy))
            request.failure.append(range_op(self._layout.policy, keys_only=True))
        request.success.add().request_put.MergeFrom(pb.PutRequest(key=self._layout.version, value=version.encode()))
        if version.ack:
            request.success.append(self._range_slots())
        return request

    def _operations(self, change: Change, version: VersionRecord, keeping: Keeping | None) -> list[Any]:
        """Look at what is there, change it, and leave a record; beside it, if there was nothing, that this was so.

        etcd compares within a transaction before it changes anything: both questions are about what was there before.
        """
        key = self._layout.document(change.key)
        operations = [
            range_op(key, keys_only=True),
            put_op(key, change.value) if isinstance(change, Put) else delete_op(key),
        ]
        if keeping is None:
            return operations
        op, size = (Op.PUT, len(change.value)) if isinstance(change, Put) else (Op.DELETE, 0)
        record = Record(0, op, keeping.at, version.authors.of(change.key), size)
        leave = put_op(self._layout.past(change.key, version.nonce + op), record.encode())
        if isinstance(change, Delete):  # of an absent key it is no change
            return [*operations, _if(compare(key, MustExist()), leave)]
        fresh = put_op(self._layout.past(change.key, version.nonce + FRESH), b"")
        return [*operations, leave, _if(absent(key), fresh)]

    def _outside(self, version: VersionRecord, keeping: Keeping) -> list[Any]:
        """Records of what an audit has found, which is in the version that tells of it."""
        value = Record(0, Op.OUTSIDE, keeping.at).encode()
        return [
            put_op(self._layout.past(key, version.nonce + Op.OUTSIDE), value) for key in sorted(version.names or ())
        ]

    def _leave_documents(
        self, request: Any, changes: Sequence[Change], version: VersionRecord, keeping: Keeping
    ) -> None:
        """Put the documents into the records, as long as there is room: a write never fails for its history."""
        left = MAX_REQUEST - request.ByteSize()
        documents = {
            self._layout.past(change.key, version.nonce + Op.PUT): change
            for change in changes
            if isinstance(change, Put) and len(change.value) <= keeping.max_bytes
        }
        for operation in _flat(request.success):
            change = documents.get(operation.request_put.key)
            if change is None or len(change.value) + FRAME > left:
                continue
            left -= len(change.value) + FRAME
            author = version.authors.of(change.key)
            record = Record(0, Op.PUT, keeping.at, author, len(change.value), change.value)
            operation.request_put.value = record.encode()

    def _end(self, request: Any, fence: Fence) -> None:
        """Let the transaction succeed only if the intent is still there. It ends the intent either way (rule 16)."""
        intent = self._layout.intent(fence.nonce)
        request.compare.append(last_written(intent, fence.revision))
        request.success.append(delete_op(intent))
        request.failure.extend((range_op(intent, keys_only=True), delete_op(intent)))

    def _range_slots(self) -> Any:
        """Without whoever has gone: a synchronous write has no use for them."""
        return range_op(self._layout.members, range_end=self._layout.slots_end, keys_only=True)


def _if(condition: Any, operation: Any) -> Any:
    return pb.RequestOp(request_txn=pb.TxnRequest(compare=[condition], success=[operation]))


def _grouped(operations: Sequence[Sequence[Any]]) -> list[Any]:
    """The operations of several changes: one after the other, or, if those are too many, some in each of several."""
    if sum(map(len, operations)) <= MAX_OPERATIONS:
        return [each for of_one in operations for each in of_one]
    groups = (operations[start : start + AT_ONCE] for start in range(0, len(operations), AT_ONCE))
    return [
        pb.RequestOp(request_txn=pb.TxnRequest(success=[each for of_one in group for each in of_one]))
        for group in groups
    ]


def _flat(operations: Iterable[Any]) -> Iterator[Any]:
    for operation in operations:
        if operation.HasField("request_txn"):
            yield from _flat(operation.request_txn.success)
        else:
            yield operation
