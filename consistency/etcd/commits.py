"""How documents are written: one transaction with the version key (rule 1), sent once, and what it found before.

It leaves records of itself (rule 19). A part of `store`, which has the calls.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from etcd3 import etcdrpc as pb  # type: ignore[import-untyped]

from consistency.core.model import Author, Fence, MustExist, Revision, VersionRecord
from consistency.core.past import FRESH, Keeping, Op, Record
from consistency.core.store import Change, Commit, Delete, Put, TooLarge
from consistency.etcd import messages
from consistency.etcd.calls import Call, Calls
from consistency.etcd.layout import Layout
from consistency.etcd.messages import absent, add_deletion, add_if, add_put, add_range, compare, last_written

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

Left = tuple[Any, Record]
"""The message that puts a record, and what is in the record."""


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
        request = self._transaction(changes, version, only_if_new, policy, new_policy, keeping, fence)
        answer = await self._calls.send(Call("commit", "txn", request, write=True), timeout)
        header, ranges = messages.header(answer), messages.ranges(answer)
        members = messages.slots(self._layout, ranges.pop()) if answer.succeeded and version.ack else ()
        found, lapsed = policy or 0, False
        if fence is not None and not answer.succeeded:
            lapsed = messages.mod_revision(ranges.pop()) != fence.revision
        if policy is not None and not answer.succeeded:
            found = messages.mod_revision(ranges.pop())
        before = tuple(map(messages.mod_revision, ranges))
        return Commit(header, answer.succeeded, before, members, found, lapsed)

    def _transaction(
        self,
        changes: Sequence[Change],
        version: VersionRecord,
        only_if_new: bool,
        policy: Revision | None,
        new_policy: bytes | None,
        keeping: Keeping | None,
        fence: Fence | None,
    ) -> Any:
        """Return what is sent. Raises TooLarge."""
        request = pb.TxnRequest()
        self._compare(request, changes, only_if_new, policy)
        records = self._change(request.success, changes, version, keeping)
        add_put(request.success, self._layout.version, version.encode())
        if version.ack:  # without whoever has gone: a synchronous write has no use for them
            add_range(request.success, self._layout.members, range_end=self._layout.slots_end, keys_only=True)
        if new_policy is not None:
            add_put(request.success, self._layout.policy, new_policy)
        if fence is not None:
            self._end(request, fence)
        size = request.ByteSize()
        if size > MAX_REQUEST:
            size = _lighten(request, records)
        if len(changes) > MAX_CHANGES or size > MAX_REQUEST:
            raise TooLarge(
                f"a write of {len(changes)} changes and {size:,} bytes; "
                f"etcd takes at most {MAX_CHANGES} changes and {MAX_REQUEST:,} bytes"
            )
        return request

    def _compare(self, request: Any, changes: Sequence[Change], only_if_new: bool, policy: Revision | None) -> None:
        """Say what has to hold, and ask in the same breath what is there if it does not."""
        if only_if_new or policy is not None or any(change.precondition is not None for change in changes):
            for change in changes:
                key = self._layout.document(change.key)
                if change.precondition is not None:
                    request.compare.append(compare(key, change.precondition))
                add_range(request.failure, key, keys_only=True)
        if only_if_new:
            request.compare.append(absent(self._layout.version))
        if policy is not None:
            request.compare.append(last_written(self._layout.policy, policy))
            add_range(request.failure, self._layout.policy, keys_only=True)

    def _change(
        self, operations: Any, changes: Sequence[Change], version: VersionRecord, keeping: Keeping | None
    ) -> list[Left]:
        """Look at what is there, and change it: one after the other, or, if those are too many, some in each of several
        transactions. Return the records that are left."""
        if not changes:
            return self._outside(operations, version, keeping) if keeping is not None else []
        if keeping is None:  # history has ended: see rule 19
            add_deletion(operations, self._layout.began)
        authors = version.authors.by_key([change.key for change in changes])
        grouped = sum(_operations(change, keeping) for change in changes) > MAX_OPERATIONS
        records, into = [], operations
        for number, change in enumerate(changes):
            if grouped and number % AT_ONCE == 0:
                into = operations.add().request_txn.success
            key = self._layout.document(change.key)
            add_range(into, key, keys_only=True)
            if isinstance(change, Put):
                add_put(into, key, change.value)
            else:
                add_deletion(into, key)
            if keeping is not None:
                records.append(self._leave(into, key, change, authors[change.key], version.nonce, keeping))
        return records

    def _leave(self, operations: Any, key: bytes, change: Change, author: Author, nonce: str, keeping: Keeping) -> Left:
        """Leave a record of a change; beside it, if there was nothing, that this was so.

        etcd compares within a transaction before it changes anything: both questions are about what was there before.
        """
        if isinstance(change, Delete):  # of an absent key it is no change
            record = Record(0, Op.DELETE, keeping.at, author)
            there = add_if(operations, compare(key, MustExist()))
            return add_put(there, self._layout.past(change.key, nonce + Op.DELETE), record.encode()), record
        size = len(change.value)
        record = Record(0, Op.PUT, keeping.at, author, size, change.value if size <= keeping.max_bytes else None)
        left = add_put(operations, self._layout.past(change.key, nonce + Op.PUT), record.encode())
        add_put(add_if(operations, absent(key)), self._layout.past(change.key, nonce + FRESH), b"")
        return left, record

    def _outside(self, operations: Any, version: VersionRecord, keeping: Keeping) -> list[Left]:
        """Records of what an audit has found, which is in the version that tells of it."""
        record = Record(0, Op.OUTSIDE, keeping.at)
        value = record.encode()
        return [
            (add_put(operations, self._layout.past(key, version.nonce + Op.OUTSIDE), value), record)
            for key in sorted(version.names or ())
        ]

    def _end(self, request: Any, fence: Fence) -> None:
        """Let the transaction succeed only if the intent is still there. It ends the intent either way (rule 16)."""
        intent = self._layout.intent(fence.nonce)
        request.compare.append(last_written(intent, fence.revision))
        add_deletion(request.success, intent)
        add_range(request.failure, intent, keys_only=True)
        add_deletion(request.failure, intent)


def _operations(change: Change, keeping: Keeping | None) -> int:
    """How many operations a change takes."""
    if keeping is None:
        return 2
    return 4 if isinstance(change, Put) else 3


def _lighten(request: Any, records: Sequence[Left]) -> int:
    """Leave out of the records the documents for which there is no room: a write never fails for its history.

    Return the bytes of the request then.
    """
    for left, record in records:
        left.value = replace(record, document=None).encode()
    room = MAX_REQUEST - request.ByteSize()
    for left, record in records:
        if record.document is not None and len(record.document) + FRAME <= room:
            room -= len(record.document) + FRAME
            left.value = record.encode()
    return int(request.ByteSize())
