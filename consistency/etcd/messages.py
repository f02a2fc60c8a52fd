"""From etcd's answers to the words of the protocol. Pure: messages come in, frozen values go out.

Owns the reading of etcd's messages. They are told by their fields alone, so nothing of gRPC is imported here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from consistency.core.model import (
    NO_VERSION,
    AckEvent,
    Departure,
    DepartureEvent,
    Document,
    Intent,
    Member,
    MemberEvent,
    Policy,
    Revision,
    VersionEvent,
    VersionRecord,
    VersionState,
    WaitingEvent,
)
from consistency.core.store import Found, Header, Listed, Rejected, WatchEvent
from consistency.etcd.layout import Layout, decode

_DELETE = 1  # mvccpb.Event.EventType
_FLEET = re.compile(rb"[0-9a-f]{16}")
_REVISION = re.compile(rb"[0-9]{1,19}")  # no more digits than 64 bits hold

_decoded = lru_cache(maxsize=4)(VersionRecord.decode)
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
        return VersionState(kv.mod_revision, kv.create_revision, kv.version, _decoded(kv.value).nonce)
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
    return tuple(_member(slot, kv) for slot, kv in _held(layout, ranged))


def waiting(layout: Layout, ranged: Any) -> tuple[Member, ...]:
    """Return those in a range over `P/members/` that wait for a slot, in the order of coming."""
    found = (kv for kv in ranged.kvs if layout.waiting_lease_of(kv.key) == kv.lease != 0)
    return tuple(_member(None, kv) for kv in sorted(found, key=lambda kv: kv.create_revision))


def departed(layout: Layout, ranged: Any) -> tuple[Departure, ...]:
    """Return those in a range over `P/members/` that have gone lately."""
    found = ((layout.departed_lease_of(kv.key), kv) for kv in ranged.kvs)
    told = (_departure(lease, kv) for lease, kv in found if lease is not None)
    return tuple(departure for departure in told if departure is not None)


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
            told = _decoded(kv.value).intent
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


def events(layout: Layout, answer: Any) -> Iterator[WatchEvent]:
    """Yield the events of one answer of a watch, in its order. Keys that concern nobody are passed over."""
    for event in answer.events:
        kv, gone = event.kv, event.type == _DELETE
        if kv.key == layout.version:
            yield _version_event(kv, gone)
        elif (slot := layout.slot_of(kv.key)) is not None:
            held = not gone and layout.held_slot_of(kv.key, kv.lease) is not None
            yield MemberEvent(kv.mod_revision, slot, _member(slot, kv) if held else None)
        elif (slot := layout.acked_slot_of(kv.key, kv.lease)) is not None:
            if _REVISION.fullmatch(kv.value):
                yield AckEvent(kv.mod_revision, slot, int(kv.value))
        elif (lease := layout.departed_lease_of(kv.key)) is not None:
            yield DepartureEvent(kv.mod_revision, lease, None if gone else _departure(lease, kv))
        elif (lease := layout.waiting_lease_of(kv.key)) is not None:
            yield WaitingEvent(kv.mod_revision, lease, _member(None, kv) if kv.lease == lease != 0 else None)


def event_of(state: VersionState, record: VersionRecord) -> VersionEvent:
    """What the watch tells of a version, which stands as `state`."""
    return VersionEvent(
        state,
        record.names,
        record.ack,
        record.op,
        record.authors,
        record.policy,
        record.kept,
        record.intent,
        record.release,
    )


def _version_event(kv: Any, gone: bool) -> VersionEvent:
    if gone:
        return VersionEvent(VersionState(kv.mod_revision, created=0, count=0, nonce=""), names=None)
    record = _decoded(kv.value)
    state = VersionState(kv.mod_revision, kv.create_revision, kv.version, record.nonce)
    return event_of(state, record)


def _member(slot: int | None, kv: Any) -> Member:
    return Member.read(slot, kv.lease, kv.create_revision, decode(kv.value))


def _departure(lease: int, kv: Any) -> Departure | None:
    """Without a lease of its own it would stay for ever: not of ours."""
    return Departure.decode(lease, kv.value) if kv.lease else None
