"""Pieces of what etcd is asked, made of the words of the protocol; and its answers, read into these words. Pure.

Owns the form of both. Answers are told by their fields alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, assert_never

from etcd3 import etcdrpc as pb  # type: ignore[import-untyped]

from consistency.core.model import (
    NO_VERSION,
    Departure,
    Document,
    Intent,
    Member,
    MustBeAbsent,
    MustBeAt,
    MustExist,
    Policy,
    Precondition,
    Revision,
    VersionRecord,
    VersionState,
)
from consistency.core.store import Found, Header, Listed, Rejected
from consistency.etcd.layout import Layout, decode

# What it is asked


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


# What it answers

_FLEET = re.compile(rb"[0-9a-f]{16}")

version_record = lru_cache(maxsize=4)(VersionRecord.decode)
"""Every proof shows the version, which is mostly the one of before. A value has 1.5 MiB at most."""

_policy = lru_cache(maxsize=2)(Policy.read)
"""Every survey shows the policy, which is mostly the one of before."""

UNCHANGED = Found(present=True, document=None)
ABSENT = Found(present=False, document=None)


def header(answer: Any) -> Header:
    """Return the header of any answer."""
    return Header(answer.header.cluster_id, answer.header.revision)


def version_state(ranged: Any) -> VersionState:
    """Return what a range over the version key tells."""
    for kv in ranged.kvs:
        return VersionState(kv.mod_revision, kv.create_revision, kv.version, version_record(kv.value).nonce)
    return NO_VERSION


def found(ranged: Any) -> Found:
    """Return what a range over one document has found. With `min_mod_revision`: count 1 without a kv is unchanged,
    count 0 is absent."""
    for kv in ranged.kvs:
        return Found(present=True, document=Document(kv.value, kv.mod_revision, kv.create_revision, kv.lease))
    return UNCHANGED if ranged.count else ABSENT


def lease_of(ranged: Any) -> int:
    """The lease of the one key ranged over, 0 if it is absent."""
    for kv in ranged.kvs:
        return int(kv.lease)
    return 0


def mod_revision(ranged: Any) -> Revision:
    """The mod_revision of the one key ranged over, 0 if it is absent."""
    for kv in ranged.kvs:
        return int(kv.mod_revision)
    return 0


def members(layout: Layout, ranged: Any) -> tuple[Member, ...]:
    """Return the members in a range over `P/members/`, without the acknowledgements, by slot."""
    return tuple(member(slot, kv) for slot, kv in _held(layout, ranged))


def waiting(layout: Layout, ranged: Any) -> tuple[Member, ...]:
    """Return those in a range over `P/members/` that wait for a slot, in the order of coming."""
    found = (kv for kv in ranged.kvs if layout.waiting_lease_of(kv.key) == kv.lease != 0)
    return tuple(member(None, kv) for kv in sorted(found, key=lambda kv: kv.create_revision))


def departed(layout: Layout, ranged: Any) -> tuple[Departure, ...]:
    """Return those in a range over `P/members/` that have gone lately."""
    found = ((layout.departed_lease_of(kv.key), kv) for kv in ranged.kvs)
    told = (departure(lease, kv) for lease, kv in found if lease is not None)
    return tuple(each for each in told if each is not None)


def fleet_id(layout: Layout, ranged: Any) -> str:
    """Return the identity of the fleet from a range over `P/fleet`. Raises Rejected when something else has been put
    there."""
    found = ranged.kvs[0].value if ranged.kvs else b""
    if not _FLEET.fullmatch(found):
        raise Rejected(f"{decode(layout.fleet)} is not 16 hexadecimal digits; once it is removed, it is made anew")
    return str(found.decode())


def policy(ranged: Any) -> Policy:
    """Return the policy from a range over `P/policy`."""
    for kv in ranged.kvs:
        return _policy(kv.value, kv.mod_revision)
    return Policy.none()


def intents(layout: Layout, ranged: Any) -> tuple[Intent, ...]:
    """Return the guarded writes under way, from a range over `P/intents/`. One without a lease is nobody's; what can't
    be read holds every key."""
    found = []
    for kv in ranged.kvs:
        nonce = layout.nonce_of(kv.key)
        if nonce is not None and kv.lease:
            told = version_record(kv.value).intent
            found.append(Intent(nonce, told.keys if told is not None else None))
    return tuple(found)


def nonces(layout: Layout, ranged: Any) -> frozenset[str]:
    """Return the nonces of the intents in a range over `P/intents/`."""
    named = (layout.nonce_of(kv.key) for kv in ranged.kvs if kv.lease)
    return frozenset(nonce for nonce in named if nonce is not None)


def ranges(answer: Any) -> list[Any]:
    """The answers to a transaction's ranges, in their order; those of transactions within it, too."""
    found = []
    for part in answer.responses:
        if part.HasField("response_range"):
            found.append(part.response_range)
        elif part.HasField("response_txn"):
            found += ranges(part.response_txn)
    return found


def slots(layout: Layout, ranged: Any) -> tuple[int, ...]:
    """Return the slots that are held, from a range over `P/members/`."""
    return tuple(slot for slot, _ in _held(layout, ranged))


def _held(layout: Layout, ranged: Any) -> Iterator[tuple[int, Any]]:
    for kv in ranged.kvs:
        if (slot := layout.held_slot_of(kv.key, kv.lease)) is not None:
            yield slot, kv


def listed(layout: Layout, kvs: Any) -> tuple[Listed, ...]:
    """Return the documents of a range that asked for no values."""
    return tuple(Listed(layout.key_of(kv.key), kv.mod_revision, kv.create_revision) for kv in kvs)


def member(slot: int | None, kv: Any) -> Member:
    """Return the member whose key this is; slot: None if it waits for one."""
    return Member.read(slot, kv.lease, kv.create_revision, decode(kv.value))


def departure(lease: int, kv: Any) -> Departure | None:
    """Return who has gone, by what is left of it. Without a lease it would stay for ever: then it is none of ours."""
    return Departure.decode(lease, kv.value) if kv.lease else None
