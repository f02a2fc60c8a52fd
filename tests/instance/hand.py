"""One instance without its threads: the test is the watch, the membership and the clock.

Nothing here sleeps. A read that has to be in flight while something else happens runs on a thread of its own and is
held at a gate of the fake store; every join has a deadline.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from consistency.core.decisions import Serve, Verdict
from consistency.core.events import Event, Invalidated
from consistency.core.model import Demand, MemberEvent, Reading, VersionEvent, VersionRecord, new_nonce
from consistency.core.options import CacheOptions
from consistency.core.store import Commit, Delete, Put, WatchStream
from consistency.instance.reads import Reads
from consistency.instance.state import LocalState, Start
from tests.support.fake_store import FakeStore

T = TypeVar("T")
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


class Background(Generic[T]):
    """A call on a thread of its own."""

    def __init__(self, call: Callable[[], T]) -> None:
        self._call = call
        self._result: T | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._result = self._call()
        except BaseException as error:  # noqa: BLE001  # handed to the test
            self._error = error

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    def result(self) -> T:
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive(), "the call did not come back"
        if self._error is not None:
            raise self._error
        return self._result  # type: ignore[return-value]


def write(store: FakeStore, key: str, value: bytes, names: frozenset[str] | None = frozenset()) -> Commit:
    """Another instance's write. `names`: what its version says, if not the key."""
    return store.commit((Put(key, value),), _record(key, names), timeout=1)


def remove(store: FakeStore, key: str) -> Commit:
    """Another instance's delete."""
    return store.commit((Delete(key),), _record(key, frozenset()), timeout=1)


def _record(key: str, names: frozenset[str] | None) -> VersionRecord:
    return VersionRecord(new_nonce(), frozenset((key,)) if names == frozenset() else names, "put")


def found(store: FakeStore) -> None:
    """The first version of a store."""
    store.commit((), VersionRecord(new_nonce(), None, "genesis"), only_if_new=True, timeout=1)


class Hand:
    """An instance that holds a slot, watches, and has proven itself, unless told otherwise."""

    def __init__(self, store: FakeStore, *, slot: int | None = 0, watching: bool = True) -> None:
        self.store = store
        self.clock = ManualClock()
        self.happened: list[Event] = []
        self.options = CacheOptions(staleness_bound=BOUND, timeout=PATIENCE)
        self.state = LocalState(self.options, self.happened.append, self.clock)
        self.reads = Reads(
            store,
            self.state,
            self.options,
            observer=self.happened.append,
            clock=self.clock,
        )
        self.stream: WatchStream | None = None
        self.epoch = 0
        found(store)
        if watching:
            self.connect()
        if slot is not None:
            self.join(slot)
        if watching and slot is not None:
            self.prove()

    def connect(self, *, gap: bool = False) -> Start:
        """What the watch's thread does to connect: survey, rebase, open."""
        ticket = self.state.ticket()
        start = self.state.rebase(ticket, self.store.survey(ticket.horizon or None, timeout=1), gap=gap)
        assert start is not None
        self.stream = self.store.watch(start.version_after + 1, start.members_after + 1, timeout=1)
        self.epoch = start.epoch
        return start

    def deliver(self, count: int = 1) -> list[bool]:
        """Hands the next version events of the stream to the state; for each whether it was applied."""
        assert self.stream is not None
        applied: list[bool] = []
        events = iter(self.stream)
        while len(applied) < count:
            event = Background(lambda: next(events)).result()
            match event:
                case VersionEvent():
                    applied.append(self.state.apply(event, self.epoch))
                case MemberEvent():
                    self.state.doubts(event)
        return applied

    def lose(self) -> None:
        """The stream loses its next version event."""
        assert self.stream is not None
        while isinstance(next(iter(self.stream)), MemberEvent):
            continue

    def join(self, slot: int = 0) -> int:
        lease = self.store.grant(10, timeout=1).id
        assert self.store.claim(slot, lease, "{}", timeout=1)
        self.state.join(slot, lease)
        return lease

    def prove(self) -> Verdict:
        return self.reads.prove()

    def get(self, key: str, use_cache: bool = True, **demands: Any) -> Reading:
        """As `DistributedCache.get`."""
        return self.reads.get(key, Demand(use_cache, **demands))

    def get_meanwhile(self, key: str, use_cache: bool = True, **demands: Any) -> Background[Reading]:
        return Background(lambda: self.get(key, use_cache, **demands))

    def serves(self, key: str) -> bool:
        """Whether a default read now would be answered from memory without I/O (rule 3)."""
        served = isinstance(self.state.decide(key), Serve)
        assert (self.state.hit(key) is not None) == served, "with and without the lock the decision is the same"
        return served

    def invalidations(self, cause: str) -> int:
        return sum(e.entries for e in self.happened if isinstance(e, Invalidated) and e.cause == cause)


def await_readers(hand: Hand, count: int) -> None:
    """Until so many readers wait for a batch that has not been sent."""
    pause = threading.Event()
    for _ in range(int(PATIENCE / 0.001)):
        with hand.reads._batches._lock:
            if sum(batch.readers for batch in hand.reads._batches._queue) >= count:
                return
        pause.wait(0.001)
    raise AssertionError("the readers did not come")
