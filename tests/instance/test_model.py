"""The state of an instance, checked against a functional model: the same promise, written twice and compared.

The machine does what threads, networks and operators do, in any order: loads are sent, answered late or never, events
are delivered or lost, streams are cut, time passes, the store is compacted, restored, written to. The model knows one
thing: what the store held at every moment. After each step every key that would be served from memory must hold a
value that was current at some moment of the last bound (rules 2 to 8).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from consistency.core.decisions import Decision, Load, Serve, Ticket, Validate
from consistency.core.model import MemberEvent, VersionEvent, VersionRecord, new_nonce
from consistency.core.options import CacheOptions
from consistency.core.store import Want
from consistency.instance.read_batches import Need, Part
from consistency.instance.state import LocalState
from tests.instance.hand import BOUND, ManualClock, found, remove, write
from tests.support.driver import run
from tests.support.fake_store import FakeStore
from tests.support.fake_watch import FakeStream

KEYS = ("a", "b", "c")
keys = st.sampled_from(KEYS)


@dataclass
class Truth:
    """What was under each key, from when on."""

    pasts: dict[str, list[tuple[float, bytes | None]]] = field(
        default_factory=lambda: {key: [(float("-inf"), None)] for key in KEYS}
    )

    def note(self, now: float, store: FakeStore) -> None:
        for key, past in self.pasts.items():
            if past[-1][1] != store.document(key):
                past.append((now, store.document(key)))

    def recent(self, key: str, now: float) -> set[bytes | None]:
        """The values that were current at some moment in [now - BOUND, now]."""
        past = self.pasts[key]
        ends = [since for since, _ in past[1:]] + [float("inf")]
        return {value for (_, value), end in zip(past, ends, strict=True) if end >= now - BOUND}


@dataclass
class Flight:
    """A load on its way: sent, executed at the store, not answered yet."""

    part: Part


class Instance(RuleBasedStateMachine):
    """One instance on a store; every value ever written is unique."""

    @initialize()
    def begin(self) -> None:
        self.store = FakeStore()
        self.clock = ManualClock()
        self.state = LocalState(CacheOptions(staleness_bound=BOUND), lambda _: None, self.clock)
        self.truth = Truth()
        self.flights: list[Flight] = []
        self.saved = self.store.snapshot()
        self.stream: FakeStream | None = None
        self.epoch = -1
        self.gap = False
        self.written = 0
        found(self.store)
        self.saved = self.store.snapshot()
        self.claim()
        self.connect()

    # The world

    @rule(key=keys, named=st.sampled_from(["key", "more", "everything"]))
    def another_writes(self, key: str, named: str) -> None:
        self.written += 1
        names = {"key": frozenset((key,)), "more": frozenset(KEYS), "everything": None}[named]
        write(self.store, key, str(self.written).encode(), names)
        self.truth.note(self.clock(), self.store)

    @rule(key=keys)
    def another_deletes(self, key: str) -> None:
        remove(self.store, key)
        self.truth.note(self.clock(), self.store)

    @rule(seconds=st.sampled_from([0.1, 0.3, 0.6, BOUND]))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule()
    def the_store_is_compacted(self) -> None:
        write(self.store, "z", b"0")
        self.store.compact(self.store.revision)

    @rule()
    def a_backup_is_taken(self) -> None:
        self.saved = self.store.snapshot()

    @rule(outrun=st.integers(0, 6))
    def the_backup_is_restored(self, outrun: int) -> None:
        """And written to until it may have outrun the revisions of the lost history. It cuts every connection."""
        self.store.restore(self.saved)
        self.stream = None
        for _ in range(outrun):
            write(self.store, "z", b"0")
        self.truth.note(self.clock(), self.store)

    @rule()
    def somebody_deletes_the_version_key(self) -> None:
        self.store.delete_version()
        found(self.store)

    @rule()
    def the_lease_is_lost(self) -> None:
        if self.state.lease:
            self.store.vanish(self.state.lease)

    # The instance

    @rule(key=keys)
    def a_load_is_sent(self, key: str) -> None:
        self._send(key)

    @rule()
    def a_proof_is_sent(self) -> None:
        self._send(None)

    def _send(self, key: str | None) -> None:
        ticket = self.state.ticket()
        errand = Need(key, self._held(key), fill=True, epoch=ticket.epoch)
        wants = [] if key is None else [Want(key, errand.entry.mod_revision if errand.entry else 0)]
        answer = run(self.store.read(wants, ticket.slot, timeout=1))
        self.flights.append(Flight(Part(ticket, () if key is None else (errand,), answer)))

    def _held(self, key: str | None):  # type: ignore[no-untyped-def]  # the entry, as a read would validate it
        decision = self.state.decide(key) if key else Load()
        return decision.entry if isinstance(decision, Validate) else None

    @precondition(lambda self: self.flights)
    @rule(data=st.data())
    def an_answer_arrives(self, data: st.DataObject) -> None:
        flight = self.flights.pop(data.draw(st.integers(0, len(self.flights) - 1)))
        self.state.settle(flight.part)

    @precondition(lambda self: self.flights)
    @rule()
    def an_answer_arrives_before_the_watch_has_caught_up(self) -> None:
        """It is judged, and judged again later."""
        self.state.settle(self.flights[-1].part)

    @precondition(lambda self: self.stream is not None and self.stream.pending)
    @rule(lose=st.sampled_from([False, False, False, True]))
    def an_event_arrives(self, lose: bool) -> None:
        assert self.stream is not None
        event = run(anext(self.stream))
        if isinstance(event, MemberEvent):
            self.state.doubts(event)
        elif isinstance(event, VersionEvent) and not lose and not self.state.apply(event, self.epoch):
            self.gap, self.stream = True, None

    @rule()
    def the_stream_is_cut(self) -> None:
        self.stream = None

    @precondition(lambda self: self.stream is None)
    @rule()
    def connect(self) -> None:
        ticket = self.state.ticket()
        survey = run(self.store.survey(ticket.horizon or None, timeout=1))
        start = self.state.start_from(ticket, survey, gap=self.gap)
        assert start is not None
        self.gap, self.epoch = False, start.epoch
        stream = run(self.store.watch(start.version_after + 1, start.members_after + 1, timeout=1))
        if stream.error is None:
            self.stream = stream
        else:
            self.gap = True

    @precondition(lambda self: not self.state.lease)
    @rule()
    def claim(self) -> None:
        lease = run(self.store.grant(10, timeout=1)).id
        if run(self.store.claim(0, lease, "{}", timeout=1)):
            self.state.join(0, lease)

    # The promise

    @invariant()
    def what_would_be_served_was_current_within_the_bound(self) -> None:
        for key in KEYS:
            decision = self.state.decide(key)
            if isinstance(decision, Serve):
                allowed = self.truth.recent(key, self.clock())
                assert decision.entry.value in allowed, f"{key} = {decision.entry.value!r}, allowed {allowed}"
            self._without_the_lock(key, decision)

    def _without_the_lock(self, key: str, decision: Decision) -> None:
        hit = self.state.hit(key)
        served = (decision.entry.value, decision.revision) if isinstance(decision, Serve) else None
        assert (hit and (hit.value, hit.revision)) == served

    @invariant()
    def nothing_is_cached_from_beyond_the_horizon(self) -> None:
        horizon = self.state.snapshot().horizon
        for key in KEYS:
            entry = self.state._entries.get(key)
            assert entry is None or entry.validated_at <= horizon


Instance.TestCase.settings = settings(max_examples=300, stateful_step_count=40, deadline=None)
TestInstance = Instance.TestCase


def test_a_ticket_cannot_be_changed() -> None:
    ticket = Ticket(0.0, 0, 0, 0, None, 0)
    assert ticket == Ticket(0.0, 0, 0, 0, None, 0)
    assert new_nonce() != new_nonce()
    assert VersionRecord("n", None, "x").encode()
