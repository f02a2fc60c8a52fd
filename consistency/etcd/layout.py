"""Where things lie in etcd: the names of keys beneath the prefix P, and back.

Owns the table below and nothing else. Pure: no I/O, and no opinion on which keys a caller may use.

    P/config/<key>                the document
    P/version                     what the last write changed; its mod_revision is the logical clock
    P/members/00 … 63             one instance of the fleet, attached to its lease
    P/members/00/ack              the revision up to which that instance has applied versions
    P/members/waiting/<lease>     one that waits for a slot, attached to its lease
    P/members/departed/<lease>    who has gone, how and when, attached to a lease of an hour
    P/past/<key>\\0<n>            what a write has left of itself, for when etcd has compacted it; see `core.past`
    P/past/<key>\\0               what of these has been removed
    P/past/\\0                    since when every write leaves one
    P/fleet                       the fleet's id
    P/policy                      the fleet's policy
    P/intents/<nonce>             a guarded write that is under way, attached to its writer's lease
    P/doctor/<nonce>              what `python -m service doctor` writes and removes again

Names are UTF-8. Bytes that are not (another tool may have put them) survive the way there and back unchanged, as
the lone surrogates of PEP 383.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from consistency.core.model import SLOTS

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
