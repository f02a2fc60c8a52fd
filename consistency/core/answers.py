"""What a store is asked for, and what it answers, as values. Frozen, without I/O."""

from __future__ import annotations

from dataclasses import dataclass, field

from consistency.core.model import (
    AckEvent,
    Departure,
    DepartureEvent,
    Document,
    Intent,
    Member,
    MemberEvent,
    Policy,
    Precondition,
    Revision,
    VersionEvent,
    VersionState,
    WaitingEvent,
)


@dataclass(frozen=True, slots=True)
class Header:
    """Which cluster answered, and the store revision the answer holds at."""

    cluster: int
    revision: Revision


@dataclass(frozen=True, slots=True)
class Want:
    """One key to read. With `newer_than` = m the value is moved only if its mod_revision is above m (rule 4)."""

    key: str
    newer_than: Revision = 0


@dataclass(frozen=True, slots=True)
class Found:
    """What a `Want` gave: absent; present with its document; or present and unchanged (`document` None)."""

    present: bool
    document: Document | None


@dataclass(frozen=True, slots=True)
class ReadAnswer:
    """One linearizable read transaction: all of it held at `header.revision`.

    `member` is the lease that holds the slot asked about; 0 when the slot is free or none was asked about.
    `intents`: the nonces of the guarded writes that are under way (rule 17); None: that was not asked.
    """

    header: Header
    version: VersionState
    member: int
    found: tuple[Found, ...]
    intents: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Survey:
    """The version key now and at an earlier revision, and the fleet, in one transaction (rules 6, 7, 9).

    `version_then` is None when that revision is compacted, or not yet reached. `departed`: who has gone lately.
    `waiting`: who waits for a slot. `policy`: the one in force (rule 15). `intents`: the guarded writes under way (16).
    """

    header: Header
    version: VersionState
    version_then: VersionState | None
    members: tuple[Member, ...]
    departed: tuple[Departure, ...] = ()
    waiting: tuple[Member, ...] = ()
    policy: Policy = field(default_factory=Policy.none)
    intents: tuple[Intent, ...] = ()


@dataclass(frozen=True, slots=True)
class Put:
    """Stores `value` under `key`, if `precondition` holds."""

    key: str
    value: bytes
    precondition: Precondition | None = None


@dataclass(frozen=True, slots=True)
class Delete:
    """Removes `key`, if `precondition` holds."""

    key: str
    precondition: Precondition | None = None


Change = Put | Delete


@dataclass(frozen=True, slots=True)
class Commit:
    """The answer to a write transaction.

    committed: False when a precondition did not hold, the policy is another one than was named, or the intent is not
    there any more; then nothing was written, no version either.
    before: for each change the key's mod_revision just before the transaction, 0 if it did not exist; of an intent that
    was put: nothing.
    members: the slots held at that revision, if the version asks for acknowledgements (rule 12); else empty.
    policy: the mod_revision of the policy that was found, if one was named (rule 15); else 0.
    lapsed: the intent that was named as a fence is not there any more (rule 16).
    """

    header: Header
    committed: bool
    before: tuple[Revision, ...]
    members: tuple[int, ...] = ()
    policy: Revision = 0
    lapsed: bool = False


@dataclass(frozen=True, slots=True)
class InForce:
    """The policy, read linearizably (rule 15)."""

    header: Header
    policy: Policy


@dataclass(frozen=True, slots=True)
class Past:
    """One key as it stood at an earlier revision; `document` is None when it was absent."""

    header: Header
    document: Document | None


@dataclass(frozen=True, slots=True)
class Listed:
    """One key of a listing."""

    key: str
    mod_revision: Revision
    create_revision: Revision


@dataclass(frozen=True, slots=True)
class Touched:
    """The documents whose mod_revision lies after some revision, and how many there are in all (rule 13).

    `version` is the version key's state in the same transaction. `complete` is False when there were too many to list.
    """

    header: Header
    version: VersionState
    count: int
    keys: tuple[Listed, ...]
    complete: bool


@dataclass(frozen=True, slots=True)
class Lease:
    """A granted lease. `ttl` is what the store granted, in seconds, which may be more than was asked for."""

    id: int
    ttl: int


@dataclass(frozen=True, slots=True)
class Page:
    """A listing in key order (of the UTF-8 bytes). `more`: there are further keys after the last of these."""

    header: Header
    keys: tuple[Listed, ...]
    more: bool


@dataclass(frozen=True, slots=True)
class PastVersions:
    """How the version key stood at an earlier revision, and every change of it since, in order (rule 18)."""

    start: VersionState
    events: tuple[VersionEvent, ...]


@dataclass(frozen=True, slots=True)
class Scan:
    """Documents in key order (of the UTF-8 bytes), as they stood at one revision. `more`: there are further ones.

    Without values the data of each is empty.
    """

    header: Header
    documents: tuple[tuple[str, Document], ...]
    more: bool


@dataclass(frozen=True, slots=True)
class PastNames:
    """Records of several keys by name, in key order: key, name and revision of each (rule 19).

    place: what comes after these comes after it; b"" at the end.
    """

    header: Header
    found: tuple[tuple[str, str, Revision], ...]
    place: bytes


WatchEvent = VersionEvent | MemberEvent | AckEvent | DepartureEvent | WaitingEvent
