"""Where things lie in etcd, the pieces of what it is asked about them, and the one transaction that writes documents.

Owns the names of keys beneath the prefix P, there and back:

    P/config/<key>                the document
    P/version                     what the last write changed; its mod_revision is the logical clock
    P/members/00 … 63             one instance of the fleet, attached to its lease
    P/members/00/ack              the revision up to which that instance has applied versions
    P/members/waiting/<lease>     one that waits for a slot, attached to its lease
    P/members/departed/<lease>    who has gone, how and when, attached to a lease of an hour
    P/past/<key>\\0<n>            what a write has left of itself, for when etcd has compacted it; see `core.records`
    P/past/<key>\\0               what of these has been removed
    P/past/\\0                    since when every write leaves one
    P/fleet                       the fleet's id
    P/policy                      the fleet's policy
    P/intents/<nonce>             a guarded write that is under way, attached to its writer's lease
    P/doctor/<nonce>              what `python -m service doctor` writes and removes again

Names are UTF-8. Bytes that are not (another tool may have put them) survive the way there and back unchanged, as
the lone surrogates of PEP 383. Which keys a caller may use is decided elsewhere.

A write is one transaction with the version key (rule 1), sent once, and looks at what it found before. It leaves
records of itself (rule 19). `Commits` is a part of `store`, which has the calls.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, assert_never

from etcd3 import etcdrpc as pb  # type: ignore[import-untyped]

from consistency.core.model import (
    SLOTS,
    Author,
    Fence,
    MustBeAbsent,
    MustBeAt,
    MustExist,
    Precondition,
    Revision,
    VersionRecord,
)
from consistency.core.records import FRESH, Keeping, Op, Record
from consistency.core.store import Change, Commit, Delete, Header, Put, TooLarge
from consistency.etcd.calls import Call, Calls

# Names of keys

NO_END = b"\x00"
"""As the end of a range, to etcd: all keys from its beginning on."""

_SLOT = re.compile(rb"[0-9]{2}")
_LEASE = re.compile(rb"[0-9a-f]{1,16}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Layout:
    """The keys of one service. `Layout("team")` and `Layout("team/")` are the same one.

    Raises ValueError when the prefix holds a control character.
    """

    prefix: str
    version: bytes = field(init=False)
    fleet: bytes = field(init=False)
    policy: bytes = field(init=False)
    intents: bytes = field(init=False)
    documents: bytes = field(init=False)
    members: bytes = field(init=False)
    slots_end: bytes = field(init=False)  # the slots and their acknowledgements are from `members` up to here
    departed: bytes = field(init=False)
    waiting: bytes = field(init=False)
    pasts: bytes = field(init=False)
    began: bytes = field(init=False)

    def __post_init__(self) -> None:
        if _CONTROL.search(self.prefix):
            raise ValueError(f"prefix {self.prefix!r} holds a control character; expected a name such as 'team/shop'")
        prefix = self.prefix.rstrip("/")
        for name, value in (
            ("prefix", prefix),
            ("version", encode(f"{prefix}/version")),
            ("fleet", encode(f"{prefix}/fleet")),
            ("policy", encode(f"{prefix}/policy")),
            ("intents", encode(f"{prefix}/intents/")),
            ("documents", encode(f"{prefix}/config/")),
            ("members", encode(f"{prefix}/members/")),
            ("slots_end", encode(f"{prefix}/members/:")),  # the character after 9
            ("departed", encode(f"{prefix}/members/departed/")),
            ("waiting", encode(f"{prefix}/members/waiting/")),
            ("pasts", encode(f"{prefix}/past/")),
            ("began", encode(f"{prefix}/past/\0")),
        ):
            object.__setattr__(self, name, value)

    def document(self, key: str) -> bytes:
        """The etcd key of a document."""
        return self.documents + encode(key)

    def key_of(self, raw: bytes) -> str:
        """The caller's name of a document. Raises ValueError when `raw` is not the key of one."""
        if not raw.startswith(self.documents):
            raise ValueError(f"{raw!r} is not beneath {self.documents!r}")
        return decode(raw[len(self.documents) :])

    def past(self, key: str, name: str = "") -> bytes:
        """The etcd key of a record of a key's past; without a name, of what is known of all of them."""
        return b"%b%b\0%b" % (self.pasts, encode(key), encode(name))

    def past_of(self, raw: bytes) -> tuple[str, str] | None:
        """The key and the name of a record; None for what is none, or is about no key."""
        key, separator, name = raw[len(self.pasts) :].rpartition(b"\0")
        return (decode(key), decode(name)) if raw.startswith(self.pasts) and separator and key else None

    def pasts_listing(self, prefix: str, after: bytes) -> tuple[bytes, bytes]:
        """The range of all records of keys that start with `prefix`, after this one of them (b"" = from the first)."""
        first = self.pasts + encode(prefix)
        return max(first, successor(after)) if after else first, range_end(first)

    def member(self, slot: int) -> bytes:
        """The etcd key of a slot. Raises ValueError outside of 0 to 63."""
        if not 0 <= slot < SLOTS:
            raise ValueError(f"slot must be between 0 and {SLOTS - 1}, not {slot}")
        return b"%b%02d" % (self.members, slot)

    def ack(self, slot: int) -> bytes:
        """The etcd key of a slot's acknowledgement."""
        return self.member(slot) + b"/ack"

    def departure(self, lease: int) -> bytes:
        """The etcd key of what is known of somebody who has gone, by the lease that held its slot."""
        return self.departed + b"%x" % lease

    def wait(self, lease: int) -> bytes:
        """The etcd key of an instance that waits for a slot."""
        return self.waiting + b"%x" % lease

    def intent(self, nonce: str) -> bytes:
        """The etcd key of a guarded write that is under way."""
        return self.intents + encode(nonce)

    def nonce_of(self, raw: bytes) -> str | None:
        """The nonce of the intent whose key this is; None for what is no such key."""
        return decode(raw[len(self.intents) :]) if raw.startswith(self.intents) else None

    def doctor(self, nonce: str) -> bytes:
        """A key that means nothing to anybody, for a trial of writing."""
        return encode(f"{self.prefix}/doctor/{nonce}")

    def slot_of(self, raw: bytes) -> int | None:
        """The slot whose member key this is; None for an acknowledgement, or for what is no key of ours."""
        name = raw[len(self.members) :]
        ours = raw.startswith(self.members) and _SLOT.fullmatch(name) and int(name) < SLOTS
        return int(name) if ours else None

    def held_slot_of(self, raw: bytes, lease: int) -> int | None:
        """The slot that is held by this key, attached to this lease; None without one, since that is nobody (rule 9).

        1. Somebody puts a member key by hand. 2. Nobody renews it, acknowledges for it, or ever takes it away.
        """
        return self.slot_of(raw) if lease else None

    def acked_slot_of(self, raw: bytes, lease: int) -> int | None:
        """The slot whose acknowledgement this is; None for anything else, and for one without a lease (rule 12)."""
        return self.slot_of(raw.removesuffix(b"/ack")) if lease and raw.endswith(b"/ack") else None

    def departed_lease_of(self, raw: bytes) -> int | None:
        """The lease of whoever has gone; None for what is no such key."""
        return _lease_beneath(self.departed, raw)

    def waiting_lease_of(self, raw: bytes) -> int | None:
        """The lease of whoever waits for a slot; None for what is no such key."""
        return _lease_beneath(self.waiting, raw)

    def listing(self, prefix: str, after: str | bytes) -> tuple[bytes, bytes]:
        """The range of documents whose key starts with `prefix` and comes after `after` ("" = from the first).

        Bytes: from this name on, itself included.
        """
        first, end = self.document(prefix), range_end(self.document(prefix))
        if isinstance(after, bytes):
            return max(first, self.documents + after), end
        return max(first, successor(self.document(after))) if after else first, end


def _lease_beneath(prefix: bytes, raw: bytes) -> int | None:
    name = raw[len(prefix) :]
    return int(name, 16) if raw.startswith(prefix) and _LEASE.fullmatch(name) else None


def encode(name: str) -> bytes:
    """A name as etcd stores it. Raises ValueError for a surrogate that stands for no byte."""
    return name.encode("utf-8", "surrogateescape")


def decode(raw: bytes) -> str:
    """The inverse of `encode`, for any bytes."""
    return raw.decode("utf-8", "surrogateescape")


def successor(key: bytes) -> bytes:
    """The first key after `key`."""
    return key + b"\x00"


def range_end(prefix: bytes) -> bytes:
    """The first key that is after every key starting with `prefix`; NO_END when there is none."""
    stem = prefix.rstrip(b"\xff")
    return stem[:-1] + bytes([stem[-1] + 1]) if stem else NO_END


# Pieces of what is asked, and of what is answered


def range_op(key: bytes, **options: Any) -> Any:
    """What is under one key, or from it on to `range_end`; options of etcd's RangeRequest."""
    return pb.RequestOp(request_range=pb.RangeRequest(key=key, **options))


def put_op(key: bytes, value: bytes, lease: int = 0) -> Any:
    """Put it, attached to the lease if there is one."""
    return pb.RequestOp(request_put=pb.PutRequest(key=key, value=value, lease=lease))


def delete_op(key: bytes) -> Any:
    """Delete one key."""
    return pb.RequestOp(request_delete_range=pb.DeleteRangeRequest(key=key))


def add_range(operations: Any, key: bytes, **options: Any) -> None:
    """Add `range_op` to a transaction's operations. Made where it stands, it takes a third of the time."""
    operations.add(request_range={"key": key, **options})


def add_put(operations: Any, key: bytes, value: bytes) -> Any:
    """Add a put to a transaction's operations. Return the message, whose value may still be changed."""
    put = operations.add().request_put
    put.key, put.value = key, value
    return put


def add_deletion(operations: Any, key: bytes) -> None:
    """Add the deletion of one key to a transaction's operations."""
    operations.add().request_delete_range.key = key


def add_if(operations: Any, condition: Any) -> Any:
    """Add a transaction within a transaction. Return its operations, none as yet, for when `condition` holds."""
    within = operations.add().request_txn
    within.compare.append(condition)
    return within.success


def watch_request(key: bytes, end: bytes, start: Revision) -> Any:
    """Return the request to watch one key, or from it on to `end`, from a revision on."""
    return pb.WatchRequest(create_request=pb.WatchCreateRequest(key=key, range_end=end, start_revision=start))


def held_by(key: bytes, lease: int) -> Any:
    """If the key is attached to this lease; an absent one has lease 0."""
    return pb.Compare(key=key, target=pb.Compare.LEASE, result=pb.Compare.EQUAL, lease=lease)


def absent(key: bytes) -> Any:
    """If there is no such key."""
    return pb.Compare(key=key, target=pb.Compare.CREATE, result=pb.Compare.EQUAL, create_revision=0)


def last_written(key: bytes, revision: Revision) -> Any:
    """If the key was last written at this revision; 0: if there is none."""
    return pb.Compare(key=key, target=pb.Compare.MOD, result=pb.Compare.EQUAL, mod_revision=revision)


def compare(key: bytes, precondition: Precondition) -> Any:
    """If the precondition holds."""
    match precondition:
        case MustBeAbsent():
            return absent(key)
        case MustExist():
            return pb.Compare(key=key, target=pb.Compare.CREATE, result=pb.Compare.GREATER, create_revision=0)
        case MustBeAt(mod_revision=wanted):
            return last_written(key, wanted)
        case _:
            assert_never(precondition)


def header_of(answer: Any) -> Header:
    """Return the header of any answer."""
    return Header(answer.header.cluster_id, answer.header.revision)


def ranges_of(answer: Any) -> list[Any]:
    """The answers to a transaction's ranges, in their order; those of transactions within it, too."""
    found = []
    for part in answer.responses:
        if part.HasField("response_range"):
            found.append(part.response_range)
        elif part.HasField("response_txn"):
            found += ranges_of(part.response_txn)
    return found


def mod_revision_of(ranged: Any) -> Revision:
    """The mod_revision of the one key ranged over, 0 if it is absent."""
    for kv in ranged.kvs:
        return int(kv.mod_revision)
    return 0


def slots_of(layout: Layout, ranged: Any) -> tuple[int, ...]:
    """Return the slots that are held, from a range over `P/members/`."""
    return tuple(slot for slot, _ in held_slots(layout, ranged))


def held_slots(layout: Layout, ranged: Any) -> Iterator[tuple[int, Any]]:
    """Yield the slots that are held, in a range over `P/members/`, each with what lies there."""
    for kv in ranged.kvs:
        if (slot := layout.held_slot_of(kv.key, kv.lease)) is not None:
            yield slot, kv


# Writing documents

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
        header, ranges = header_of(answer), ranges_of(answer)
        members = slots_of(self._layout, ranges.pop()) if answer.succeeded and version.ack else ()
        found, lapsed = policy or 0, False
        if fence is not None and not answer.succeeded:
            lapsed = mod_revision_of(ranges.pop()) != fence.revision
        if policy is not None and not answer.succeeded:
            found = mod_revision_of(ranges.pop())
        before = tuple(map(mod_revision_of, ranges))
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
