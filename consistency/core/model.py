"""The words of the protocol as values.

Owns no state, does no I/O. Every class here is frozen: a value handed to another thread can't change under it.
Revisions are etcd's store revisions: they order everything. Keys are the caller's, without the prefix.
"""

from __future__ import annotations

import enum
import json
import math
import secrets
from dataclasses import dataclass
from typing import NamedTuple, assert_never

Revision = int
"""An etcd store revision. 0 stands for "none": etcd counts from 1."""

SLOTS = 64
"""Most instances that may cache at once (rule 9)."""

WAITING = 64
"""Instances beyond those that are shown and scraped while they wait for a slot. Still further ones serve unseen."""


@dataclass(frozen=True, slots=True)
class VersionState:
    """The version key as it stood at some revision: what two observers compare to know that they agree.

    `nonce` tells two histories apart that gave the same number to different writes (rule 8).
    """

    revision: Revision  # mod_revision
    created: Revision  # create_revision
    count: int  # etcd's per-key `version`: +1 for each write, so that a lost event shows
    nonce: str


NO_VERSION = VersionState(revision=0, created=0, count=0, nonce="")
"""The version key does not exist."""


@dataclass(frozen=True, slots=True)
class VersionRecord:
    """What a write puts under the version key.

    `names` are the keys changed by the same transaction; None means "anything may have changed".
    """

    nonce: str
    names: frozenset[str] | None
    op: str
    ack: bool = False

    def encode(self) -> bytes:
        """The JSON stored under `P/version`."""
        names = None if self.names is None else sorted(self.names)
        return json.dumps({"nonce": self.nonce, "keys": names, "op": self.op, "ack": self.ack}).encode()

    @classmethod
    def decode(cls, raw: bytes) -> VersionRecord:
        """Reads what `encode` wrote. Anything else, such as a value put by hand, means that all may have changed."""
        try:
            loaded = json.loads(raw)
            nonce, names, op = loaded["nonce"], loaded["keys"], loaded.get("op", "")
            if not (isinstance(nonce, str) and isinstance(op, str) and (names is None or _are_names(names))):
                raise ValueError("not as it is written here")
            known = None if names is None else frozenset(names)
            return cls(nonce, known, op, bool(loaded.get("ack", False)))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return cls(nonce=f"unreadable:{raw[:64].hex()}", names=None, op="unreadable")


def _are_names(found: object) -> bool:
    """Whether it is a list of what keys can be called: a surrogate that stands for no byte can't be asked for."""
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        return False
    "".join(found).encode("utf-8", "surrogateescape")
    return True


def new_nonce() -> str:
    """128 random bits, in hex."""
    return secrets.token_hex(16)


@dataclass(frozen=True, slots=True)
class VersionEvent:
    """One change of the version key, seen by the watch. A deletion has `state.count` 0."""

    state: VersionState
    names: frozenset[str] | None
    ack: bool = False
    op: str = ""


@dataclass(frozen=True, slots=True)
class Member:
    """One instance of the fleet, as its member key tells it. Without a slot it waits for one, and serves uncached."""

    slot: int | None
    lease: int
    created: Revision
    description: str  # JSON, as the instance wrote it


@dataclass(frozen=True, slots=True)
class MemberEvent:
    """One change beneath `P/members/`, seen by the watch. `member` is None when the slot became free."""

    revision: Revision
    slot: int
    member: Member | None


@dataclass(frozen=True, slots=True)
class WaitingEvent:
    """An instance waits for a slot, or, if `member` is None, does not wait any more."""

    revision: Revision
    lease: int
    member: Member | None


@dataclass(frozen=True, slots=True)
class Departure:
    """One instance that has gone, by the lease that held its key.

    slot: the one it held. how: "left" (it said so before it went), "lost" (its lease ended, or its key was deleted,
    and it had said nothing), or "back" (lost, and the same process is or was here again).
    at: seconds since 1970, by the clock of whoever wrote it down: for people. description: as in `Member`.
    """

    lease: int
    slot: int | None
    how: str
    at: float
    description: str

    def encode(self) -> bytes:
        """The JSON stored under `P/members/departed/<lease>`."""
        about = self.description if len(self.description) <= LONGEST_DESCRIPTION else "{}"
        told = {"slot": self.slot, "how": self.how, "at": round(self.at, 3), "description": about}
        return json.dumps(told).encode()

    @classmethod
    def decode(cls, lease: int, raw: bytes) -> Departure | None:
        """Reads what `encode` wrote; None for anything else."""
        try:
            told = json.loads(raw)
            slot, how, at, about = told["slot"], told["how"], told["at"], told["description"]
        except (ValueError, KeyError, TypeError, RecursionError):
            return None
        known = how in ("left", "lost") and (slot is None or (type(slot) is int and 0 <= slot < SLOTS))
        # A date that a calendar has: whoever shows it must not fail.
        dated = type(at) in (int, float) and math.isfinite(at) and 0 <= at < 1e11
        if not (known and dated and isinstance(about, str)):
            return None
        return cls(lease, slot, how, float(at), about)


LONGEST_DESCRIPTION = 4096
"""Characters of a description that are kept when its instance has gone."""


@dataclass(frozen=True, slots=True)
class DepartureEvent:
    """It was written down that somebody has gone, or, if `departure` is None, what was written is gone."""

    revision: Revision
    lease: int
    departure: Departure | None


@dataclass(frozen=True, slots=True)
class AckEvent:
    """The instance in `slot` has applied every version up to `applied`, seen by the watch (rule 12)."""

    revision: Revision
    slot: int
    applied: Revision


@dataclass(frozen=True, slots=True)
class Document:
    """A stored value. With a `lease` the key can vanish without a version event: it is never cached (rule 5)."""

    data: bytes
    mod_revision: Revision
    create_revision: Revision
    lease: int = 0


class Demand(NamedTuple):
    """What a read asks for.

    use_cache: False reads the value from the store, whatever is in memory.
    linearizable: no older than any write that was acknowledged before the request; from memory if unchanged (rule 11).
    min_revision: what this client has seen; the answer is no older (rule 10).
    session_unknown: it has seen something, nobody can tell what: perhaps all that was acknowledged before the request.
    So the read is linearizable, and never answered unproven (rule 10).
    stale_if_error: seconds of staleness, beyond the bound, that the client prefers to no answer at all.
    """

    use_cache: bool = True
    linearizable: bool = False
    min_revision: Revision = 0
    stale_if_error: float = 0.0
    session_unknown: bool = False


class Source(enum.StrEnum):
    """Where an answer came from: the truth behind `X-Cache`."""

    HIT = "HIT"  # from memory, without I/O
    MISS = "MISS"  # the value was loaded from etcd
    REVALIDATED = "REVALIDATED"  # from memory, after etcd confirmed it
    BYPASS = "BYPASS"  # the cache was not consulted
    STALE = "STALE"  # from memory, unproven, because the client allowed it


class Reading(NamedTuple):
    """The answer to a read.

    value: the document, or None when there is no such key.
    mod_revision: of the document; 0 when there is none.
    revision: the answer holds as of this revision (the session token, rule 10).
    source: where it came from.
    age: seconds since the proof that it rests on; 0.0 when etcd was asked for this read.
    """

    value: bytes | None
    mod_revision: Revision
    revision: Revision
    source: Source
    age: float


@dataclass(frozen=True, slots=True)
class Written:
    """The answer to a write: the revision it committed at, and whether the key existed before.

    A delete of an absent key writes nothing: then `existed` is False and `revision` is the one at which it was absent.
    acks: of a synchronous write (rule 12): how many instances acknowledged it, of how many; else None.
    """

    revision: Revision
    existed: bool
    acks: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Applied:
    """The answer to a batch of writes: its one revision, and for each change whether its key existed before."""

    revision: Revision
    existed: tuple[bool, ...]
    acks: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class MustExist:
    """Precondition `If-Match: *`."""


@dataclass(frozen=True, slots=True)
class MustBeAbsent:
    """Precondition `If-None-Match: *`."""


@dataclass(frozen=True, slots=True)
class MustBeAt:
    """Precondition `If-Match: "<mod_revision>"`."""

    mod_revision: Revision


Precondition = MustExist | MustBeAbsent | MustBeAt


def holds(precondition: Precondition | None, current: Revision) -> bool:
    """Whether a precondition holds for a key with this mod_revision, 0 if there is none."""
    match precondition:
        case None:
            return True
        case MustExist():
            return current > 0
        case MustBeAbsent():
            return current == 0
        case MustBeAt(wanted):
            return current == wanted
        case _:
            assert_never(precondition)


class PreconditionFailed(Exception):
    """A conditional write was refused: nothing was written.

    current: the key's mod_revision, 0 if there is none. revision: the store's, when it refused.
    """

    def __init__(self, key: str, current: Revision, revision: Revision = 0) -> None:
        super().__init__(f"{key!r} is at revision {current}" if current else f"{key!r} does not exist")
        self.key = key
        self.current = current
        self.revision = revision


class WrongTimeline(Exception):
    """A token is of a history that is lost: it was given out before etcd was restored from a backup.

    It is ahead of everything etcd has, or another write stands where it was given out (rule 18).
    """

    def __init__(self, asked: Revision, current: Revision) -> None:
        ahead = f"is ahead of the store's {current}"
        super().__init__(f"revision {asked} {ahead if asked > current else 'bears another write than it did'}")
        self.asked = asked
        self.current = current


@dataclass(frozen=True, slots=True)
class Status:
    """What one instance knows of itself at one moment.

    why_not_ready: empty when reads and writes can be expected to work, else one sentence for an operator.
    why_not_routed: empty when requests may be sent here if nobody is ready: etcd has answered once, so that there is
    something to tell, be it what was last known. Else one sentence.
    slot: 0 to 63, or None when this instance serves uncached.
    proof_age: seconds since the last proof; None before the first.
    fresh: whether hits are allowed now (rule 3's clock clause).
    lease_age: seconds since the lease of the slot was granted or renewed; None without a slot.
    departed: who has gone within the last hour, the latest first.
    waiting: who waits for a slot. lease: the one that holds our slot, or our place among those who wait; 0: neither.
    loop_lag: seconds by which the loop was late at worst, of late.
    """

    why_not_ready: str
    slot: int | None
    horizon: Revision
    proof_age: float | None
    fresh: bool
    entries: int
    bytes: int
    watch_up: bool
    members: tuple[Member, ...]
    lease_age: float | None = None
    departed: tuple[Departure, ...] = ()
    waiting: tuple[Member, ...] = ()
    lease: int = 0
    why_not_routed: str = ""
    loop_lag: float = 0.0

    @property
    def present(self) -> tuple[Member, ...]:
        """Every instance that is known here, those that wait for a slot last."""
        return self.members + self.waiting

    @property
    def me(self) -> Member | None:
        """This instance among them; None if the others don't see it."""
        return next((member for member in self.present if member.lease == self.lease), None) if self.lease else None
