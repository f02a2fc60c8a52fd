"""What the protocol needs of a store, and its errors. Pure: `etcd/store.py` implements it over etcd.

Every read is linearizable, every write is one transaction, every call has a deadline (`timeout`, seconds). A store
belongs to one loop. A call may be cancelled; of a write that was sent nobody can tell then. Errors answer "did it
happen?": `Rejected` and `Unavailable` mean that nothing was done, `OutcomeUnknown` that nobody can tell.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from consistency.core.model import (
    AckEvent,
    Departure,
    DepartureEvent,
    Document,
    Member,
    MemberEvent,
    Precondition,
    Revision,
    VersionEvent,
    VersionRecord,
    VersionState,
    WaitingEvent,
)


class StoreError(Exception):
    """A store call that gave no answer. The message is for an operator: which endpoint, what was found."""


class Rejected(StoreError):
    """Understood and refused; nothing was done, and the same call will be refused again."""


class NoSpace(Rejected):
    """etcd's quota is used up: writes are refused until it is compacted, defragmented and disarmed."""


class Denied(Rejected):
    """The etcd user lacks the permission."""


class TooLarge(Rejected):
    """The request, or the answer to it, is over etcd's or our own limit."""


class Unavailable(StoreError):
    """Nothing was done: no endpoint could be reached or answered a read in time."""


class BadCredentials(Unavailable):
    """etcd refused the user or the password, or the TLS certificates of the two sides don't match."""


class OutcomeUnknown(StoreError):
    """A write was sent and no answer came back: it may or may not have happened, now or later. Never retried."""


class Compacted(StoreError):
    """The revision asked for has been compacted away."""


class NotReached(Rejected):
    """The revision asked for lies in the future of this store."""


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
class Answer:
    """One linearizable read transaction: all of it held at `header.revision`.

    `member` is the lease that holds the slot asked about; 0 when the slot is free or none was asked about.
    """

    header: Header
    version: VersionState
    member: int
    found: tuple[Found, ...]


@dataclass(frozen=True, slots=True)
class Survey:
    """The version key now and at an earlier revision, and the fleet, in one transaction (rules 6, 7, 9).

    `version_then` is None when that revision is compacted, or not yet reached. `departed`: who has gone lately.
    `waiting`: who waits for a slot.
    """

    header: Header
    version: VersionState
    version_then: VersionState | None
    members: tuple[Member, ...]
    departed: tuple[Departure, ...] = ()
    waiting: tuple[Member, ...] = ()


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

    committed: False when a precondition did not hold; then nothing was written, no version either.
    before: for each change the key's mod_revision just before the transaction, 0 if it did not exist.
    members: the slots held at that revision, if the version asks for acknowledgements (rule 12); else empty.
    """

    header: Header
    committed: bool
    before: tuple[Revision, ...]
    members: tuple[int, ...] = ()


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


WatchEvent = VersionEvent | MemberEvent | AckEvent | DepartureEvent | WaitingEvent


class WatchStream(Protocol):
    """Events in order, from one stream. Iterating waits until there are some.

    Ends by raising: `Compacted` (the start revision is gone), `Denied`, `Unavailable` (cut, leaderless, closed).
    Silence is not health: only a read proves freshness (rule 7).
    """

    def __aiter__(self) -> AsyncIterator[WatchEvent]: ...

    async def __anext__(self) -> WatchEvent: ...

    def close(self) -> None:
        """End the stream; the iteration raises `Unavailable`. May be called twice."""


class Store(Protocol):
    """The calls of the protocol. See the module's opening for what holds for each of them."""

    async def read(self, wants: Sequence[Want], slot: int | None, *, timeout: float) -> Answer:
        """All `wants`, the version key and the member key of `slot`, in one transaction (rule 4).

        Raises TooLarge (ask for fewer), Denied, Unavailable.
        """

    async def survey(self, at: Revision | None, *, timeout: float) -> Survey:
        """Raises Denied, Unavailable."""

    async def commit(
        self, changes: Sequence[Change], version: VersionRecord, *, only_if_new: bool = False, timeout: float
    ) -> Commit:
        """All changes and the version, or nothing (rule 1). `only_if_new`: only if there is no version key yet.

        Raises Rejected and its kinds, Unavailable (never sent), OutcomeUnknown.
        """

    async def page(self, prefix: str, *, after: str | bytes, limit: int, timeout: float) -> Page:
        """Up to `limit` keys that start with `prefix` and come after `after`; if it is bytes, from that name on.

        Fewer, though there are more, if they are too long for one answer. Raises Denied, Unavailable.
        """

    async def past(self, key: str, revision: Revision, *, timeout: float) -> Past:
        """One key at an earlier revision. Raises Compacted, NotReached, Denied, Unavailable; ValueError below 1."""

    async def values(
        self, keys: Sequence[str], at: Revision, *, names_only: bool = False, timeout: float
    ) -> tuple[Document | None, ...]:
        """Up to 126 keys as they stood at one revision, None for each that did not exist.

        names_only: without their data. Raises TooLarge (ask for fewer), and as `past` does.
        """

    async def scan(
        self,
        prefix: str,
        *,
        after: str | bytes,
        limit: int,
        at: Revision,
        names_only: bool = False,
        timeout: float,
    ) -> Scan:
        """Up to `limit` documents that start with `prefix` and come after `after`, as of a revision.

        after: as of `page`. Fewer, though there are more, if they are too large for one answer. names_only: without
        their data. Raises as `past` does.
        """

    async def versions(self, after: Revision, until: Revision, *, most: int, timeout: float) -> PastVersions:
        """The version key at `after`, and all its changes since, up to one at `until` or later: there has to be one.

        Raises Compacted, NotReached, TooLarge (they count more than `most` names, as in `consistency.core.history`),
        Denied, Unavailable; ValueError below 1.
        """

    async def touched(self, since: Revision, *, limit: int, timeout: float) -> Touched:
        """What was written after `since`, up to `limit` documents; no values are moved. Raises Denied, Unavailable."""

    async def existed(self, keys: Sequence[str], at: Revision, *, timeout: float) -> tuple[bool, ...]:
        """For each of up to 126 keys whether it existed at an earlier revision. Raises as `past` does."""

    async def acknowledge(self, slot: int, lease: int, applied: Revision, *, timeout: float) -> None:
        """Tells the fleet that the instance in `slot` has applied everything up to `applied` (rule 12).

        Raises Rejected when the slot is not held by `lease` any more, Unavailable, OutcomeUnknown.
        """

    async def grant(self, ttl: int, *, timeout: float) -> Lease:
        """A new lease of `ttl` seconds or more. Raises Rejected (NoSpace), Unavailable, OutcomeUnknown."""

    async def keep_alive(self, lease: int, *, timeout: float) -> int:
        """Renews; the new TTL in seconds, 0 when the lease is gone. Raises Unavailable."""

    async def revoke(self, lease: int, *, timeout: float) -> None:
        """Ends a lease and deletes its keys; no error when it is gone already. Raises Unavailable, OutcomeUnknown."""

    async def claim(self, slot: int, lease: int, description: str, *, timeout: float) -> bool:
        """Takes the slot for the lease unless another holds it; whether none did. Who waited with it waits no more.

        Raises Rejected, Unavailable, OutcomeUnknown.
        """

    async def wait(self, lease: int, description: str, *, timeout: float) -> None:
        """Tells the fleet that an instance waits for a slot, for as long as the lease lives. Raises as `claim` does."""

    async def record(self, departure: Departure, lease: int, *, timeout: float) -> bool:
        """Writes down that somebody has gone, attached to `lease`, unless that is written already; whether it was not.

        Raises Rejected, Unavailable, OutcomeUnknown.
        """

    async def erase(self, departed: Sequence[int], *, timeout: float) -> None:
        """Deletes what is written of up to 100 of those who have gone, by their leases. Raises as `record` does."""

    async def fleet(self, candidate: str, *, timeout: float) -> str:
        """The fleet's id: `candidate`, 16 hexadecimal digits, if there was none yet.

        Raises Rejected and its kinds, Unavailable, OutcomeUnknown; asked again, it is what has become of it.
        """

    async def watch(self, version_from: Revision, members_from: Revision, *, timeout: float) -> WatchStream:
        """Opens a stream of version and member events from these revisions on, and waits until the store confirms it.

        Raises Compacted, Denied, Unavailable.
        """

    async def close(self) -> None:
        """Closes every connection; calls under way end with Unavailable or OutcomeUnknown."""
