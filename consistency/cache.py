"""`AsyncDistributedCache`: one instance's access to the configuration. See PROTOCOL.md for the rules cited here.

Puts the parts of the protocol together and owns their tasks. Does not own the store: who made it closes it.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from consistency.core.events import Event, Left, Observer, TimeWentBackwards, ignore
from consistency.core.feed import Scope, Token, Told
from consistency.core.model import Applied, Demand, Precondition, Reading, Revision, Source, Status, Written
from consistency.core.options import CacheOptions
from consistency.core.store import Change, Page, Put, Store, StoreError
from consistency.instance.acknowledger import Acknowledger
from consistency.instance.auditor import Auditor
from consistency.instance.clock import boottime
from consistency.instance.feed import Feed
from consistency.instance.fleet import Fleet
from consistency.instance.fleet_id import FleetId
from consistency.instance.following import Following
from consistency.instance.lag import LoopLag
from consistency.instance.membership import Membership
from consistency.instance.prover import Prover
from consistency.instance.reads import HIT, Reads
from consistency.instance.recorder import Recorder
from consistency.instance.state import LocalState
from consistency.instance.watch import VersionWatch
from consistency.instance.writes import Writes
from consistency.tasks import Errands, Worker

STOP_WITHIN = 5.0
"""Seconds for all tasks together to end at `close`."""


class AsyncDistributedCache:
    """Reads from memory what is proven fresh, everything else and all writes from and to the store.

    store: shared with the other instances through etcd. options: see `CacheOptions`. description: JSON that tells the
    fleet about this instance, stored in its member key; `boot` in it tells a process from the next one in its place.
    observer: see `consistency.core.events`. clock: local seconds, for the freshness window only. wall: seconds since
    1970, to say when somebody left. etcd_trouble: what else is known of a store that does not answer, else "". Made and
    used on one loop; `hit` alone may be called from any thread. Before `start` and after `close` it answers without
    caching. `async with` starts and closes it.
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
        self._errands = Errands(observer)
        self._state = LocalState(options, self._notice, clock)
        self._fleet = Fleet(options.staleness_bound, clock, wall)
        self._fleet_id = FleetId(store, clock, self._errands)
        self._reads = Reads(store, self._state, options, observer=observer, clock=clock, errands=self._errands)
        self._writes = Writes(
            store,
            self._state,
            self._fleet,
            options,
            observer=observer,
            clock=clock,
            errands=self._errands,
            refuse_if_down=self._reads.refuse_if_down,
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
        self._feed = Feed(
            store, self._state, self._reads, options, observer=observer, clock=clock, errands=self._errands
        )
        acknowledger = Acknowledger(store, self._state, self._fleet, timeout=options.timeout)
        self._follower = Worker("version-watch", self._watch.run, observer)
        self._joiner = Worker("membership", self._membership.run, observer)
        self._prover = Worker("prover", prover.run, observer)
        self._acknowledger = Worker("acknowledger", acknowledger.run, observer)
        self._auditor = Worker("auditor", auditor.run, observer)
        recorder = Recorder(store, self._state, self._fleet, timeout=options.timeout)
        self._recorder = Worker("recorder", recorder.run, observer)
        self._feeder = Worker("feed", self._feed.run, observer)
        self._feed.bell = self._feeder.wake
        self._lag = LoopLag(clock)
        self._workers = (
            Worker("loop-lag", self._lag.run, observer),
            self._follower,
            self._joiner,
            self._prover,
            self._acknowledger,
            self._auditor,
            self._recorder,
            self._feeder,
        )
        self._started = False
        self._closed = False

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def start(self) -> None:
        """Start the tasks; return at once. Hits begin when a slot is held and a proof has come.

        Raises RuntimeError when it was started, or closed, before.
        """
        if self._started or self._closed:
            raise RuntimeError("this cache was started before, or closed; make another one")
        self._started = True
        for worker in self._workers:
            worker.start()

    async def close(self) -> None:
        """Stop hits, give the slot back, end and await every task. Who calls it again waits for the same end.

        Raises RuntimeError if a task does not end in time.
        """
        deadline = self._clock() + STOP_WITHIN
        if not self._closed:
            self._closed = True
            self._state.leave("closed")
            self._feed.close()
            for worker in self._workers:  # once: a second time would cut short what they have to give back
                worker.cancel()
        ends = [(worker.name, await worker.ended(deadline - self._clock())) for worker in self._workers]
        ends.append(("reads and writes", await self._errands.stop(deadline - self._clock())))
        late = [name for name, ended in ends if not ended]
        if late:
            raise RuntimeError(f"tasks did not end within {STOP_WITHIN:g} s: {', '.join(late)}")

    async def get(
        self,
        key: str,
        use_cache: bool = True,
        *,
        linearizable: bool = False,
        min_revision: Revision = 0,
        stale_if_error: float = 0.0,
        session_unknown: bool = False,
    ) -> Reading:
        """Read `key`.

        use_cache: True: the value was current at some moment no earlier than the staleness bound before the call;
        False: linearizable, read from the store. linearizable: so is a cached read, for the price of a proof, which
        concurrent readers share (rule 11). min_revision: a revision this client has seen; the answer is no older
        (rule 10). stale_if_error: seconds of staleness beyond the bound that the caller prefers to Unavailable; then
        the answer's source is STALE. session_unknown: this client has seen nobody knows what: as `linearizable`, and
        never STALE (rule 10). Raises Unavailable (freshness can't be proven and the store can't be asked), Denied, and
        WrongTimeline (`min_revision` is from another history).
        """
        if use_cache and not (linearizable or session_unknown) and (reading := self.hit(key, min_revision)):
            return reading
        return await self._reads.get(
            key, Demand(use_cache, linearizable, min_revision, stale_if_error, session_unknown)
        )

    def hit(self, key: str, min_revision: Revision = 0) -> Reading | None:
        """The quick half of `get`: what can be served from memory at once, or None. Waits for nothing, asks nobody."""
        reading = self._state.hit(key, min_revision)
        if reading is not None:
            self._observer(HIT)
        return reading

    @property
    def known_fleet_id(self) -> str:
        """What names this fleet; "" while it is not known. Asks nobody."""
        return self._fleet_id.known

    async def fleet_id(self) -> str:
        """What names this fleet, and no other: 16 hexadecimal digits, for ever the same. Asks the store at most once.

        Raises Unavailable, and Rejected and its kinds: nothing was done.
        """
        if known := self._fleet_id.known:
            return known
        self._reads.refuse_if_down()
        return await self._fleet_id.get(self._clock() + self._options.timeout)

    async def get_at(self, key: str, revision: Revision) -> Reading:
        """Read `key` as it stood at an earlier revision, from the store.

        Raises Compacted (it has been forgotten), NotReached (it lies in the future), Denied, Unavailable.
        """
        self._reads.refuse_if_down()
        document = (await self._store.past(key, revision, timeout=self._options.timeout)).document
        if document is None:
            return Reading(None, 0, revision, Source.BYPASS, 0.0)
        return Reading(document.data, document.mod_revision, revision, Source.BYPASS, 0.0)

    async def changes(
        self, scope: Scope, *, after: Token | None = None, wait: float = 0.0, values: bool = True
    ) -> Told:
        """What has changed in `scope` since the token `after`, as soon as something has (rule 18).

        All keys that changed in (since, to], each as it stands at `to`: applied to the state at `since`, they give
        exactly the state at `to`, whose token goes into the next call, here or on another instance. `to.revision` is a
        `min_revision` for reads. Without a token, or where it can't be told what has changed since, it is the scope
        itself (`reset`), in as many parts as it takes (`more`). wait: seconds after which it is said that nothing has
        changed, which is proven. values: False: names only. Raises WrongTimeline (the token is of another history),
        Denied, Unavailable (nothing can be proven).
        """
        return await self._feed.changes(scope, after, wait=wait, values=values)

    def following(
        self, scope: Scope, *, after: Token | None = None, values: bool = True
    ) -> contextlib.AbstractContextManager[Following]:
        """The same for who goes on and on: a context, in which `next` tells what comes, and also that nothing does."""
        return self._feed.following(scope, after, values=values)

    async def put(
        self, key: str, value: bytes, *, precondition: Precondition | None = None, sync: bool = False
    ) -> Written:
        """Store `value`, a JSON document, byte for byte (rule 1).

        sync: return only when no instance will serve the old value any more (rule 12). Cancelled, it gives up the wait,
        not a write that was sent. Raises PreconditionFailed, Rejected and its kinds, Unavailable: nothing was written.
        OutcomeUnknown: it may have been, now or later.
        """
        return await self._writes.put(Put(key, value, precondition), sync=sync)

    async def delete(self, key: str, *, precondition: Precondition | None = None, sync: bool = False) -> Written:
        """Remove `key`; without one, and without a precondition, nothing is written (rule 1). Otherwise as `put`."""
        return await self._writes.delete(key, precondition, sync=sync)

    async def apply(self, changes: Sequence[Change], *, sync: bool = False) -> Applied:
        """All of the changes, each with its own precondition, or none; at one revision. Otherwise as `put`.

        Deleting an absent key is no failure. Raises PreconditionFailed for the first precondition that does not hold,
        and ValueError when a key occurs twice.
        """
        if len({change.key for change in changes}) < len(changes):
            raise ValueError("a key may occur only once in a batch")
        return await self._writes.write(tuple(changes), "batch", sync=sync)

    async def page(self, prefix: str, *, after: str | bytes, limit: int) -> Page:
        """Up to `limit` keys that start with `prefix` and come after `after`: linearizable, uncached. See Store.page.

        Raises Denied, Unavailable.
        """
        self._reads.refuse_if_down()
        return await self._store.page(prefix, after=after, limit=limit, timeout=self._options.timeout)

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
            loop_lag=self._lag.greatest(),
        )

    # What one part of the protocol finds out and another has to act upon

    def _notice(self, event: Event) -> None:
        self._observer(event)
        match event:
            case TimeWentBackwards():
                self._start_over()
            case Left(cause="expired" | "taken"):
                self._joiner.wake()

    async def _identify(self) -> None:
        """Before anybody needs it. Who can't find it out now joins all the same: whoever needs it asks."""
        with contextlib.suppress(StoreError):
            await self._fleet_id.get(self._clock() + self._options.timeout)

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
