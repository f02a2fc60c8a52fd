"""What the protocol needs of a store; and, from their rooms, what it answers and may end with. Pure.

`consistency/etcd/store.py` implements it over etcd.

Every read is linearizable, every write is one transaction, every call has a deadline (`timeout`, seconds). A store
belongs to one loop. A call may be cancelled; of a write that was sent nobody can tell then. Errors answer "did it
happen?": `Rejected` and `Unavailable` mean that nothing was done, `OutcomeUnknown` that nobody can tell.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from consistency.core.answers import (
    Change,
    Commit,
    Delete,
    Found,
    Header,
    InForce,
    Lease,
    Listed,
    Page,
    Past,
    PastNames,
    PastVersions,
    Put,
    ReadAnswer,
    Scan,
    Survey,
    Touched,
    Want,
    WatchEvent,
)
from consistency.core.errors import (
    BadCredentials,
    Compacted,
    Denied,
    FleetTooOld,
    NoSpace,
    NotReached,
    OutcomeUnknown,
    PolicyChanged,
    Rejected,
    StoreError,
    TooLarge,
    Unavailable,
)
from consistency.core.model import (
    Departure,
    Document,
    Fence,
    Revision,
    VersionRecord,
)
from consistency.core.past import KeyPast
from consistency.core.records import Keeping, Record, Trace

__all__ = [
    "BadCredentials",
    "Change",
    "Commit",
    "Compacted",
    "Delete",
    "Denied",
    "FleetTooOld",
    "Found",
    "Header",
    "InForce",
    "Lease",
    "Listed",
    "NoSpace",
    "NotReached",
    "OutcomeUnknown",
    "Page",
    "Past",
    "PastNames",
    "PastVersions",
    "PolicyChanged",
    "Put",
    "ReadAnswer",
    "Rejected",
    "Scan",
    "Store",
    "StoreError",
    "Survey",
    "TooLarge",
    "Touched",
    "Unavailable",
    "Want",
    "WatchEvent",
    "WatchStream",
]


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

    async def read(
        self, wants: Sequence[Want], slot: int | None, *, intents: bool = False, timeout: float
    ) -> ReadAnswer:
        """All `wants`, the version key and the member key of `slot`, in one transaction (rule 4).

        intents: and which guarded writes are under way (rule 17).
        Raises TooLarge (ask for fewer), Denied, Unavailable.
        """

    async def survey(self, at: Revision | None, *, timeout: float) -> Survey:
        """Raises Denied, Unavailable."""

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
        """All changes and the version, or nothing (rule 1).

        only_if_new: only if there is no version key yet. policy: only if the policy in force is of this mod_revision,
        0 if there is none (rule 15). new_policy: the text of one that takes its place. keeping: how each change leaves
        a record; without any change, what an audit found; None: none is left, and history ends (rule 19). fence: only
        if this intent is still there; it is deleted by the same transaction, done or not (rule 16).
        Raises Rejected and its kinds, Unavailable (never sent), OutcomeUnknown.
        """

    async def intend(
        self, changes: Sequence[Change], version: VersionRecord, *, lease: int, policy: Revision, timeout: float
    ) -> Commit:
        """Puts the intent of `version`, attached to a lease, if the changes' preconditions hold (rule 16).

        Changes no document. Its revision is that of the fence. Raises as `commit` does; Unavailable, too, if the lease
        has ended.
        """

    async def withdraw(self, nonces: Sequence[str], *, timeout: float) -> None:
        """Deletes up to 100 intents. Raises as `record` does."""

    async def policy(self, *, timeout: float) -> InForce:
        """The policy in force (rule 15). Raises Denied, Unavailable."""

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

        Raises Compacted, NotReached, TooLarge (they count more than `most` names, as in `consistency.core.known`),
        Denied, Unavailable; ValueError below 1.
        """

    async def traces(self, key: str, *, timeout: float) -> KeyPast:
        """What is known by name of a key's past (rule 19), and the document that there is, without its data.

        Raises Denied, Unavailable.
        """

    async def recorded(self, key: str, traces: Sequence[Trace], at: Revision, *, timeout: float) -> tuple[Record, ...]:
        """Up to 100 records of a key, as they stood at one revision. Raises TooLarge (ask for fewer), as `past` does.

        For a record that was not there at that revision, only its trace is known.
        """

    async def past_names(
        self, prefix: str, *, after: bytes, limit: int, at: Revision | None = None, timeout: float
    ) -> PastNames:
        """Up to `limit` records of keys that start with `prefix`, after a place, as of a revision.

        Fewer, though there are more, if they are too long for one answer. Raises as `past` does.
        """

    async def forget(self, key: str, traces: Sequence[Trace], kept_from: Revision, *, timeout: float) -> bool:
        """Remove up to 40 records of a key, and say that nothing before `kept_from` is known; whether it was done.

        Raises as `record` does.
        """

    async def forget_all(self, *, limit: int, timeout: float) -> bool:
        """Remove up to `limit` records, of whatever key; whether there are more. Raises as `record` does."""

    async def doubt(self, keys: Sequence[str], nonce: str, *, timeout: float) -> None:
        """Say of up to 100 keys that what the write with this nonce found had been put past the service.

        Raises as `record` does.
        """

    async def begin_past(self, *, anew: bool, timeout: float) -> None:
        """Say that from now on each write leaves a record; unless `anew`, if that has not been said yet.

        Raises as `record` does.
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
        """Takes the slot for the lease unless another holds it; whether none did. The lease waits for a slot no more.

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
