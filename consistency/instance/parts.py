"""The parts of an instance, put together: one store, one state, and the tasks that keep it true.

Owns the tasks, and what one part finds out and another has to act upon: no part knows its neighbours' tasks. Does not
own the store.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from consistency.core.events import Event, Left, Observer, TimeWentBackwards
from consistency.core.options import CacheOptions
from consistency.core.store import Store, StoreError
from consistency.instance.acknowledger import Acknowledger
from consistency.instance.auditor import Auditor
from consistency.instance.feed import Feed
from consistency.instance.fleet import Fleet
from consistency.instance.fleet_id import FleetId
from consistency.instance.guarded import Guard
from consistency.instance.lag import LoopLag
from consistency.instance.last_looks import LastLooks
from consistency.instance.membership import Membership
from consistency.instance.patrol import Patrol
from consistency.instance.planner import Planner
from consistency.instance.policies import Policies
from consistency.instance.prover import Prover
from consistency.instance.reads import Reads
from consistency.instance.recall import Recall
from consistency.instance.recorder import Recorder
from consistency.instance.state import LocalState
from consistency.instance.trimmer import Trimmer
from consistency.instance.watch import VersionWatch
from consistency.instance.writes import Writes
from consistency.tasks import Errands, Worker

STOP_WITHIN = 5.0
"""Seconds for all tasks together to end at `close`."""


class Parts:
    """See the module's opening, and `AsyncDistributedCache` for what is given to it. Belongs to one loop."""

    def __init__(
        self,
        store: Store,
        options: CacheOptions,
        description: str,
        observer: Observer,
        clock: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        self._options = options
        self._clock = clock
        self._observer = observer
        self.errands = Errands(observer)
        self.state = LocalState(options, self._notice, clock)
        self.fleet = Fleet(options.staleness_bound, clock, wall)
        self.fleet_id = FleetId(store, clock, self.errands)
        self.reads = Reads(store, self.state, options, observer=observer, clock=clock, errands=self.errands)
        self.guard = Guard(store, self.state, self.fleet, options, observer=observer, clock=clock)
        self.policies = Policies(
            store,
            self.state,
            self.guard,
            timeout=options.timeout,
            clock=clock,
            errands=self.errands,
        )
        self.writes = Writes(
            store,
            self.state,
            self.fleet,
            self.policies,
            self.guard,
            options,
            observer=observer,
            clock=clock,
            wall=wall,
            errands=self.errands,
        )
        self.recall = Recall(store, timeout=options.timeout, refuse_if_down=self.state.refuse_if_down)
        self.planner = Planner(store, self.recall, timeout=options.timeout, refuse_if_down=self.state.refuse_if_down)
        self._watch = VersionWatch(
            store,
            self.state,
            self.fleet,
            timeout=options.timeout,
            observer=observer,
            on_moved=self._ask_soon,
            on_owed=self._acknowledge_soon,
            on_fleet=self._record_soon,
            on_policy=self._read_policy_soon,
            on_intent=self.guard.see,
        )
        self.feed = Feed(store, self.state, self.reads, options, observer=observer, clock=clock, errands=self.errands)
        looks = LastLooks(self.state, self.fleet, self.feed.past)
        auditor = Auditor(
            store,
            self.state,
            self.fleet,
            looks,
            interval=options.audit_interval,
            timeout=options.timeout,
            observer=observer,
            wall=wall,
        )
        self.membership = Membership(
            store,
            self.state,
            ttl=options.lease_ttl,
            preferred_slot=options.preferred_slot,
            description=description,
            timeout=options.timeout,
            observer=observer,
            before_joining=self._identify,
            before_first=auditor.look_first,
            on_joined=self._joined,
            wall=wall,
            last_look=looks.ours,
        )
        prover = Prover(
            self.reads,
            self.state,
            self.fleet,
            interval=options.proof_interval,
            patience=options.staleness_bound,
            clock=clock,
            on_stuck=self._watch_again,
        )
        patrol = Patrol(
            store,
            self.state,
            self.fleet,
            timeout=options.timeout,
            patience=options.staleness_bound,
            heard=lambda: self._watch.heard,
            on_stuck=self._watch_again,
        )
        acknowledger = Acknowledger(store, self.state, self.fleet, timeout=options.timeout)
        self._follower = Worker("version-watch", self._watch.run, observer)
        self.joiner = Worker("membership", self.membership.run, observer)
        self._prover = Worker("prover", prover.run, observer)
        self._acknowledger = Worker("acknowledger", acknowledger.run, observer)
        self._auditor = Worker("auditor", auditor.run, observer)
        recorder = Recorder(store, self.state, self.fleet, timeout=options.timeout)
        self._recorder = Worker("recorder", recorder.run, observer)
        self._policy_reader = Worker("policy", self.policies.run, observer)
        trimmer = Trimmer(store, self.state, self.fleet, timeout=options.timeout, observer=observer)
        self._trimmer = Worker("trimmer", trimmer.run, observer)
        self._guard = Worker("intents", self.guard.run, observer)
        self.guard.bell = self._guard.wake
        self._feeder = Worker("feed", self.feed.run, observer)
        self.feed.bell = self._feeder.wake
        self.lag = LoopLag(clock)
        self._workers = (
            Worker("loop-lag", self.lag.run, observer),
            self._follower,
            self.joiner,
            self._prover,
            Worker("patrol", patrol.run, observer),
            self._acknowledger,
            self._auditor,
            self._recorder,
            self._trimmer,
            self._policy_reader,
            self._guard,
            self._feeder,
        )
        self._started = False
        self.closed = False

    def start(self) -> None:
        """See `AsyncDistributedCache.start`."""
        if self._started or self.closed:
            raise RuntimeError("this cache was started before, or closed; make another one")
        self._started = True
        for worker in self._workers:
            worker.start()

    async def close(self) -> None:
        """See `AsyncDistributedCache.close`."""
        deadline = self._clock() + STOP_WITHIN
        if not self.closed:
            self.closed = True
            self.state.leave("closed")
            self.feed.close()
            for worker in self._workers:  # once: a second time would cut short what they have to give back
                worker.cancel()
        ends = [(worker.name, await worker.ended(deadline - self._clock())) for worker in self._workers]
        ends.append(("reads and writes", await self.errands.stop(deadline - self._clock())))
        late = [name for name, ended in ends if not ended]
        if late:
            raise RuntimeError(f"tasks did not end within {STOP_WITHIN:g} s: {', '.join(late)}")

    # What one part of the protocol finds out and another has to act upon

    def _notice(self, event: Event) -> None:
        self._observer(event)
        match event:
            case TimeWentBackwards():
                self._start_over()
            case Left(cause="expired" | "taken"):
                self.joiner.wake()

    async def _identify(self) -> None:
        """Learn the fleet's id before it is needed. On a failure the instance joins all the same, and asks later."""
        with contextlib.suppress(StoreError):
            await self.fleet_id.get(self._clock() + self._options.timeout)

    def _ask_soon(self) -> None:
        self.joiner.wake()
        self._prover.wake()

    def _joined(self) -> None:
        self._prover.wake()
        self._recorder.wake()

    def _acknowledge_soon(self) -> None:
        self._acknowledger.wake()

    def _record_soon(self) -> None:
        self._recorder.wake()

    def _read_policy_soon(self) -> None:
        self._policy_reader.wake()

    def _watch_again(self) -> None:
        self._watch.restart("stuck")

    def _start_over(self) -> None:
        """Another history: the watch starts from a survey, and a slot is claimed anew (rule 8)."""
        self.state.leave("history")
        self.fleet.forget()
        self.fleet_id.forget()
        self._watch.restart("history")
        self.joiner.wake()
