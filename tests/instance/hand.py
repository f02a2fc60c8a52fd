"""One instance without its threads: the test is the watch, the membership and the clock.

Nothing here sleeps. A read that has to be in flight while something else happens is held at a gate of the fake store,
and the loop is driven from the test's lines.
"""

from __future__ import annotations

from typing import Any

from consistency.core.decisions import Serve, Verdict
from consistency.core.events import Event, Invalidated
from consistency.core.model import Demand, MemberEvent, Reading, VersionEvent, VersionRecord, new_nonce
from consistency.core.options import CacheOptions
from consistency.core.store import Commit, Delete, Put
from consistency.instance.feed import Feed
from consistency.instance.reads import Reads
from consistency.instance.snapshots import Start
from consistency.instance.state import LocalState
from consistency.tasks import Errands
from tests.support.driver import Meanwhile, run, until
from tests.support.fake_store import FakeStore
from tests.support.fake_watch import FakeStream

PATIENCE = 10.0
BOUND = 1.0


class ManualClock:
    """Local seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


def write(store: FakeStore, key: str, value: bytes, names: frozenset[str] | None = frozenset()) -> Commit:
    """Another instance's write. `names`: what its version says, if not the key."""
    return run(store.commit((Put(key, value),), _record(key, names), timeout=1))


def remove(store: FakeStore, key: str) -> Commit:
    """Another instance's delete."""
    return run(store.commit((Delete(key),), _record(key, frozenset()), timeout=1))


def _record(key: str, names: frozenset[str] | None) -> VersionRecord:
    return VersionRecord(new_nonce(), frozenset((key,)) if names == frozenset() else names, "put")


def found(store: FakeStore) -> None:
    """The first version of a store."""
    run(store.commit((), VersionRecord(new_nonce(), None, "genesis"), only_if_new=True, timeout=1))


class Hand:
    """An instance that holds a slot, watches, and has proven itself, unless told otherwise."""

    def __init__(
        self, store: FakeStore, *, slot: int | None = 0, watching: bool = True, options: CacheOptions | None = None
    ) -> None:
        self.store = store
        self.clock = ManualClock()
        self.happened: list[Event] = []
        self.options = options or CacheOptions(staleness_bound=BOUND, timeout=PATIENCE)
        self.state = LocalState(self.options, self.happened.append, self.clock)
        errands = Errands(self.happened.append)
        self.reads = Reads(
            store, self.state, self.options, observer=self.happened.append, clock=self.clock, errands=errands
        )
        self.feed = Feed(
            store,
            self.state,
            self.reads,
            self.options,
            observer=self.happened.append,
            clock=self.clock,
            errands=errands,
        )
        self.stream: FakeStream | None = None
        self.epoch = 0
        found(store)
        if watching:
            self.connect()
        if slot is not None:
            self.join(slot)
        if watching and slot is not None:
            self.prove()

    def connect(self, *, gap: bool = False) -> Start:
        """What the watch does to connect: survey, rebase, open."""
        ticket = self.state.ticket()
        start = self.state.start_from(ticket, run(self.store.survey(ticket.horizon or None, timeout=1)), gap=gap)
        assert start is not None
        self.stream = run(self.store.watch(start.version_after + 1, start.members_after + 1, timeout=1))
        self.epoch = start.epoch
        return start

    def deliver(self, count: int = 1) -> list[bool]:
        """Hands the next version events of the stream to the state; for each whether it was applied."""
        assert self.stream is not None
        applied: list[bool] = []
        while len(applied) < count:
            event = run(anext(self.stream))
            match event:
                case VersionEvent():
                    applied.append(self.state.apply(event, self.epoch))
                case MemberEvent():
                    self.state.doubts(event)
        return applied

    def lose(self) -> None:
        """The stream loses its next version event."""
        assert self.stream is not None
        while isinstance(run(anext(self.stream)), MemberEvent):
            continue

    def join(self, slot: int = 0) -> int:
        lease = run(self.store.grant(10, timeout=1)).id
        assert run(self.store.claim(slot, lease, "{}", timeout=1))
        self.state.join(slot, lease)
        return lease

    def prove(self) -> Verdict:
        return run(self.reads.prove())

    def get(self, key: str, use_cache: bool = True, **demands: Any) -> Reading:
        """As `DistributedCache.get`."""
        return run(self.reads.get(key, Demand(use_cache, **demands)))

    def get_meanwhile(self, key: str, use_cache: bool = True, **demands: Any) -> Meanwhile[Reading]:
        return Meanwhile(self.reads.get(key, Demand(use_cache, **demands)))

    def serves(self, key: str) -> bool:
        """Whether a default read now would be answered from memory without I/O (rule 3)."""
        served = isinstance(self.state.decide(key), Serve)
        assert (self.state.hit(key) is not None) == served, "any thread and the loop decide the same"
        return served

    def invalidations(self, cause: str) -> int:
        return sum(e.entries for e in self.happened if isinstance(e, Invalidated) and e.cause == cause)


def await_readers(hand: Hand, count: int) -> None:
    """Until so many readers wait for a batch that has not been sent."""
    assert until(lambda: sum(batch.joined for batch in hand.reads._batches._calls.queue) >= count)
