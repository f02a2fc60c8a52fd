"""`DistributedCache`: one instance's access to the configuration. See PROTOCOL.md for the rules cited here.

Owns the parts of the protocol and their threads; does the writes. Does not own the store: who made it closes it.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Collection, Sequence

from consistency.core.events import Acknowledged, Event, Left, Observer, TimeWentBackwards, ignore
from consistency.core.model import (
    Applied,
    Demand,
    MustExist,
    Precondition,
    PreconditionFailed,
    Reading,
    Revision,
    Source,
    Status,
    VersionRecord,
    Written,
    holds,
    new_nonce,
)
from consistency.core.options import CacheOptions
from consistency.core.store import Change, Commit, Delete, OutcomeUnknown, Page, Put, Store, StoreError, Unavailable
from consistency.instance.acknowledger import Acknowledger
from consistency.instance.auditor import Auditor
from consistency.instance.clock import boottime
from consistency.instance.fleet import Fleet
from consistency.instance.fleet_id import FleetId
from consistency.instance.group_commit import GroupCommit
from consistency.instance.membership import Membership
from consistency.instance.prover import Prover
from consistency.instance.reads import Reads
from consistency.instance.recorder import Recorder
from consistency.instance.state import LocalState
from consistency.instance.watch import VersionWatch
from consistency.instance.workers import Worker

STOP_WITHIN = 5.0
"""Seconds for all threads together to end at `close`."""


class DistributedCache:
    """Reads from memory what is proven fresh, everything else and all writes from and to the store.

    store: shared with the other instances through etcd. options: see `CacheOptions`. description: JSON that tells the
    fleet about this instance, stored in its member key; `boot` in it tells a process from the next one in its place.
    observer: see `consistency.core.events`. clock: local seconds, for the freshness window only. wall: seconds since
    1970, to say when somebody left. etcd_trouble: what else is known of a store that does not answer, else "". Safe for
    concurrent use. Before `start` and after `close` it answers without caching.
    """

    def __init__(
        self,
        store: Store,
        options: CacheOptions,
        *,
        description: str = "{}",
        observer: Observer = ignore,
        clock: Callable[[], float] = boottime,
        wall: Callable[[], float] = time.time,
        etcd_trouble: Callable[[], str] = lambda: "",
    ) -> None:
        self._store = store
        self._options = options
        self._clock = clock
        self._etcd_trouble = etcd_trouble
        self._observer = observer
        self._state = LocalState(options, self._notice, clock)
        self._fleet = Fleet(options.staleness_bound, clock, wall)
        self._fleet_id = FleetId(store, clock)
        self._group = GroupCommit(self._write_puts, clock)
        self._reads = Reads(
            store,
            self._state,
            options,
            observer=observer,
            clock=clock,
        )
        self._watch = VersionWatch(
            store,
            self._state,
            self._fleet,
            timeout=options.timeout,
            observer=observer,
            on_moved=self._ask_soon,
            on_owed=self._acknowledge_soon,
            on_fleet=self._record_soon,
        )
        auditor = Auditor(
            store,
            self._state,
            self._fleet,
            interval=options.audit_interval,
            timeout=options.timeout,
            observer=observer,
        )
        self._membership = Membership(
            store,
            self._state,
            ttl=options.lease_ttl,
            preferred_slot=options.preferred_slot,
            description=description,
            timeout=options.timeout,
            observer=observer,
            before_joining=self._identify,
            before_first=auditor.look_first,
            on_joined=self._joined,
            wall=wall,
        )
        prover = Prover(
            self._reads,
            self._state,
            interval=options.proof_interval,
            patience=options.staleness_bound,
            clock=clock,
            on_stuck=self._watch_again,
        )
        acknowledger = Acknowledger(store, self._state, self._fleet, timeout=options.timeout)
        self._follower = Worker("version-watch", self._watch.run, observer)
        self._joiner = Worker("membership", self._membership.run, observer)
        self._prover = Worker("prover", prover.run, observer)
        self._acknowledger = Worker("acknowledger", acknowledger.run, observer)
        self._auditor = Worker("auditor", auditor.run, observer)
        recorder = Recorder(store, self._state, self._fleet, timeout=options.timeout)
        self._recorder = Worker("recorder", recorder.run, observer)
        self._workers = (
            self._follower,
            self._joiner,
            self._prover,
            self._acknowledger,
            self._auditor,
            self._recorder,
        )
        self._closing = threading.Lock()  # protects _closed
        self._closed = False

    def start(self) -> None:
        """Starts the threads; returns at once. Hits begin when a slot is held and a proof has come."""
        for worker in self._workers:
            worker.start()

    def close(self) -> None:
        """Stops hits, gives the slot back, ends and joins every thread. May be called twice.

        Raises RuntimeError if a thread does not end in time.
        """
        with self._closing:
            if self._closed:
                return
            self._closed = True
        # First. Else: 1. we leave the slot; 2. the joiner, just awake, finds that it is not held any more, and gives
        # the lease back; 3. it is told to stop. It has said nothing, and others take an orderly end for a loss.
        self._joiner.ask_to_stop()
        self._state.leave("closed")
        for worker in self._workers:
            worker.ask_to_stop()
        self._watch.close()
        deadline = self._clock() + STOP_WITHIN
        late = [worker.name for worker in self._workers if not worker.join(deadline - self._clock())]
        if late:
            raise RuntimeError(f"threads did not end within {STOP_WITHIN:g} s: {', '.join(late)}")

    def get(
        self,
        key: str,
        use_cache: bool = True,
        *,
        linearizable: bool = False,
        min_revision: Revision = 0,
        stale_if_error: float = 0.0,
        session_unknown: bool = False,
    ) -> Reading:
        """Reads `key`.

        use_cache: True: the value was current at some moment no earlier than the staleness bound before the call;
        False: linearizable, read from the store. linearizable: so is a cached read, for the price of a proof, which
        concurrent readers share (rule 11). min_revision: a revision this client has seen; the answer is no older
        (rule 10). stale_if_error: seconds of staleness beyond the bound that the caller prefers to Unavailable; then
        the answer's source is STALE. session_unknown: this client has seen nobody knows what: as `linearizable`, and
        never STALE (rule 10). Raises Unavailable (freshness can't be proven and the store can't be asked), Denied, and
        WrongTimeline (`min_revision` is from another history).
        """
        return self._reads.get(key, Demand(use_cache, linearizable, min_revision, stale_if_error, session_unknown))

    def hit(self, key: str, min_revision: Revision = 0) -> Reading | None:
        """The quick half of `get`: what can be served from memory at once, or None. Waits for nothing, asks nobody."""
        return self._reads.hit(key, min_revision)

    @property
    def known_fleet_id(self) -> str:
        """What names this fleet; "" while it is not known. Asks nobody."""
        return self._fleet_id.known

    def fleet_id(self) -> str:
        """What names this fleet, and no other: 16 hexadecimal digits, for ever the same. Asks the store at most once.

        Raises Unavailable, and Rejected and its kinds: nothing was done.
        """
        if known := self._fleet_id.known:
            return known
        self._reads.refuse_if_down()
        return self._fleet_id.get(self._clock() + self._options.timeout)

    def get_at(self, key: str, revision: Revision) -> Reading:
        """Reads `key` as it stood at an earlier revision, from the store.

        Raises Compacted (it has been forgotten), NotReached (it lies in the future), Denied, Unavailable.
        """
        self._reads.refuse_if_down()
        document = self._store.past(key, revision, timeout=self._options.timeout).document
        if document is None:
            return Reading(None, 0, revision, Source.BYPASS, 0.0)
        return Reading(document.data, document.mod_revision, revision, Source.BYPASS, 0.0)

    def put(self, key: str, value: bytes, *, precondition: Precondition | None = None, sync: bool = False) -> Written:
        """Stores `value`, a JSON document, byte for byte (rule 1).

        sync: return only when no instance will serve the old value any more (rule 12).
        Raises PreconditionFailed, Rejected and its kinds, Unavailable: nothing was written. OutcomeUnknown: it may
        have been, now or later.
        """
        change = Put(key, value, precondition)
        if precondition is None and not sync:
            applied = self._put_in_company(change)
        else:
            applied = self._write((change,), "put", sync)
        return Written(applied.revision, applied.existed[0], applied.acks)

    def delete(self, key: str, *, precondition: Precondition | None = None, sync: bool = False) -> Written:
        """Removes `key`; without one, and without a precondition, nothing is written (rule 1). Otherwise as `put`."""
        try:
            applied = self._write((Delete(key, precondition or MustExist()),), "delete", sync)
        except PreconditionFailed as refused:
            if precondition is not None:
                raise
            # Nothing was written, so nobody acknowledges; somebody else's delete may still be on its way.
            return Written(refused.revision, False, self._await_acks(refused.revision, ()) if sync else None)
        return Written(applied.revision, existed=True, acks=applied.acks)

    def apply(self, changes: Sequence[Change], *, sync: bool = False) -> Applied:
        """All of the changes, each with its own precondition, or none; at one revision. Otherwise as `put`.

        Deleting an absent key is no failure. Raises PreconditionFailed for the first precondition that does not hold,
        and ValueError when a key occurs twice.
        """
        if len({change.key for change in changes}) < len(changes):
            raise ValueError("a key may occur only once in a batch")
        return self._write(tuple(changes), "batch", sync)

    def page(self, prefix: str, *, after: str | bytes, limit: int) -> Page:
        """Up to `limit` keys that start with `prefix` and come after `after`: linearizable, uncached. See Store.page.

        Raises Denied, Unavailable.
        """
        self._reads.refuse_if_down()
        return self._store.page(prefix, after=after, limit=limit, timeout=self._options.timeout)

    def status(self) -> Status:
        """What this instance knows of itself. Asks nobody."""
        snapshot, now = self._state.snapshot(), self._clock()
        return Status(
            why_not_ready=self._why_not_ready(now),
            why_not_routed=self._why_not_routed(),
            slot=snapshot.slot,
            horizon=snapshot.horizon,
            proof_age=None if snapshot.proved_at is None else max(0.0, now - snapshot.proved_at),
            fresh=now < snapshot.fresh_until,
            entries=snapshot.entries,
            bytes=snapshot.bytes,
            watch_up=snapshot.watch_up,
            members=self._fleet.members(),
            departed=self._fleet.departed(),
            waiting=self._fleet.waiting(),
            lease=snapshot.lease or self._membership.waiting,
            lease_age=None if snapshot.slot is None else max(0.0, now - snapshot.renewed_at),
        )

    def _write(self, changes: tuple[Change, ...], op: str, sync: bool) -> Applied:
        commit = self._commit(changes, op, sync, self._options.timeout)
        revision = commit.header.revision
        if not commit.committed:
            raise _refusal(changes, commit)
        acks = self._await_acks(revision, commit.members) if sync else None
        return Applied(revision, tuple(before > 0 for before in commit.before), acks)

    def _put_in_company(self, put: Put) -> Applied:
        try:
            return self._group.put(put, self._clock() + self._options.timeout)
        except OutcomeUnknown:
            # The group may still be on its way: who doesn't lead it can be out of time before.
            self._state.may_have_written((put.key,))
            raise

    def _write_puts(self, puts: Sequence[Put], deadline: float) -> Applied:
        """Of unconditional puts, so there is nothing that could be refused."""
        if (left := deadline - self._clock()) <= 0:
            raise Unavailable("the writes before it took too long; nothing was sent")
        commit = self._commit(tuple(puts), "put", False, left)
        return Applied(commit.header.revision, tuple(before > 0 for before in commit.before))

    def _commit(self, changes: tuple[Change, ...], op: str, sync: bool, timeout: float) -> Commit:
        self._reads.refuse_if_down()
        keys = frozenset(change.key for change in changes)
        record = VersionRecord(new_nonce(), keys, op, ack=sync)
        ticket = self._state.ticket()
        try:
            commit = self._store.commit(changes, record, timeout=timeout)
        except OutcomeUnknown:
            self._state.may_have_written(keys)
            raise
        if commit.committed:
            self._state.wrote(keys, commit.header, ticket)
        return commit

    def _await_acks(self, revision: Revision, members: Collection[int]) -> tuple[int, int]:
        """Until all have acknowledged, or every proof older than the answer that has just come has run out."""
        acks, complete = self._fleet.await_acks(revision, members, self._clock() + self._options.sync_wait)
        self._observer(Acknowledged(acks, len(members), complete))
        return acks, len(members)

    # What one part of the protocol finds out and another has to act upon

    def _notice(self, event: Event) -> None:
        self._observer(event)
        match event:
            case TimeWentBackwards():
                self._start_over()
            case Left(cause="expired" | "taken"):
                self._joiner.wake()

    def _identify(self) -> None:
        """Before anybody needs it. Who can't find it out now joins all the same: whoever needs it asks."""
        with contextlib.suppress(StoreError):
            self._fleet_id.get(self._clock() + self._options.timeout)

    def _ask_soon(self) -> None:
        self._joiner.wake()
        self._prover.wake()

    def _joined(self) -> None:
        self._prover.wake()
        self._recorder.wake()

    def _acknowledge_soon(self) -> None:
        self._acknowledger.wake()

    def _record_soon(self) -> None:
        self._recorder.wake()

    def _watch_again(self) -> None:
        self._watch.restart("stuck")

    def _start_over(self) -> None:
        """Another history: the watch starts from a survey, and a slot is claimed anew (rule 8)."""
        self._state.leave("history")
        self._fleet.forget()
        self._fleet_id.forget()
        self._watch.restart("history")
        self._joiner.wake()

    def _why_not_routed(self) -> str:
        if self._closed:
            return "this instance is shutting down"
        if self._reads.answered_at is None:
            return f"etcd has not answered yet: {self._reads.last_error}{self._known_trouble()}"
        return ""

    def _why_not_ready(self, now: float) -> str:
        answered = self._reads.answered_at
        if (why_not := self._why_not_routed()) or answered is None:
            return why_not
        if now - answered > self._options.staleness_bound + self._options.proof_interval:
            return f"etcd has not answered for {now - answered:.1f} s: {self._reads.last_error}{self._known_trouble()}"
        return ""

    def _known_trouble(self) -> str:
        trouble = self._etcd_trouble()
        return f"; {trouble}" if trouble else ""


def _refusal(changes: tuple[Change, ...], commit: Commit) -> PreconditionFailed:
    """For the first change whose precondition did not hold."""
    key, current = next(
        (change.key, before)
        for change, before in zip(changes, commit.before, strict=True)
        if not holds(change.precondition, before)
    )
    return PreconditionFailed(key, current, commit.header.revision)
