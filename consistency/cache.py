"""`DistributedCache`: one instance's access to the configuration. See PROTOCOL.md for the rules cited here.

Owns the parts of the protocol and their threads; does the writes. Does not own the store: who made it closes it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from consistency.clock import boottime
from consistency.events import Event, Left, Observer, TimeWentBackwards, ignore
from consistency.local_state import LocalState
from consistency.membership import Membership
from consistency.options import CacheOptions
from consistency.prover import Prover
from consistency.reads import Reads
from consistency.store import Change, Commit, Delete, OutcomeUnknown, Page, Put, Store
from consistency.terms import (
    Demand,
    MustExist,
    Precondition,
    PreconditionFailed,
    Reading,
    Revision,
    Status,
    VersionRecord,
    Written,
    new_nonce,
)
from consistency.version_watch import VersionWatch
from consistency.workers import Worker

STOP_WITHIN = 5.0
"""Seconds for all threads together to end at `close`."""


class DistributedCache:
    """Reads from memory what is proven fresh, everything else and all writes from and to the store.

    store: shared with the other instances through etcd. options: see `CacheOptions`. description: JSON that tells the
    fleet about this instance, stored in its member key. observer: see `consistency.events`. clock: local seconds, for
    the freshness window only. Safe for concurrent use. Before `start` and after `close` it answers without caching.
    """

    def __init__(
        self,
        store: Store,
        options: CacheOptions,
        *,
        description: str = "{}",
        observer: Observer = ignore,
        clock: Callable[[], float] = boottime,
    ) -> None:
        self._store = store
        self._options = options
        self._clock = clock
        self._observer = observer
        self._state = LocalState(options, self._notice, clock)
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
            timeout=options.timeout,
            observer=observer,
            on_moved=self._prove_soon,
        )
        membership = Membership(
            store,
            self._state,
            ttl=options.lease_ttl,
            preferred_slot=options.preferred_slot,
            description=description,
            timeout=options.timeout,
            observer=observer,
            on_joined=self._prove_soon,
        )
        prover = Prover(
            self._reads,
            self._state,
            interval=options.proof_interval,
            patience=options.staleness_bound,
            clock=clock,
            on_stuck=self._watch_again,
        )
        self._follower = Worker("version-watch", self._watch.run, observer)
        self._joiner = Worker("membership", membership.run, observer)
        self._prover = Worker("prover", prover.run, observer)
        self._closing = threading.Lock()  # protects _closed
        self._closed = False

    def start(self) -> None:
        """Starts the three threads; returns at once. Hits begin when a slot is held and a proof has come."""
        for worker in (self._follower, self._joiner, self._prover):
            worker.start()

    def close(self) -> None:
        """Stops hits, gives the slot back, ends and joins every thread. May be called twice.

        Raises RuntimeError if a thread does not end in time.
        """
        with self._closing:
            if self._closed:
                return
            self._closed = True
        self._state.leave("closed")
        workers = (self._follower, self._joiner, self._prover)
        for worker in workers:
            worker.ask_to_stop()
        self._watch.close()
        deadline = self._clock() + STOP_WITHIN
        late = [worker.name for worker in workers if not worker.join(deadline - self._clock())]
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
    ) -> Reading:
        """Reads `key`.

        use_cache: True: the value was current at some moment no earlier than the staleness bound before the call;
        False: linearizable, read from the store. linearizable: so is a cached read, for the price of a proof, which
        concurrent readers share (rule 11). min_revision: a revision this client has seen; the answer is no older
        (rule 10). stale_if_error: seconds of staleness beyond the bound that the caller prefers to Unavailable; then
        the answer's source is STALE. Raises Unavailable (freshness can't be proven and the store can't be asked),
        Denied, and WrongTimeline (`min_revision` is from another history).
        """
        return self._reads.get(key, Demand(use_cache, linearizable, min_revision, stale_if_error))

    def put(self, key: str, value: bytes, *, precondition: Precondition | None = None) -> Written:
        """Stores `value`, a JSON document, byte for byte (rule 1).

        Raises PreconditionFailed, Rejected and its kinds, Unavailable: nothing was written. OutcomeUnknown: it may
        have been, now or later.
        """
        commit = self._commit(Put(key, value, precondition), "put")
        if not commit.committed:
            raise PreconditionFailed(key, commit.before[0])
        return Written(commit.header.revision, existed=commit.before[0] > 0)

    def delete(self, key: str, *, precondition: Precondition | None = None) -> Written:
        """Removes `key`; without one, and without a precondition, nothing is written (rule 1). Raises as `put` does."""
        commit = self._commit(Delete(key, precondition or MustExist()), "delete")
        if not commit.committed and precondition is not None:
            raise PreconditionFailed(key, commit.before[0])
        return Written(commit.header.revision, existed=commit.committed)

    def page(self, prefix: str, *, after: str, limit: int) -> Page:
        """Up to `limit` keys that start with `prefix` and come after `after`: linearizable, uncached.

        Raises Denied, Unavailable.
        """
        self._reads.refuse_if_down()
        return self._store.page(prefix, after=after, limit=limit, timeout=self._options.timeout)

    def status(self) -> Status:
        """What this instance knows of itself. Asks nobody."""
        snapshot, now = self._state.snapshot(), self._clock()
        return Status(
            why_not_ready=self._why_not_ready(now),
            slot=snapshot.slot,
            horizon=snapshot.horizon,
            proof_age=None if snapshot.proved_at is None else max(0.0, now - snapshot.proved_at),
            fresh=now < snapshot.fresh_until,
            entries=snapshot.entries,
            bytes=snapshot.bytes,
            watch_up=snapshot.watch_up,
            members=snapshot.members,
        )

    def _commit(self, change: Change, op: str) -> Commit:
        record = VersionRecord(new_nonce(), frozenset((change.key,)), op)
        self._reads.refuse_if_down()
        ticket = self._state.ticket()
        try:
            commit = self._store.commit((change,), record, timeout=self._options.timeout)
        except OutcomeUnknown:
            self._state.may_have_written(change.key)
            raise
        if commit.committed:
            self._state.wrote(change.key, commit.header, ticket)
        return commit

    # What one part of the protocol finds out and another has to act upon

    def _notice(self, event: Event) -> None:
        self._observer(event)
        match event:
            case TimeWentBackwards():
                self._start_over()
            case Left(cause="expired" | "taken"):
                self._joiner.wake()

    def _prove_soon(self) -> None:
        self._prover.wake()

    def _watch_again(self) -> None:
        self._watch.restart("stuck")

    def _start_over(self) -> None:
        """Another history: the watch starts from a survey, and a slot is claimed anew (rule 8)."""
        self._state.leave("history")
        self._watch.restart("history")
        self._joiner.wake()

    def _why_not_ready(self, now: float) -> str:
        if self._closed:
            return "this instance is shutting down"
        answered = self._reads.answered_at
        if answered is None:
            return f"etcd has not answered yet: {self._reads.last_error}"
        if now - answered > self._options.staleness_bound + self._options.proof_interval:
            return f"etcd has not answered for {now - answered:.1f} s: {self._reads.last_error}"
        return ""
