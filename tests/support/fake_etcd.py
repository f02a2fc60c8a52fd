"""What each call of the store does to a history in memory. Not safe for concurrent access: `FakeStore` owns the lock.

Owns the history, the leases' clock and the counters. Tells of every change through one callable.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from consistency.core.known import weight
from consistency.core.model import (
    NO_VERSION,
    Departure,
    Document,
    Fence,
    Intent,
    Member,
    Policy,
    Revision,
    VersionEvent,
    VersionRecord,
    VersionState,
    holds,
)
from consistency.core.past import KeyPast, traced
from consistency.core.records import DOUBTED, FRESH, Keeping, Op, Record, Trace
from consistency.core.store import (
    Change,
    Commit,
    Compacted,
    Delete,
    Found,
    Header,
    InForce,
    Lease,
    Listed,
    NoSpace,
    NotReached,
    Page,
    Past,
    PastNames,
    PastVersions,
    Put,
    ReadAnswer,
    Rejected,
    Scan,
    Survey,
    TooLarge,
    Touched,
    Unavailable,
    Want,
)
from consistency.etcd.transactions import Layout, range_end
from consistency.etcd.watch import event_of
from simulation.etcd.mvcc import CompactedError, FutureError, Kv, Mvcc, NoLeaseError

T = TypeVar("T")

MAX_WANTS, MAX_CHANGES, MAX_REQUEST = 126, 100, 1_572_000


@dataclass
class FakeEtcd:
    """See the module's opening. The methods are those of `consistency.core.store.Store`, without a timeout."""

    layout: Layout
    cluster: int
    tell: Callable[[Sequence[Kv]], None]
    history: Mvcc = field(default_factory=Mvcc)
    no_space: bool = False
    wants_asked: int = 0
    values_moved: int = 0
    _now: float = 0.0
    _ttl: dict[int, int] = field(default_factory=dict)
    _expires: dict[int, float] = field(default_factory=dict)

    # --- reads

    def read(self, wants: Sequence[Want], slot: int | None, intents: bool) -> ReadAnswer:
        if len(wants) + intents > MAX_WANTS:
            raise ValueError(f"at most {MAX_WANTS} wants in one read, not {len(wants) + intents}")
        self.wants_asked += len(wants)
        member = None if slot is None else self.history.get(self.layout.member(slot))
        nonces = frozenset(intent.nonce for intent in self._intents()) if intents else None
        found = tuple(map(self._found, wants))
        return ReadAnswer(self.header(), self.version(), member.lease if member else 0, found, nonces)

    def survey(self, at: Revision | None) -> Survey:
        return Survey(
            self.header(),
            self.version(),
            self._version_then(at),
            self._members(),
            self._departed(),
            self._waiting(),
            self.policy().policy,
            self._intents(),
        )

    def policy(self) -> InForce:
        kv = self.history.get(self.layout.policy)
        return InForce(self.header(), Policy.read(kv.value, kv.mod) if kv else Policy.none())

    def past(self, key: str, revision: Revision) -> Past:
        kv = self._at(key, revision)
        return Past(self.header(), Document(kv.value, kv.mod, kv.created, kv.lease) if kv else None)

    def values(self, keys: Sequence[str], at: Revision, names_only: bool) -> tuple[Document | None, ...]:
        if len(keys) > MAX_WANTS:
            raise ValueError(f"at most {MAX_WANTS} keys at once, not {len(keys)}")
        kvs = [self._at(key, at) for key in keys]
        return tuple(None if kv is None else _document(kv, names_only) for kv in kvs)

    def scan(self, prefix: str, after: str | bytes, limit: int, at: Revision, names_only: bool) -> Scan:
        kvs = self._then(lambda: self.history.range(*self.layout.listing(prefix, after), at), at)
        documents = tuple((self.layout.key_of(kv.key), _document(kv, names_only)) for kv in kvs[:limit])
        return Scan(self.header(), documents, more=len(kvs) > limit)

    def versions(self, after: Revision, until: Revision, most: int) -> PastVersions:
        start = self._then(lambda: self.version(after), after)
        kvs = [kv for kv in self.history.since(after + 1) if kv.key == self.layout.version and after < until]
        events = tuple(version_event(kv) for kv in kvs)
        ends = next((n for n, event in enumerate(events, 1) if event.state.revision >= until), len(events))
        if sum(map(weight, events[:ends])) > most:
            raise TooLarge(f"more than {most} names")
        return PastVersions(start, events[:ends])

    def touched(self, since: Revision, limit: int) -> Touched:
        kvs = self.history.range(*self.layout.listing("", ""))
        latest = sorted((kv for kv in kvs if kv.mod > since), key=lambda kv: -kv.mod)
        listed = tuple(Listed(self.layout.key_of(kv.key), kv.mod, kv.created) for kv in latest[:limit])
        return Touched(self.header(), self.version(), len(kvs), listed, complete=len(latest) <= limit)

    def existed(self, keys: Sequence[str], at: Revision) -> tuple[bool, ...]:
        if len(keys) > MAX_WANTS:
            raise ValueError(f"at most {MAX_WANTS} keys at once, not {len(keys)}")
        return tuple(self._at(key, at) is not None for key in keys)

    def page(self, prefix: str, after: str | bytes, limit: int) -> Page:
        kvs = self.history.range(*self.layout.listing(prefix, after))
        listed = tuple(Listed(self.layout.key_of(kv.key), kv.mod, kv.created) for kv in kvs[:limit])
        return Page(self.header(), listed, more=len(kvs) > limit)

    def header(self) -> Header:
        return Header(self.cluster, self.history.revision)

    def version(self, at: Revision | None = None) -> VersionState:
        kv = self.history.get(self.layout.version, at)
        if kv is None:
            return NO_VERSION
        return VersionState(kv.mod, kv.created, kv.version, VersionRecord.decode(kv.value).nonce)

    # --- writes

    def commit(
        self,
        changes: Sequence[Change],
        version: VersionRecord,
        only_if_new: bool,
        policy: Revision | None,
        new_policy: bytes | None,
        keeping: Keeping | None,
        fence: Fence | None,
    ) -> Commit:
        self._check(changes, version)
        before, met = self._before(changes)
        in_force = self.policy().policy.mod_revision if policy is not None else 0
        lapsed = fence is not None and not self._stands(fence)
        refused = not met or (only_if_new and self.version() != NO_VERSION) or lapsed
        if refused or (policy is not None and policy != in_force):
            if fence is not None:
                self.write([], [self.layout.intent(fence.nonce)])
            return Commit(self.header(), committed=False, before=before, policy=in_force, lapsed=lapsed)
        puts = [(self.layout.document(change.key), change.value, 0) for change in changes if isinstance(change, Put)]
        deletes = [self.layout.document(change.key) for change in changes if isinstance(change, Delete)]
        if new_policy is not None:
            puts.append((self.layout.policy, new_policy, 0))
        if changes and keeping is None:
            deletes.append(self.layout.began)
        if fence is not None:
            deletes.append(self.layout.intent(fence.nonce))
        puts += self._records(changes, version, keeping)
        self.write([*puts, (self.layout.version, version.encode(), 0)], deletes)
        members = self._slots() if version.ack else ()
        return Commit(self.header(), committed=True, before=before, members=members, policy=in_force)

    def intend(self, changes: Sequence[Change], version: VersionRecord, lease: int, policy: Revision) -> Commit:
        self._check_space()
        before, met = self._before(changes)
        in_force = self.policy().policy.mod_revision
        if not met or policy != in_force:
            return Commit(self.header(), committed=False, before=before, policy=in_force)
        assert version.intent is not None
        if lease not in self.history.leases:
            raise Unavailable(f"the lease {lease:x} of this instance has ended; nothing was done")
        told = version.encode()
        self.write([(self.layout.intent(version.intent.nonce), told, lease), (self.layout.version, told, 0)])
        return Commit(self.header(), committed=True, before=(), members=self._slots(), policy=in_force)

    def withdraw(self, nonces: Sequence[str]) -> None:
        self._check_space()
        self.write([], [self.layout.intent(nonce) for nonce in nonces])

    def _before(self, changes: Sequence[Change]) -> tuple[tuple[Revision, ...], bool]:
        kvs = [self.history.get(self.layout.document(change.key)) for change in changes]
        before = tuple(kv.mod if kv else 0 for kv in kvs)
        return before, all(holds(change.precondition, mod) for change, mod in zip(changes, before, strict=True))

    def _stands(self, fence: Fence) -> bool:
        kv = self.history.get(self.layout.intent(fence.nonce))
        return kv is not None and kv.mod == fence.revision

    def _intents(self) -> tuple[Intent, ...]:
        kvs = self.history.range(self.layout.intents, range_end(self.layout.intents))
        told = [(kv.key[len(self.layout.intents) :].decode(), VersionRecord.decode(kv.value)) for kv in kvs if kv.lease]
        return tuple(Intent(nonce, record.intent.keys if record.intent else None) for nonce, record in told)

    def _records(
        self, changes: Sequence[Change], version: VersionRecord, keeping: Keeping | None
    ) -> Iterator[tuple[bytes, bytes, int]]:
        """What the transaction leaves of itself (rule 19)."""
        if keeping is None:
            return
        for change in changes:
            if self.history.get(self.layout.document(change.key)) is None:
                if not isinstance(change, Put):
                    continue
                yield self.layout.past(change.key, version.nonce + FRESH), b"", 0
            value = change.value if isinstance(change, Put) else None
            op, size = (Op.DELETE, 0) if value is None else (Op.PUT, len(value))
            kept = value if size <= keeping.max_bytes else None
            record = Record(0, op, keeping.at, version.authors.of(change.key), size, kept)
            yield self.layout.past(change.key, version.nonce + op), record.encode(), 0
        for key in () if changes else sorted(version.names or ()):
            record = Record(0, Op.OUTSIDE, keeping.at)
            yield self.layout.past(key, version.nonce + Op.OUTSIDE), record.encode(), 0

    # --- the past

    def traces(self, key: str) -> KeyPast:
        kv = self.history.get(self.layout.document(key))
        began, marker = self.history.get(self.layout.began), self.history.get(self.layout.past(key))
        first = self.layout.past(key)
        named = [(self.layout.past_of(each.key), each.mod) for each in self.history.range(first, range_end(first))]
        return KeyPast(
            self.history.revision,
            _document(kv, names_only=True) if kv else None,
            began.mod if began else 0,
            int(json.loads(marker.value)["from"]) if marker else 0,
            traced([(found[1], mod) for found, mod in named if found and found[0] == key]),
        )

    def recorded(self, key: str, traces: Sequence[Trace], at: Revision) -> tuple[Record, ...]:
        kvs = [
            self._then(lambda trace=trace: self.history.get(self.layout.past(key, trace.nonce + trace.op), at), at)  # type: ignore[misc]
            for trace in traces
        ]
        return tuple(Record.decode(trace, kv.value if kv else b"") for trace, kv in zip(traces, kvs, strict=True))

    def past_names(self, prefix: str, after: bytes, limit: int, at: Revision | None) -> PastNames:
        first, end = self.layout.pasts_listing(prefix, after)
        now = at or self.history.revision
        kvs = self._then(lambda: self.history.range(first, end, now), now)
        parsed = ((self.layout.past_of(kv.key), kv.mod) for kv in kvs[:limit])
        found = tuple((*named, mod) for named, mod in parsed if named)
        return PastNames(self.header(), found, kvs[limit - 1].key if len(kvs) > limit else b"")

    def forget(self, key: str, traces: Sequence[Trace], kept_from: Revision) -> bool:
        marker = self.history.get(self.layout.past(key))
        trimmed = max(kept_from, int(json.loads(marker.value)["from"]) if marker else 0)
        gone = [self.layout.past(key, name) for trace in traces for name in trace.names]
        self.write([(self.layout.past(key), json.dumps({"from": trimmed}).encode(), 0)], gone)
        return True

    def forget_all(self, limit: int) -> bool:
        kvs = self.history.range(self.layout.pasts, range_end(self.layout.pasts))
        self.write([], [kv.key for kv in kvs[:limit]])
        return len(kvs) > limit

    def doubt(self, keys: Sequence[str], nonce: str) -> None:
        self.write([(self.layout.past(key, nonce + DOUBTED), b"", 0) for key in keys])

    def begin_past(self, anew: bool) -> None:
        self._check_space()
        if anew or self.history.get(self.layout.began) is None:
            self.write([(self.layout.began, b"{}", 0)])

    # --- the fleet

    def acknowledge(self, slot: int, lease: int, applied: Revision) -> None:
        self._check_space()
        member = self.history.get(self.layout.member(slot))
        if member is None or member.lease != lease:
            raise Rejected(f"slot {slot:02d} is not held by lease {lease:x}")
        self.write([(self.layout.ack(slot), b"%d" % applied, lease)])

    def claim(self, slot: int, lease: int, description: str) -> bool:
        self._check_space()
        found = self.history.get(self.layout.member(slot))
        if found and self.layout.held_slot_of(found.key, found.lease) is not None:
            return False
        self.write([(self.layout.member(slot), description.encode(), lease)], [self.layout.wait(lease)])
        return True

    def wait(self, lease: int, description: str) -> None:
        self._check_space()
        self.write([(self.layout.wait(lease), description.encode(), lease)])

    def record(self, departure: Departure, lease: int) -> bool:
        self._check_space()
        key = self.layout.departure(departure.lease)
        if self.history.get(key):
            return False
        self.write([(key, departure.encode(), lease)])
        return True

    def erase(self, departed: Sequence[int]) -> None:
        self.write([], [self.layout.departure(lease) for lease in departed])

    def fleet(self, candidate: str) -> str:
        if found := self.history.get(self.layout.fleet):
            return found.value.decode()
        self._check_space()
        self.write([(self.layout.fleet, candidate.encode(), 0)])
        return candidate

    def write(self, puts: Sequence[tuple[bytes, bytes, int]], deletes: Sequence[bytes] = ()) -> Revision:
        """One transaction of raw keys; the revision."""
        try:
            self.tell(self.history.write(puts, deletes))
        except NoLeaseError as error:
            raise Rejected(f"requested lease not found: {error}") from error
        return self.history.revision

    # --- leases

    def grant(self, ttl: int) -> Lease:
        self._check_space()
        lease = 1001 + len(self._ttl)
        self.history.leases[lease] = {}
        self._ttl[lease] = ttl
        self._expires[lease] = self._now + ttl
        return Lease(lease, ttl)

    def keep_alive(self, lease: int) -> int:
        if lease not in self.history.leases:
            return 0
        self._expires[lease] = self._now + self._ttl[lease]
        return self._ttl[lease]

    def revoke(self, lease: int) -> None:
        self._expires.pop(lease, None)
        self.tell(self.history.end_lease(lease))

    def advance(self, seconds: float) -> None:
        """Moves the leases' clock, and ends what is due."""
        self._now += seconds
        for lease in [lease for lease, due in self._expires.items() if due <= self._now]:
            self.revoke(lease)

    def restore(self, saved: Mvcc) -> None:
        """Turns time back; leases live for their whole TTL again, as after a restart."""
        self.history = saved.copy()
        self._expires = {lease: self._now + self._ttl[lease] for lease in self.history.leases}

    # --- how it is done

    def _found(self, want: Want) -> Found:
        kv = self.history.get(self.layout.document(want.key))
        if kv is None or kv.mod <= want.newer_than:
            return Found(present=kv is not None, document=None)
        self.values_moved += 1
        return Found(present=True, document=Document(kv.value, kv.mod, kv.created, kv.lease))

    def _at(self, key: str, revision: Revision) -> Kv | None:
        return self._then(lambda: self.history.get(self.layout.document(key), revision), revision)

    def _then(self, look: Callable[[], T], revision: Revision) -> T:
        if revision < 1:
            raise ValueError(f"revisions count from 1 on, not {revision}")
        try:
            return look()
        except CompactedError as error:
            raise Compacted(f"revision {revision} has been compacted") from error
        except FutureError as error:
            raise NotReached(f"revision {revision} is a future revision") from error

    def _members(self) -> tuple[Member, ...]:
        first, end = self.layout.member(0), self.layout.member(63) + b"\x00"
        slots = ((self.layout.held_slot_of(kv.key, kv.lease), kv) for kv in self.history.range(first, end))
        return tuple(
            Member.read(slot, kv.lease, kv.created, kv.value.decode()) for slot, kv in slots if slot is not None
        )

    def _waiting(self) -> tuple[Member, ...]:
        kvs = self.history.range(self.layout.waiting, range_end(self.layout.waiting))
        found = (kv for kv in kvs if self.layout.waiting_lease_of(kv.key) == kv.lease != 0)
        return tuple(
            Member.read(None, kv.lease, kv.created, kv.value.decode())
            for kv in sorted(found, key=lambda kv: kv.created)
        )

    def _departed(self) -> tuple[Departure, ...]:
        kvs = self.history.range(self.layout.departed, range_end(self.layout.departed))
        told = (Departure.decode(self.layout.departed_lease_of(kv.key) or 0, kv.value) for kv in kvs if kv.lease)
        return tuple(departure for departure in told if departure)

    def _slots(self) -> tuple[int, ...]:
        return tuple(each.slot for each in self._members() if each.slot is not None)

    def _version_then(self, at: Revision | None) -> VersionState | None:
        try:
            return self.version(at) if at else None
        except (CompactedError, FutureError):
            return None

    def _check(self, changes: Sequence[Change], version: VersionRecord) -> None:
        values = sum(len(change.value) for change in changes if isinstance(change, Put))
        if len(changes) > MAX_CHANGES or values + len(version.encode()) > MAX_REQUEST:
            raise TooLarge("the write is over etcd's limit of 1.5 MiB or 128 operations")
        if len({change.key for change in changes}) < len(changes):
            raise Rejected("one key twice in one write")
        self._check_space()

    def _check_space(self) -> None:
        if self.no_space:
            raise NoSpace("the fake store's quota is used up")


def version_event(kv: Kv) -> VersionEvent:
    """What a change of the version key says."""
    if not kv.version:
        return VersionEvent(VersionState(revision=kv.mod, created=0, count=0, nonce=""), names=None)
    record = VersionRecord.decode(kv.value)
    state = VersionState(kv.mod, kv.created, kv.version, record.nonce)
    return event_of(state, record)


def _document(kv: Kv, names_only: bool) -> Document:
    return Document(b"" if names_only else kv.value, kv.mod, kv.created, kv.lease)
