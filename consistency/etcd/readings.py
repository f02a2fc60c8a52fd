"""What etcd answers, read into the words of the protocol. Pure: answers are told by their fields alone.

The plainest (its header, its ranges, when a key was written, which slots are held) are read in `transactions`, which
needs them itself.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from consistency.core.model import NO_VERSION, Departure, Document, Intent, Member, Policy, VersionRecord, VersionState
from consistency.core.store import Found, Listed, Rejected
from consistency.etcd.transactions import Layout, decode, held_slots

_FLEET = re.compile(rb"[0-9a-f]{16}")

version_record = lru_cache(maxsize=4)(VersionRecord.decode)
"""Every proof shows the version, which is mostly the one of before. A value has 1.5 MiB at most."""

_policy = lru_cache(maxsize=2)(Policy.read)
"""Every survey shows the policy, which is mostly the one of before."""

UNCHANGED = Found(present=True, document=None)
ABSENT = Found(present=False, document=None)


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


def members(layout: Layout, ranged: Any) -> tuple[Member, ...]:
    """Return the members in a range over `P/members/`, without the acknowledgements, by slot."""
    return tuple(member(slot, kv) for slot, kv in held_slots(layout, ranged))


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


def listed(layout: Layout, kvs: Any) -> tuple[Listed, ...]:
    """Return the documents of a range that asked for no values."""
    return tuple(Listed(layout.key_of(kv.key), kv.mod_revision, kv.create_revision) for kv in kvs)


def member(slot: int | None, kv: Any) -> Member:
    """Return the member whose key this is; slot: None if it waits for one."""
    return Member.read(slot, kv.lease, kv.create_revision, decode(kv.value))


def departure(lease: int, kv: Any) -> Departure | None:
    """Return who has gone, by what is left of it. Without a lease it would stay for ever: then it is none of ours."""
    return Departure.decode(lease, kv.value) if kv.lease else None
