"""FakeStore: the protocol's store in memory, with every interleaving in the test's hand.

Owns a history (`mvcc`), leases on a clock that only `advance` moves, and one queue of events for each watch stream.
Passes the same contract suite as the store over etcd. How to use it:

    store = FakeStore()
    gate = store.hold("read")                  # the next read is executed, and its answer held
    gate = store.hold("commit", At.REQUEST)    # the next commit is held before it is executed
    gate.wait_until_held()                     # another thread now stands at the gate
    gate.release()                             # lets it go on
    gate.fail(OutcomeUnknown("lost"))          # or makes it raise: executed if held at its answer, else not
    store.hold("commit").fail(…)               # opened beforehand: the next commit does happen, its answer is lost
    store.reachable = False                    # every call raises Unavailable, streams stay silent

    store.pause_watch()                        # events queue up, undelivered
    store.step_watch()                         # delivers the next one, to each stream
    store.resume_watch()                       # delivers them all from here on
    store.settle_watch()                       # returns when all that may be delivered has been consumed
    store.cut_watch()                          # every stream ends with Unavailable, or the error given

    store.put_outside("key", b"1")             # as etcdctl would: no version is written; also delete_outside,
    store.put_version(record)                  # put_version (an event without a document), delete_version
    store.vanish(lease)                        # the lease and its keys are gone, as after an expiry or a revoke
    store.advance(seconds)                     # the leases' clock; expires what is due
    saved = store.snapshot(); store.restore(saved)    # time turns back: same cluster id, lower revisions
    store.compact(revision)

    store.calls["read"], store.wants_asked, store.values_moved, store.revision, store.document("key")

Kinds of calls: read survey commit page grant keep_alive revoke claim watch.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TypeVar

from consistency.layout import Layout
from consistency.store import (
    Answer,
    Change,
    Commit,
    Compacted,
    Delete,
    Found,
    Header,
    Lease,
    Listed,
    NoSpace,
    Page,
    Put,
    Rejected,
    StoreError,
    Survey,
    TooLarge,
    Unavailable,
    Want,
)
from consistency.terms import (
    NO_VERSION,
    Document,
    Member,
    MustBeAbsent,
    MustBeAt,
    MustExist,
    Precondition,
    Revision,
    VersionRecord,
    VersionState,
)
from tests.support.fake_watch import FakeStream, to_event
from tests.support.gates import LIMIT, At, ForgottenGateError, Gate
from tests.support.mvcc import CompactedError, FutureError, Kv, Mvcc, NoLeaseError

T = TypeVar("T")


class FakeStore:
    """See the module's opening. Safe for concurrent access."""

    def __init__(self, prefix: str = "fake", cluster: int = 0xC0FFEE) -> None:
        self.layout = Layout(prefix)
        self.cluster = cluster
        self.reachable = True
        self.no_space = False
        self.calls: Counter[str] = Counter()
        self.wants_asked = 0
        self.values_moved = 0
        self._changed = threading.Condition()  # protects everything below; notified on any change
        self._mvcc = Mvcc()
        self._now = 0.0
        self._ttl: dict[int, int] = {}
        self._expires: dict[int, float] = {}
        self._last_lease = 1000
        self._gates: list[Gate] = []
        self._streams: list[FakeStream] = []
        self._paused = False
        self._closed = False

    # --- the protocol's calls

    def read(self, wants: Sequence[Want], slot: int | None, *, timeout: float) -> Answer:
        del timeout
        if len(wants) > 126:
            raise ValueError(f"at most 126 wants in one read, not {len(wants)}")
        return self._call("read", lambda: self._answer_locked(wants, slot))

    def survey(self, at: Revision | None, *, timeout: float) -> Survey:
        del timeout
        return self._call("survey", lambda: self._survey_locked(at))

    def commit(
        self, changes: Sequence[Change], version: VersionRecord, *, only_if_new: bool = False, timeout: float
    ) -> Commit:
        del timeout
        return self._call("commit", lambda: self._commit_locked(changes, version, only_if_new))

    def page(self, prefix: str, *, after: str, limit: int, timeout: float) -> Page:
        del timeout
        return self._call("page", lambda: self._page_locked(prefix, after, limit))

    def grant(self, ttl: int, *, timeout: float) -> Lease:
        del timeout
        return self._call("grant", lambda: self._grant_locked(ttl))

    def keep_alive(self, lease: int, *, timeout: float) -> int:
        del timeout
        return self._call("keep_alive", lambda: self._renew_locked(lease))

    def revoke(self, lease: int, *, timeout: float) -> None:
        del timeout
        self._call("revoke", lambda: self._end_lease_locked(lease))

    def claim(self, slot: int, lease: int, description: str, *, timeout: float) -> bool:
        del timeout
        return self._call("claim", lambda: self._claim_locked(slot, lease, description))

    def watch(self, version_from: Revision, members_from: Revision, *, timeout: float) -> FakeStream:
        del timeout
        return self._call("watch", lambda: self._watch_locked(version_from, members_from))

    def close(self) -> None:
        with self._changed:
            self._closed = True
        self.cut_watch(Unavailable("the store is closed"))

    # --- the test's hand

    def hold(self, kind: str, at: At = At.ANSWER) -> Gate:
        """Holds the next call of that kind which no earlier gate holds."""
        gate = Gate(kind, at)
        with self._changed:
            self._gates.append(gate)
        return gate

    def pause_watch(self) -> None:
        """Events queue up undelivered, in the streams open now and in later ones."""
        with self._changed:
            self._paused = True

    def resume_watch(self) -> None:
        """Delivers what has queued up, and all that follows."""
        with self._changed:
            self._paused = False
            self._changed.notify_all()

    def step_watch(self, count: int = 1, timeout: float = LIMIT) -> None:
        """Delivers the next `count` events to each open stream, and returns when they have been consumed.

        Raises ForgottenGateError when a stream has fewer, or its consumer doesn't come back within `timeout` seconds.
        """
        with self._changed:
            for stream in self._open_locked():
                if len(stream.pending) < count:
                    raise ForgottenGateError(f"asked to deliver {count} events, the stream has {len(stream.pending)}")
                stream.allowed += count
            self._changed.notify_all()
        self.settle_watch(timeout)

    def settle_watch(self, timeout: float = LIMIT) -> None:
        """Returns when every open stream's consumer waits again and nothing that may be delivered is left."""
        with self._changed:
            if not self._changed.wait_for(lambda: all(stream.settled() for stream in self._open_locked()), timeout):
                raise ForgottenGateError(f"a stream's events were not consumed within {timeout} s")

    def cut_watch(self, error: StoreError | None = None) -> None:
        """Ends every open stream; what it has not delivered is lost."""
        with self._changed:
            for stream in self._streams:
                stream.end_locked(error or Unavailable("the watch was cut"))
            self._streams.clear()

    @property
    def streams(self) -> int:
        """How many streams are open."""
        with self._changed:
            return len(self._open_locked())

    def put_outside(self, key: str, value: bytes, lease: int = 0) -> Revision:
        """Writes a document without a version, as etcdctl would; the revision."""
        return self._write_raw([(self.layout.document(key), value, lease)], [])

    def delete_outside(self, key: str) -> Revision:
        """Deletes a document without a version."""
        return self._write_raw([], [self.layout.document(key)])

    def put_version(self, record: VersionRecord) -> Revision:
        """Writes a version without a document."""
        return self._write_raw([(self.layout.version, record.encode(), 0)], [])

    def delete_version(self) -> Revision:
        """Deletes the version key, as a careless hand would."""
        return self._write_raw([], [self.layout.version])

    def vanish(self, lease: int) -> None:
        """Ends a lease and deletes its keys; nobody is told but the watch."""
        with self._changed:
            self._end_lease_locked(lease)

    def advance(self, seconds: float) -> None:
        """Moves the leases' clock, and ends what is due."""
        with self._changed:
            self._now += seconds
            for lease in [lease for lease, due in self._expires.items() if due <= self._now]:
                self._end_lease_locked(lease)

    def compact(self, revision: Revision) -> None:
        """Forgets what was before `revision`; streams that are open go on."""
        with self._changed:
            self._mvcc.compact(revision)

    def snapshot(self) -> Mvcc:
        """What `restore` takes."""
        with self._changed:
            return self._mvcc.copy()

    def restore(self, saved: Mvcc) -> None:
        """Turns time back, keeping the cluster id. Streams are cut, as a restarting etcd cuts them."""
        self.cut_watch(Unavailable("the store was restored from a backup"))
        with self._changed:
            self._mvcc = saved.copy()
            self._expires = {lease: self._now + self._ttl[lease] for lease in self._mvcc.leases}

    @property
    def revision(self) -> Revision:
        """The store's current revision."""
        with self._changed:
            return self._mvcc.revision

    def document(self, key: str) -> bytes | None:
        """A document as it stands; counts as no call."""
        with self._changed:
            kv = self._mvcc.get(self.layout.document(key))
            return kv.value if kv else None

    # --- how it is done

    def _open_locked(self) -> list[FakeStream]:
        self._streams = [stream for stream in self._streams if stream.error is None]
        return self._streams

    def _call(self, kind: str, action: Callable[[], T]) -> T:
        with self._changed:
            self.calls[kind] += 1
            gate = next((gate for gate in self._gates if gate.kind == kind), None)
            if gate:
                self._gates.remove(gate)
        if gate and gate.at is At.REQUEST:
            gate.stop_here()
        with self._changed:
            self._refuse_locked()
            result = action()
        if gate and gate.at is At.ANSWER:
            gate.stop_here()
        return result

    def _refuse_locked(self) -> None:
        if self._closed:
            raise Unavailable("the store is closed")
        if not self.reachable:
            raise Unavailable("the fake store is unreachable")

    def _answer_locked(self, wants: Sequence[Want], slot: int | None) -> Answer:
        self.wants_asked += len(wants)
        found = tuple(self._found_locked(want) for want in wants)
        member = None if slot is None else self._mvcc.get(self.layout.member(slot))
        return Answer(self._header_locked(), self._version_locked(), member.lease if member else 0, found)

    def _found_locked(self, want: Want) -> Found:
        kv = self._mvcc.get(self.layout.document(want.key))
        if kv is None or kv.mod <= want.newer_than:
            return Found(present=kv is not None, document=None)
        self.values_moved += 1
        return Found(present=True, document=Document(kv.value, kv.mod, kv.created, kv.lease))

    def _survey_locked(self, at: Revision | None) -> Survey:
        first, end = self.layout.member(0), self.layout.member(63) + b"\x00"
        kvs = [kv for kv in self._mvcc.range(first, end) if self.layout.slot_of(kv.key) is not None]
        members = tuple(Member(_slot(self.layout, kv), kv.lease, kv.created, kv.value.decode()) for kv in kvs)
        return Survey(self._header_locked(), self._version_locked(), self._version_at_locked(at), members)

    def _version_at_locked(self, at: Revision | None) -> VersionState | None:
        try:
            return self._version_locked(at) if at else None
        except (CompactedError, FutureError):
            return None

    def _version_locked(self, at: Revision | None = None) -> VersionState:
        kv = self._mvcc.get(self.layout.version, at)
        if kv is None:
            return NO_VERSION
        return VersionState(kv.mod, kv.created, kv.version, VersionRecord.decode(kv.value).nonce)

    def _commit_locked(self, changes: Sequence[Change], version: VersionRecord, only_if_new: bool) -> Commit:
        self._check_locked(changes, version)
        kvs = [self._mvcc.get(self.layout.document(change.key)) for change in changes]
        before = tuple(kv.mod if kv else 0 for kv in kvs)
        holds = all(_holds(change.precondition, mod) for change, mod in zip(changes, before, strict=True))
        if not holds or (only_if_new and self._version_locked() != NO_VERSION):
            return Commit(self._header_locked(), committed=False, before=before)
        puts = [(self.layout.document(change.key), change.value, 0) for change in changes if isinstance(change, Put)]
        deletes = [self.layout.document(change.key) for change in changes if isinstance(change, Delete)]
        self._write_locked([*puts, (self.layout.version, version.encode(), 0)], deletes)
        return Commit(self._header_locked(), committed=True, before=before)

    def _check_locked(self, changes: Sequence[Change], version: VersionRecord) -> None:
        if self.no_space:
            raise NoSpace("the fake store's quota is used up")
        if len({change.key for change in changes}) < len(changes):
            raise Rejected("one key twice in one write")
        values = sum(len(change.value) for change in changes if isinstance(change, Put))
        if len(changes) > 63 or values + len(version.encode()) > 1_572_000:
            raise TooLarge("the write is over etcd's limit of 1.5 MiB or 128 operations")

    def _page_locked(self, prefix: str, after: str, limit: int) -> Page:
        kvs = self._mvcc.range(*self.layout.listing(prefix, after))
        listed = tuple(Listed(self.layout.key_of(kv.key), kv.mod, kv.created) for kv in kvs[:limit])
        return Page(self._header_locked(), listed, more=len(kvs) > limit)

    def _grant_locked(self, ttl: int) -> Lease:
        if self.no_space:
            raise NoSpace("the fake store's quota is used up")
        self._last_lease += 1
        self._mvcc.leases.add(self._last_lease)
        self._ttl[self._last_lease] = ttl
        self._expires[self._last_lease] = self._now + ttl
        return Lease(self._last_lease, ttl)

    def _renew_locked(self, lease: int) -> int:
        if lease not in self._mvcc.leases:
            return 0
        self._expires[lease] = self._now + self._ttl[lease]
        return self._ttl[lease]

    def _end_lease_locked(self, lease: int) -> None:
        self._expires.pop(lease, None)
        self._tell_locked(self._mvcc.end_lease(lease))

    def _claim_locked(self, slot: int, lease: int, description: str) -> bool:
        if self.no_space:
            raise NoSpace("the fake store's quota is used up")
        if self._mvcc.get(self.layout.member(slot)):
            return False
        self._write_locked([(self.layout.member(slot), description.encode(), lease)], [])
        return True

    def _watch_locked(self, version_from: Revision, members_from: Revision) -> FakeStream:
        stream = FakeStream(self._changed, lambda: self._paused, (version_from, members_from))
        self._streams.append(stream)
        try:
            backlog = self._mvcc.since(min(version_from, members_from))
        except CompactedError as error:
            stream.end_locked(Compacted(f"the watch's first revision is gone; the oldest is {error}"))
            return stream
        for kv in backlog:
            stream.offer_locked(to_event(self.layout, kv))
        return stream

    def _write_raw(self, puts: list[tuple[bytes, bytes, int]], deletes: list[bytes]) -> Revision:
        with self._changed:
            self._write_locked(puts, deletes)
            return self._mvcc.revision

    def _write_locked(self, puts: list[tuple[bytes, bytes, int]], deletes: list[bytes]) -> None:
        try:
            self._tell_locked(self._mvcc.write(puts, deletes))
        except NoLeaseError as error:
            raise Rejected(f"requested lease not found: {error}") from error

    def _tell_locked(self, changes: Sequence[Kv]) -> None:
        for kv in changes:
            for stream in self._open_locked():
                stream.offer_locked(to_event(self.layout, kv))
        self._changed.notify_all()

    def _header_locked(self) -> Header:
        return Header(self.cluster, self._mvcc.revision)


def _slot(layout: Layout, kv: Kv) -> int:
    slot = layout.slot_of(kv.key)
    assert slot is not None
    return slot


def _holds(precondition: Precondition | None, mod_revision: Revision) -> bool:
    match precondition:
        case None:
            return True
        case MustExist():
            return mod_revision > 0
        case MustBeAbsent():
            return mod_revision == 0
        case MustBeAt(wanted):
            return mod_revision == wanted
