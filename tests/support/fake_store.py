"""FakeStore: the protocol's store in memory, with every interleaving in the test's hand.

Owns the lock, the gates and the watch streams; what each call does is in `fake_etcd`, the history in `mvcc`.
Passes the same contract suite as the store over etcd. How to use it:

    store = FakeStore()
    gate = store.hold("read")                  # the next read is executed, and its answer held
    gate = store.hold("commit", At.REQUEST)    # the next commit is held before it is executed
    gate.wait_until_held()                     # the call now stands at the gate
    gate.release()                             # lets it go on
    gate.fail(OutcomeUnknown("lost"))          # or makes it raise: executed if held at its answer, else not
    store.hold("commit").fail(…)               # opened beforehand: the next commit does happen, its answer is lost
    store.no_space = True                      # writes raise NoSpace
    store.reachable = False                    # every call raises Unavailable, streams stay silent

    store.pause_watch()                        # events queue up, undelivered
    store.step_watch()                         # delivers the next one, to each stream
    store.resume_watch()                       # delivers them all from here on
    store.settle_watch()                       # returns when all that may be delivered has been consumed
    store.deafen_watch()                       # streams open now never see what comes from here on
    store.cut_watch()                          # every stream ends with Unavailable, or the error given

    store.put_outside("key", b"1")             # as etcdctl would: no version is written; also delete_outside,
    store.put_version(record)                  # put_version (an event without a document), delete_version
    store.vanish(lease)                        # the lease and its keys are gone, as after an expiry or a revoke
    store.advance(seconds)                     # the leases' clock; expires what is due
    saved = store.snapshot(); store.restore(saved)    # time turns back: same cluster id, lower revisions
    store.compact(revision)

    store.calls["read"], store.wants_asked, store.values_moved, store.revision, store.document("key")

Kinds of calls: read survey commit intend withdraw policy page grant keep_alive revoke claim fleet watch past values
scan versions touched existed acknowledge record erase wait traces recorded past_names forget forget_all doubt
begin_past.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TypeVar

from consistency.core.model import Departure, Document, Fence, Revision, VersionRecord
from consistency.core.past import KeyPast
from consistency.core.records import Keeping, Record, Trace
from consistency.core.store import (
    Change,
    Commit,
    Compacted,
    InForce,
    Lease,
    Page,
    Past,
    PastNames,
    PastVersions,
    ReadAnswer,
    Scan,
    StoreError,
    Survey,
    Touched,
    Unavailable,
    Want,
    WatchEvent,
)
from consistency.etcd.transactions import Layout
from simulation.etcd.mvcc import CompactedError, Kv, Mvcc
from tests.support.bell import Bell
from tests.support.driver import until
from tests.support.fake_etcd import FakeEtcd
from tests.support.fake_watch import FakeStream, to_event
from tests.support.gates import LIMIT, At, ForgottenGateError, Gate

T = TypeVar("T")


class FakeStore:
    """See the module's opening. Its calls are for loops, the test's hand for any thread."""

    def __init__(self, prefix: str = "fake", cluster: int = 0xC0FFEE) -> None:
        self.layout = Layout(prefix)
        self.reachable = True
        self.calls: Counter[str] = Counter()
        self._lock = threading.RLock()  # protects everything below
        self._changed = Bell()
        self._etcd = FakeEtcd(self.layout, cluster, self._tell_locked)
        self._gates: list[Gate] = []
        self._streams: list[FakeStream] = []
        self._paused = False
        self._closed = False

    # --- the protocol's calls

    async def read(
        self, wants: Sequence[Want], slot: int | None, *, intents: bool = False, timeout: float
    ) -> ReadAnswer:
        del timeout
        return await self._call("read", lambda: self._etcd.read(wants, slot, intents))

    async def survey(self, at: Revision | None, *, timeout: float) -> Survey:
        del timeout
        return await self._call("survey", lambda: self._etcd.survey(at))

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
        del timeout
        return await self._call(
            "commit", lambda: self._etcd.commit(changes, version, only_if_new, policy, new_policy, keeping, fence)
        )

    async def intend(
        self, changes: Sequence[Change], version: VersionRecord, *, lease: int, policy: Revision, timeout: float
    ) -> Commit:
        del timeout
        return await self._call("intend", lambda: self._etcd.intend(changes, version, lease, policy))

    async def withdraw(self, nonces: Sequence[str], *, timeout: float) -> None:
        del timeout
        await self._call("withdraw", lambda: self._etcd.withdraw(nonces))

    async def traces(self, key: str, *, timeout: float) -> KeyPast:
        del timeout
        return await self._call("traces", lambda: self._etcd.traces(key))

    async def recorded(self, key: str, traces: Sequence[Trace], at: Revision, *, timeout: float) -> tuple[Record, ...]:
        del timeout
        return await self._call("recorded", lambda: self._etcd.recorded(key, traces, at))

    async def past_names(
        self, prefix: str, *, after: bytes, limit: int, at: Revision | None = None, timeout: float
    ) -> PastNames:
        del timeout
        return await self._call("past_names", lambda: self._etcd.past_names(prefix, after, limit, at))

    async def forget(self, key: str, traces: Sequence[Trace], kept_from: Revision, *, timeout: float) -> bool:
        del timeout
        return await self._call("forget", lambda: self._etcd.forget(key, traces, kept_from))

    async def forget_all(self, *, limit: int, timeout: float) -> bool:
        del timeout
        return await self._call("forget_all", lambda: self._etcd.forget_all(limit))

    async def doubt(self, keys: Sequence[str], nonce: str, *, timeout: float) -> None:
        del timeout
        await self._call("doubt", lambda: self._etcd.doubt(keys, nonce))

    async def begin_past(self, *, anew: bool, timeout: float) -> None:
        del timeout
        await self._call("begin_past", lambda: self._etcd.begin_past(anew))

    async def policy(self, *, timeout: float) -> InForce:
        del timeout
        return await self._call("policy", self._etcd.policy)

    async def page(self, prefix: str, *, after: str | bytes, limit: int, timeout: float) -> Page:
        del timeout
        return await self._call("page", lambda: self._etcd.page(prefix, after, limit))

    async def past(self, key: str, revision: Revision, *, timeout: float) -> Past:
        del timeout
        return await self._call("past", lambda: self._etcd.past(key, revision))

    async def values(
        self, keys: Sequence[str], at: Revision, *, names_only: bool = False, timeout: float
    ) -> tuple[Document | None, ...]:
        del timeout
        return await self._call("values", lambda: self._etcd.values(keys, at, names_only))

    async def scan(
        self, prefix: str, *, after: str | bytes, limit: int, at: Revision, names_only: bool = False, timeout: float
    ) -> Scan:
        del timeout
        return await self._call("scan", lambda: self._etcd.scan(prefix, after, limit, at, names_only))

    async def versions(self, after: Revision, until: Revision, *, most: int, timeout: float) -> PastVersions:
        del timeout
        return await self._call("versions", lambda: self._etcd.versions(after, until, most))

    async def touched(self, since: Revision, *, limit: int, timeout: float) -> Touched:
        del timeout
        return await self._call("touched", lambda: self._etcd.touched(since, limit))

    async def existed(self, keys: Sequence[str], at: Revision, *, timeout: float) -> tuple[bool, ...]:
        del timeout
        return await self._call("existed", lambda: self._etcd.existed(keys, at))

    async def acknowledge(self, slot: int, lease: int, applied: Revision, *, timeout: float) -> None:
        del timeout
        await self._call("acknowledge", lambda: self._etcd.acknowledge(slot, lease, applied))

    async def wait(self, lease: int, description: str, *, timeout: float) -> None:
        del timeout
        await self._call("wait", lambda: self._etcd.wait(lease, description))

    async def record(self, departure: Departure, lease: int, *, timeout: float) -> bool:
        del timeout
        return await self._call("record", lambda: self._etcd.record(departure, lease))

    async def erase(self, departed: Sequence[int], *, timeout: float) -> None:
        del timeout
        await self._call("erase", lambda: self._etcd.erase(departed))

    async def grant(self, ttl: int, *, timeout: float) -> Lease:
        del timeout
        return await self._call("grant", lambda: self._etcd.grant(ttl))

    async def keep_alive(self, lease: int, *, timeout: float) -> int:
        del timeout
        return await self._call("keep_alive", lambda: self._etcd.keep_alive(lease))

    async def revoke(self, lease: int, *, timeout: float) -> None:
        del timeout
        await self._call("revoke", lambda: self._etcd.revoke(lease))

    async def claim(self, slot: int, lease: int, description: str, *, timeout: float) -> bool:
        del timeout
        return await self._call("claim", lambda: self._etcd.claim(slot, lease, description))

    async def fleet(self, candidate: str, *, timeout: float) -> str:
        del timeout
        return await self._call("fleet", lambda: self._etcd.fleet(candidate))

    async def watch(self, version_from: Revision, members_from: Revision, *, timeout: float) -> FakeStream:
        del timeout
        return await self._call("watch", lambda: self._watch_locked(version_from, members_from))

    async def close(self) -> None:
        with self._lock:
            self._closed = True
        self.cut_watch(Unavailable("the store is closed"))

    # --- the test's hand

    def hold(self, kind: str, at: At = At.ANSWER) -> Gate:
        """Holds the next call of that kind which no earlier gate holds."""
        gate = Gate(kind, at)
        with self._lock:
            self._gates.append(gate)
        return gate

    def pause_watch(self) -> None:
        """Events queue up undelivered, in the streams open now and in later ones."""
        with self._lock:
            self._paused = True

    def resume_watch(self) -> None:
        """Delivers what has queued up, and all that follows."""
        with self._lock:
            self._paused = False
            self._changed.ring()

    def step_watch(self, count: int = 1, timeout: float = LIMIT) -> None:
        """Delivers the next `count` events to each open stream, and returns when they have been consumed.

        Raises ForgottenGateError when a stream has fewer, or its consumer doesn't come back within `timeout` seconds.
        """
        with self._lock:
            for stream in self._open_locked():
                if len(stream.pending) < count:
                    raise ForgottenGateError(f"asked to deliver {count} events, the stream has {len(stream.pending)}")
                stream.allowed += count
            self._changed.ring()
        self.settle_watch(timeout)

    def settle_watch(self, timeout: float = LIMIT) -> None:
        """Returns when every open stream's consumer waits again and nothing that may be delivered is left."""
        if not until(self._has_settled, timeout):
            raise ForgottenGateError(f"a stream's events were not consumed within {timeout} s")

    def _has_settled(self) -> bool:
        with self._lock:
            return all(stream.settled() for stream in self._open_locked())

    def cut_watch(self, error: StoreError | None = None) -> None:
        """Ends every open stream; what it has not delivered is lost."""
        with self._lock:
            self._end_streams_locked(error or Unavailable("the watch was cut"))

    def deafen_watch(self) -> None:
        """The streams open now stay open, and never see what comes from here on."""
        with self._lock:
            for stream in self._open_locked():
                stream.deaf = True

    def pending(self) -> list[WatchEvent]:
        """What the one stream that is open has not delivered yet."""
        with self._lock:
            (stream,) = self._open_locked()
            return list(stream.pending)

    @property
    def streams(self) -> int:
        """How many streams are open."""
        with self._lock:
            return len(self._open_locked())

    def put_outside(self, key: str, value: bytes, lease: int = 0) -> Revision:
        """Writes a document without a version, as etcdctl would; the revision."""
        with self._lock:
            return self._etcd.write([(self.layout.document(key), value, lease)])

    def put_raw(self, key: bytes, value: bytes, lease: int = 0) -> Revision:
        """Writes any key at all, as etcdctl would."""
        with self._lock:
            return self._etcd.write([(key, value, lease)])

    def intents(self) -> list[str]:
        """The nonces of the guarded writes that are under way."""
        with self._lock:
            return [intent.nonce for intent in self._etcd.survey(None).intents]

    def delete_outside(self, key: str) -> Revision:
        """Deletes a document without a version."""
        with self._lock:
            return self._etcd.write([], [self.layout.document(key)])

    def put_version(self, record: VersionRecord) -> Revision:
        """Writes a version without a document."""
        with self._lock:
            return self._etcd.write([(self.layout.version, record.encode(), 0)])

    def delete_version(self) -> Revision:
        """Deletes the version key, as a careless hand would."""
        with self._lock:
            return self._etcd.write([], [self.layout.version])

    def vanish(self, lease: int) -> None:
        """Ends a lease and deletes its keys; nobody is told but the watch."""
        with self._lock:
            self._etcd.revoke(lease)

    def advance(self, seconds: float) -> None:
        """Moves the leases' clock, and ends what is due."""
        with self._lock:
            self._etcd.advance(seconds)

    def compact(self, revision: Revision) -> None:
        """Forgets what was before `revision`; streams that are open go on."""
        with self._lock:
            self._etcd.history.compact(revision)

    def snapshot(self) -> Mvcc:
        """What `restore` takes."""
        with self._lock:
            return self._etcd.history.copy()

    def restore(self, saved: Mvcc) -> None:
        """Turns time back, keeping the cluster id. Streams are cut, as a restarting etcd cuts them."""
        with self._lock:
            self._end_streams_locked(Unavailable("the store was restored from a backup"))
            self._etcd.restore(saved)

    @property
    def no_space(self) -> bool:
        """Whether the quota is used up."""
        return self._etcd.no_space

    @no_space.setter
    def no_space(self, used_up: bool) -> None:
        self._etcd.no_space = used_up

    @property
    def wants_asked(self) -> int:
        """Keys asked for, in all reads."""
        return self._etcd.wants_asked

    @property
    def values_moved(self) -> int:
        """Values that were not just validated, in all reads."""
        return self._etcd.values_moved

    @property
    def revision(self) -> Revision:
        """The store's current revision."""
        with self._lock:
            return self._etcd.history.revision

    def document(self, key: str) -> bytes | None:
        """A document as it stands; counts as no call."""
        with self._lock:
            kv = self._etcd.history.get(self.layout.document(key))
            return kv.value if kv else None

    # --- how it is done

    async def _call(self, kind: str, action: Callable[[], T]) -> T:
        gate = self._meet_gate(kind)
        if gate and gate.at is At.REQUEST:
            await gate.stop_here()
        with self._lock:
            self._refuse_locked()
            result = action()
        if gate and gate.at is At.ANSWER:
            try:
                await gate.stop_here()
            except BaseException:
                if isinstance(result, FakeStream):  # nobody will ever have it
                    result.close()
                raise
        return result

    def _meet_gate(self, kind: str) -> Gate | None:
        with self._lock:
            self.calls[kind] += 1
            gate = next((gate for gate in self._gates if gate.kind == kind), None)
            if gate:
                self._gates.remove(gate)
            return gate

    def _refuse_locked(self) -> None:
        if self._closed:
            raise Unavailable("the store is closed")
        if not self.reachable:
            raise Unavailable("the fake store is unreachable")

    def _watch_locked(self, version_from: Revision, members_from: Revision) -> FakeStream:
        stream = FakeStream(self._lock, self._changed, lambda: self._paused, (version_from, members_from))
        self._streams.append(stream)
        try:
            for kv in self._etcd.history.since(min(version_from, members_from)):
                stream.offer_locked(to_event(self.layout, kv))
        except CompactedError as error:
            stream.end_locked(Compacted(f"the watch starts before {error}, the oldest revision there is"))
        return stream

    def _tell_locked(self, changes: Sequence[Kv]) -> None:
        for kv in changes:
            for stream in self._open_locked():
                stream.offer_locked(to_event(self.layout, kv))
        self._changed.ring()

    def _end_streams_locked(self, error: StoreError) -> None:
        for stream in self._streams:
            stream.end_locked(error)
        self._streams.clear()

    def _open_locked(self) -> list[FakeStream]:
        self._streams = [stream for stream in self._streams if stream.error is None]
        return self._streams
