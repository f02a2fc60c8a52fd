"""Guarded writes and reads (rules 16, 17): held everywhere, then written; read with a proof while held."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from consistency import (
    AsyncDistributedCache,
    CacheOptions,
    FleetTooOld,
    OutcomeUnknown,
    Policy,
    PreconditionFailed,
    Unavailable,
)
from consistency.core.events import BatchAnswered, Event, Guarded
from consistency.core.feed import Scope
from consistency.core.model import Member, MustBeAbsent, MustBeAt, Source, VersionEvent, with_holds
from consistency.core.store import Delete, NoSpace, Put
from consistency.instance import guarded
from consistency.instance.writes import Approve
from tests.support.driver import Meanwhile, run, settle, until
from tests.support.fake_store import FakeStore
from tests.support.gates import At

QUICK = CacheOptions(staleness_bound=0.2, timeout=5.0)
LONG = dataclasses.replace(QUICK, staleness_bound=30.0)
"""A bound that no test waits out: what returns, returned for its acknowledgements."""

GUARDED = b'{"guarded": ["g/"]}'
KEY, OTHER, PLAIN = "g/1", "g/2", "p/1"


class Instance:
    """One of a fleet, and what it says of itself."""

    def __init__(self, store: FakeStore, options: CacheOptions, *, starts: bool = True) -> None:
        self.happened: list[Event] = []
        self.cache = AsyncDistributedCache(store, options, observer=self.happened.append)
        if starts:
            run(self._start())
            assert until(lambda: self.cache.status().fresh)

    async def _start(self) -> None:
        self.cache.start()

    @property
    def state(self) -> Any:
        return self.cache._state

    def sees_all_leave(self) -> None:
        """As one whose stream is older than the bound."""
        self.cache._fleet._roll._blind_until = 0.0

    def read(self, key: str = KEY) -> bytes | None:
        return run(self.cache.get(key)).value

    def hits(self, key: str = KEY) -> bool:
        """Whether a read of it costs nothing, now."""
        return self.cache.hit(key) is not None

    def warm(self, *keys: str) -> None:
        for key in keys:
            self.read(key)
            assert until(lambda key=key: self.hits(key))  # type: ignore[misc]

    def outcomes(self) -> list[str]:
        return [event.outcome for event in self.happened if isinstance(event, Guarded)]


@contextlib.contextmanager
def fleet_of(store: FakeStore, count: int, options: CacheOptions) -> Iterator[list[Instance]]:
    """Instances in a fleet in which KEY and OTHER are guarded, and both and PLAIN are in everybody's memory."""
    made = [Instance(store, dataclasses.replace(options, preferred_slot=number)) for number in range(count)]
    try:
        for instance in made:
            assert until(lambda instance=instance: len(instance.cache.status().members) == count)  # type: ignore[misc]
            instance.sees_all_leave()
        for key in (KEY, OTHER, PLAIN):
            run(made[0].cache.put(key, b"0"))
        run(made[0].cache.put_policy(GUARDED))
        for instance in made:
            assert until(lambda instance=instance: instance.cache.policy.text == GUARDED)  # type: ignore[misc]
            instance.warm(KEY, OTHER, PLAIN)
        yield made
    finally:
        for instance in made:
            run(instance.cache.close())


@pytest.fixture
def no_look_by_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever takes intents away has to be rung for."""
    monkeypatch.setattr(guarded, "IDLE", 3600.0)


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@pytest.fixture
def fleet(store: FakeStore) -> Iterator[list[Instance]]:
    """Two."""
    with fleet_of(store, 2, LONG) as made:
        yield made


@pytest.fixture
def quick(store: FakeStore) -> Iterator[list[Instance]]:
    """Two, with a bound that is soon over."""
    with fleet_of(store, 2, QUICK) as made:
        yield made


WRITES: dict[str, Callable[..., Coroutine[Any, Any, Any]]] = {
    "put": lambda cache, **more: cache.put(KEY, b"1", **more),
    "sync": lambda cache, **more: cache.put(KEY, b"1", sync=True, **more),
    "delete": lambda cache, **more: cache.delete(KEY, **more),
    "apply": lambda cache, **more: cache.apply([Put(KEY, b"1"), Put(PLAIN, b"1"), Delete(OTHER)], **more),
}


def after(way: str) -> bytes | None:
    """What KEY has after the write."""
    return None if way == "delete" else b"1"


class TestWriting:
    """Rule 16: (a) the intent, (b) the wait, (c) the commit."""

    @pytest.mark.parametrize("way", WRITES)
    def test_it_costs_two_transactions_and_one_acknowledgement_an_instance(
        self, store: FakeStore, fleet: list[Instance], way: str
    ) -> None:
        one, two = fleet
        settle()
        before = store.calls.copy()
        run(WRITES[way](one.cache))
        cost = store.calls - before
        assert {kind: cost[kind] for kind in cost if kind not in ("read", "traces")} == {
            "intend": 1, "commit": 1, "acknowledge": 2
        }  # fmt: skip
        assert [instance.read() for instance in (one, two)] == [after(way)] * 2
        assert store.intents() == []
        assert one.outcomes()[-1:] == ["acknowledged"]

    @pytest.mark.parametrize("size", [1, 8])
    def test_it_costs_one_acknowledgement_an_instance_however_many_there_are(self, store: FakeStore, size: int) -> None:
        with fleet_of(store, size, LONG) as fleet:
            settle()
            before = store.calls.copy()
            run(fleet[0].cache.put(KEY, b"1"))
            cost = store.calls - before
            assert (cost["intend"], cost["commit"], cost["acknowledge"]) == (1, 1, size)
            assert {instance.read() for instance in fleet} == {b"1"}

    @pytest.mark.parametrize("way", WRITES)
    def test_all_hold_its_keys_before_it_is_sent(self, store: FakeStore, fleet: list[Instance], way: str) -> None:
        one, two = fleet
        gate = store.hold("commit", At.REQUEST)
        writing = Meanwhile(WRITES[way](one.cache))
        gate.wait_until_held()
        for instance in fleet:
            assert not instance.hits(KEY)
            assert [instance.hits(key) for key in (OTHER, PLAIN)] == [way != "apply"] * 2, "all that it changes"
            assert instance.read() == b"0"
        gate.release()
        writing.result()
        assert two.read() == after(way)

    def test_it_waits_for_an_instance_that_has_not_applied_the_intent(
        self, store: FakeStore, fleet: list[Instance]
    ) -> None:
        one, two = fleet
        store.pause_watch()
        writing = Meanwhile(one.cache.put(KEY, b"1"))
        assert until(lambda: store.calls["intend"] == 2)
        assert writing.running
        assert two.read() == b"0"
        assert store.document(KEY) == b"0"
        store.resume_watch()
        writing.result()
        assert two.read() == b"1"

    def test_one_that_hangs_delays_it_by_the_bound_and_no_more(self, store: FakeStore, quick: list[Instance]) -> None:
        """By then it has no proof any more of before the intent, and gets none after it that it can use."""
        one, two = quick
        store.deafen_watch()
        before = one.cache._clock()
        run(one.cache.put(KEY, b"1"))
        assert QUICK.sync_wait <= one.cache._clock() - before < QUICK.timeout
        assert two.read() == b"1"
        assert one.outcomes()[-1:] == ["waited out"]

    def test_what_its_preconditions_refuse_is_refused_before_anything_is_held(
        self, store: FakeStore, fleet: list[Instance]
    ) -> None:
        one, _ = fleet
        here, commits = store.revision, store.calls["commit"]
        with pytest.raises(PreconditionFailed):
            run(one.cache.put(KEY, b"1", precondition=MustBeAbsent()))
        assert not run(one.cache.delete("g/none")).existed
        assert (store.revision, store.calls["commit"]) == (here, commits)

    def test_they_are_compared_again_when_it_is_done(self, store: FakeStore, fleet: list[Instance]) -> None:
        """1. Two want to change the same revision; 2. both hold the key; 3. one is done, the other refused."""
        one, _ = fleet
        at = run(one.cache.get(KEY)).mod_revision
        gates = [store.hold("commit", At.REQUEST) for _ in fleet]
        writing = [Meanwhile(each.cache.put(KEY, b"1", precondition=MustBeAt(at))) for each in fleet]
        for gate in gates:
            gate.wait_until_held()
        gates[0].release()
        gates[1].release()
        ended = []
        for each in writing:
            with contextlib.suppress(PreconditionFailed):
                ended.append(each.result())
        assert len(ended) == 1
        assert store.intents() == []
        for instance in fleet:
            instance.warm(KEY)

    def test_one_that_is_done_ends_no_hold_of_another(self, store: FakeStore, fleet: list[Instance]) -> None:
        """1. Two hold the key; 2. one is done; 3. were it free, a hit could be older than what the other writes."""
        one, two = fleet
        first = store.hold("commit", At.REQUEST)
        writing = Meanwhile(one.cache.put(KEY, b"1"))
        first.wait_until_held()
        second = store.hold("commit", At.REQUEST)
        also = Meanwhile(two.cache.put(KEY, b"2"))
        second.wait_until_held()
        first.release()
        writing.result()
        for instance in fleet:
            assert instance.read() == b"1"
            assert not instance.hits()
        second.release()
        also.result()
        for instance in fleet:
            assert instance.read() == b"2"
            instance.warm(KEY)

    def test_puts_that_come_at_the_same_time_share_an_intent(self, store: FakeStore, fleet: list[Instance]) -> None:
        one, _ = fleet
        one.cache._writes._guarded_group._calls.patience = 60.0
        before = store.calls["intend"]
        gate = store.hold("commit", At.REQUEST)
        ahead = Meanwhile(one.cache.put(KEY, b"1"))
        gate.wait_until_held()
        rest = [Meanwhile(one.cache.put(f"g/more/{number}", b"1")) for number in range(20)]
        plain = Meanwhile(one.cache.put(PLAIN, b"1"))
        plain.result()
        gate.release()
        for writing in (ahead, *rest):
            writing.result()
        assert store.calls["intend"] - before == 2

    def test_a_synchronous_one_says_who_has_acknowledged(self, fleet: list[Instance]) -> None:
        one, _ = fleet
        assert run(one.cache.put(KEY, b"1", sync=True)).acks == (2, 2)
        assert run(one.cache.put(KEY, b"2")).acks is None

    def test_another_policy_means_that_it_is_decided_anew(self, store: FakeStore, fleet: list[Instance]) -> None:
        """1. It is approved, and its keys are held; 2. another policy is put past the service; 3. nothing is done."""
        one, _ = fleet
        asked: list[Policy] = []

        async def approve(policy: Policy) -> None:
            asked.append(policy)

        gate = store.hold("commit", At.REQUEST)
        writing = Meanwhile(one.cache.put(KEY, b"1", approve=approve))
        gate.wait_until_held()
        at = store.put_raw(store.layout.policy, b'{"guarded": ["g/", "h/"]}')
        gate.release()
        writing.result()
        assert [policy.mod_revision for policy in asked[1:]] == [at]
        assert store.document(KEY) == b"1"
        assert store.intents() == []


class TestReading:
    """Rule 17."""

    def test_reads_of_what_is_held_share_one_tiny_call(self, store: FakeStore, fleet: list[Instance]) -> None:
        one, two = fleet
        gate = store.hold("commit", At.REQUEST)
        writing = Meanwhile(one.cache.put(KEY, b"1"))
        gate.wait_until_held()
        settle()
        reads, moved, asked = store.calls["read"], store.values_moved, store.wants_asked

        async def crowd() -> list[Any]:
            return await asyncio.gather(*(two.cache.get(KEY) for _ in range(50)))

        found = run(crowd())
        assert {reading.source for reading in found} == {Source.REVALIDATED}
        assert store.calls["read"] - reads <= 2, "one, and perhaps the instance's own proof"
        assert (store.values_moved, store.wants_asked) == (moved, asked)
        gate.release()
        writing.result()

    def test_a_hold_ends_with_the_version_of_its_commit(self, store: FakeStore, fleet: list[Instance]) -> None:
        """Nobody has to ask for that."""
        one, two = fleet
        run(one.cache.put(KEY, b"1"))
        reads = store.calls["read"]
        assert until(lambda: not (one.state.held or two.state.held), 5.0)
        assert store.calls["read"] == reads

    def test_a_read_is_a_hit_again_when_the_commit_has_come(self, fleet: list[Instance]) -> None:
        one, two = fleet
        run(one.cache.put(KEY, b"1"))
        for instance in (one, two):
            instance.warm(KEY, OTHER)
            assert instance.read() == b"1"

    def test_reads_of_what_is_not_held_cost_nothing(self, store: FakeStore, fleet: list[Instance]) -> None:
        """Linearizable, and still from memory."""
        before = store.calls["read"]
        for instance in fleet:
            for _ in range(1000):
                assert instance.hits()
        assert store.calls["read"] == before

    @pytest.mark.parametrize("size", [1, 8])
    def test_1000_reads_on_each_instance_cost_their_own_proofs_and_nothing_else(
        self, store: FakeStore, size: int
    ) -> None:
        """Counted by what each of them asks for: batches without a key, which nobody's read is part of."""
        with fleet_of(store, size, CacheOptions(staleness_bound=1.0, timeout=5.0)) as fleet:
            before = store.calls.copy()
            for instance in fleet:
                instance.happened.clear()
            for _ in range(1000):
                for instance in fleet:
                    assert instance.hits()
                settle_a_little()
            cost = store.calls - before
            proofs = [each for i in fleet for each in i.happened if isinstance(each, BatchAnswered)]
            assert {each.wants for each in proofs} <= {0}
            assert cost.keys() <= {"read", "keep_alive", "touched", "past_names"}  # the latter: whoever trims
            assert cost["read"] == len(proofs)

    def test_who_joins_meanwhile_holds_what_is_under_way(self, store: FakeStore, fleet: list[Instance]) -> None:
        """1. A key is held; 2. an instance comes, which has applied no intent; 3. nobody waits for it."""
        one, _ = fleet
        gate = store.hold("commit", At.REQUEST)
        writing = Meanwhile(one.cache.put(KEY, b"1"))
        gate.wait_until_held()
        late = Instance(store, LONG)
        try:
            assert late.read() == b"0"
            assert not late.hits()
            late.warm(PLAIN)
            gate.release()
            writing.result()
            assert late.read() == b"1"
            late.warm(KEY)
        finally:
            run(late.cache.close())

    def test_so_does_who_starts_over_after_a_gap(self, store: FakeStore, fleet: list[Instance]) -> None:
        one, two = fleet
        gate = store.hold("commit", At.REQUEST)
        writing = Meanwhile(one.cache.put(KEY, b"1"))
        gate.wait_until_held()
        two.cache._parts._watch._gap = True
        two.cache._parts._watch.restart("gap")
        assert until(lambda: two.state.epoch > 1 and two.cache.status().fresh and two.cache.status().watch_up)
        assert two.read() == b"0"
        assert not two.hits()
        gate.release()
        writing.result()
        assert two.read() == b"1"

    def test_an_answer_that_is_ahead_of_the_watch_ends_no_hold(self, store: FakeStore, quick: list[Instance]) -> None:
        """1. A key is held; 2. its write is done, of which no event has come; 3. an answer shows no intent."""
        one, two = quick
        gate = store.hold("commit", At.REQUEST)
        writing = Meanwhile(one.cache.put(KEY, b"1"))
        gate.wait_until_held()
        store.pause_watch()
        gate.release()
        writing.result()
        for _ in range(2):
            assert two.read() == b"1"
            assert two.state.held
        store.resume_watch()
        assert until(lambda: not two.state.held)
        two.warm(KEY)

    def test_an_answer_of_before_an_intent_ends_no_hold(self, store: FakeStore, fleet: list[Instance]) -> None:
        """1. A batch is executed, which asks for intents; 2. one is put and applied here; 3. the answer comes."""
        one, two = fleet
        first = store.hold("commit", At.REQUEST)
        other = Meanwhile(one.cache.put(OTHER, b"1"))
        first.wait_until_held()
        answer = store.hold("read")
        reading = Meanwhile(two.cache.get(OTHER))
        answer.wait_until_held()
        second = store.hold("commit", At.REQUEST)
        writing = Meanwhile(two.cache.put(KEY, b"1"))
        second.wait_until_held()
        answer.release()
        assert reading.result().value == b"0"
        assert not two.hits(KEY)
        for gate, write in ((first, other), (second, writing)):
            gate.release()
            write.result()

    def test_a_load_of_a_guarded_key_is_not_shared(self, store: FakeStore, fleet: list[Instance]) -> None:
        """1. A load is executed, and its answer delayed; 2. the key is written; 3. who comes now must see that."""
        one, two = fleet
        run(one.cache.put(KEY, b"1"))
        gate = store.hold("read")
        first = Meanwhile(two.cache.get(KEY))
        gate.wait_until_held()
        shares = two.state.may_follow(KEY, two.state.ticket(), LONG.staleness_bound)
        assert not shares
        assert two.state.may_follow(PLAIN, two.state.ticket(), LONG.staleness_bound)
        gate.release()
        assert first.result().value == b"1"

    def test_nor_is_any_load_while_it_is_not_known_what_is_guarded(
        self, store: FakeStore, fleet: list[Instance]
    ) -> None:
        """1. A version tells of another policy; 2. it has not been read."""
        one, two = fleet
        gates = [store.hold("policy", At.REQUEST) for _ in fleet]
        changing = Meanwhile(one.cache.put_policy(b'{"guarded": ["g/", "p/"]}'))
        gates[0].wait_until_held().release()  # the writer looks for the one it takes the place of
        changing.result()
        gates[1].wait_until_held()
        assert not any(each.state.may_follow(PLAIN, each.state.ticket(), 30.0) for each in (two,))
        gates[1].release()

    def test_nor_without_a_proof_of_now(self, store: FakeStore) -> None:
        """The key may be guarded since, and the writers wait for nobody who has none."""
        with fleet_of(store, 1, QUICK) as (one,):
            assert one.state.may_follow(PLAIN, one.state.ticket(), 30.0)
            store.reachable = False
            assert until(lambda: not one.cache.status().fresh)
            assert not one.state.may_follow(PLAIN, one.state.ticket(), 30.0)
            store.reachable = True

    def test_what_is_told_of_changes_tells_of_it_once_at_its_commit(
        self, store: FakeStore, fleet: list[Instance]
    ) -> None:
        one, two = fleet
        start = run(two.cache.changes(Scope(prefixes=frozenset({""})))).to
        gate = store.hold("commit", At.REQUEST)
        writing = Meanwhile(one.cache.put(KEY, b"1"))
        gate.wait_until_held()
        silence = run(two.cache.changes(Scope(prefixes=frozenset({""})), after=start))
        assert silence.telling.changes == ()
        waits = Meanwhile(two.cache.changes(Scope(keys=frozenset({KEY})), after=silence.to, wait=10.0))
        assert waits.running
        gate.release()
        written = writing.result()
        told = waits.result()
        assert [(each.key, each.mod_revision, each.value) for each in told.telling.changes] == [
            (KEY, written.revision, b"1")
        ]
        assert run(two.cache.changes(Scope(prefixes=frozenset({""})), after=told.to)).telling.changes == ()


def settle_a_little() -> None:
    """One turn of the loop: what is due is done."""
    run(asyncio.sleep(0))


class TestFailing:
    """What fails before the commit is certainly not done; its intent goes, and with it the holds."""

    @pytest.mark.usefixtures("no_look_by_the_clock")
    @pytest.mark.parametrize("at", list(At))
    @pytest.mark.parametrize("way", WRITES)
    def test_an_intent_without_an_answer_is_no_write(
        self, store: FakeStore, quick: list[Instance], way: str, at: At
    ) -> None:
        """It may have been put, and then its keys are held until it is taken away."""
        one, _ = quick
        store.hold("intend", at).fail(OutcomeUnknown("lost"))
        with pytest.raises(Unavailable, match="not sent"):
            run(WRITES[way](one.cache))
        assert_given_up(store, quick)
        assert one.outcomes()[-1:] == ["given up"]

    @pytest.mark.usefixtures("no_look_by_the_clock")
    def test_one_that_arrives_later_is_taken_away_all_the_same(
        self, store: FakeStore, quick: list[Instance], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """1. No answer comes; 2. the write is given up; 3. the intent arrives, attached to a lease that lives on."""
        one, _ = quick
        sent: list[Callable[[], Any]] = []
        execute = store._etcd.intend

        def delayed(*arguments: Any) -> Any:
            sent.append(lambda: execute(*arguments))
            raise OutcomeUnknown("lost")

        monkeypatch.setattr(store._etcd, "intend", delayed)
        with pytest.raises(Unavailable):
            run(one.cache.put(KEY, b"1"))
        settle()
        sent[0]()
        assert store.intents()
        assert_given_up(store, quick)

    @pytest.mark.parametrize("error", [Unavailable("away"), NoSpace("full")])
    @pytest.mark.parametrize("way", WRITES)
    def test_a_commit_that_was_not_sent_is_no_write(
        self, store: FakeStore, quick: list[Instance], way: str, error: Exception
    ) -> None:
        one, _ = quick
        store.hold("commit", At.REQUEST).fail(error)
        with pytest.raises(type(error)):
            run(WRITES[way](one.cache))
        assert_given_up(store, quick)

    @pytest.mark.parametrize("way", WRITES)
    def test_a_commit_without_an_answer_is_nobody_knows_what(
        self, store: FakeStore, quick: list[Instance], way: str
    ) -> None:
        """Done it is seen by all; if it was not, it never will be, since the intent is gone that it is fenced by."""
        one, two = quick
        store.hold("commit", At.ANSWER).fail(OutcomeUnknown("lost"))
        with pytest.raises(OutcomeUnknown):
            run(WRITES[way](one.cache))
        assert [instance.read() for instance in (two, one)] == [after(way)] * 2
        run(one.cache.apply([Put(key, b"0") for key in (KEY, OTHER, PLAIN)]))
        store.hold("commit", At.REQUEST).fail(OutcomeUnknown("lost"))
        with pytest.raises(OutcomeUnknown):
            run(WRITES[way](one.cache))
        assert_given_up(store, quick)

    def test_a_lease_that_ends_before_the_commit_ends_the_write(self, store: FakeStore, quick: list[Instance]) -> None:
        """1. All hold the key; 2. the writer hangs, its lease ends; 3. they find no intent, and hit; 4. it goes on."""
        one, two = quick
        gate = store.hold("commit", At.REQUEST)
        writing = Meanwhile(one.cache.put(KEY, b"1"))
        gate.wait_until_held()
        store.vanish(one.state.lease)
        assert until(two.hits)
        gate.release()
        with pytest.raises(Unavailable, match="lease ended"):
            writing.result()
        assert two.read() == b"0"
        assert store.document(KEY) == b"0"

    def test_a_lease_that_has_ended_before_the_intent_is_no_write(
        self, store: FakeStore, quick: list[Instance]
    ) -> None:
        one, _ = quick
        gate = store.hold("intend", At.REQUEST)
        writing = Meanwhile(one.cache.put(KEY, b"1"))
        gate.wait_until_held()
        store.vanish(one.state.lease)
        gate.release()
        with pytest.raises(Unavailable, match="lease"):
            writing.result()
        assert until(lambda: one.cache.status().fresh)
        run(one.cache.put(KEY, b"1"))

    def test_a_hold_goes_on_while_an_intent_cannot_be_taken_away(self, store: FakeStore, quick: list[Instance]) -> None:
        """1. etcd is full: nothing can be deleted, either; 2. once it is not, the hold ends."""
        one, two = quick
        gate = store.hold("commit", At.REQUEST)
        writing = Meanwhile(one.cache.put(KEY, b"1"))
        gate.wait_until_held()
        store.no_space = True
        gate.release()
        with pytest.raises(NoSpace):
            writing.result()
        tried = store.calls["withdraw"]
        assert until(lambda: store.calls["withdraw"] > tried)
        assert store.intents()
        assert not two.hits()
        store.no_space = False
        assert_given_up(store, quick)


def assert_given_up(store: FakeStore, instances: list[Instance]) -> None:
    """Nothing was written, no intent is left, and reads are hits again."""
    assert until(lambda: not store.intents())
    assert [store.document(key) for key in (KEY, OTHER, PLAIN)] == [b"0"] * 3
    for instance in instances:
        for key in (KEY, OTHER):
            assert instance.read(key) == b"0"
            assert until(lambda instance=instance, key=key: instance.hits(key))  # type: ignore[misc]


MOMENTS = [("intend", At.REQUEST), ("intend", At.ANSWER), ("commit", At.REQUEST), ("commit", At.ANSWER)]


@pytest.mark.parametrize(("kind", "at"), MOMENTS)
@pytest.mark.parametrize("way", ["put", "delete", "apply"])
def test_a_writer_that_is_killed_leaves_what_was_committed_and_nothing_else(
    store: FakeStore, quick: list[Instance], way: str, kind: str, at: At
) -> None:
    """At each of its waits: another instance sees the one or the other, the same ever after, and soon as a hit."""
    one, two = quick
    gate = store.hold(kind, at)
    writing = Meanwhile(WRITES[way](one.cache))
    gate.wait_until_held()
    store.vanish(one.state.lease)  # as its process is killed: no call of it is answered any more
    done = (kind, at) == ("commit", At.ANSWER)
    expected = after(way) if done else b"0"
    assert two.read() == expected
    assert until(two.hits)
    assert store.intents() == []
    assert two.read() == expected
    gate.fail(OutcomeUnknown("killed"))
    writing.end()


def test_killed_while_it_waits_it_has_done_nothing(store: FakeStore, quick: list[Instance]) -> None:
    one, two = quick
    store.pause_watch()
    writing = Meanwhile(one.cache.put(KEY, b"1"))
    assert until(lambda: bool(store.intents()))
    store.vanish(one.state.lease)
    store.resume_watch()
    assert until(two.hits)
    assert two.read() == b"0"
    with pytest.raises(Unavailable):
        writing.result()
    assert store.document(KEY) == b"0"


class TestWithoutASlot:
    """A writer without a slot grants a lease of its own for its intent."""

    def test_it_writes_and_reads_guarded_keys(self, store: FakeStore, quick: list[Instance]) -> None:
        _, two = quick
        stranger = Instance(store, QUICK, starts=False)
        grants = store.calls["grant"]
        run(stranger.cache.put(KEY, b"1"))
        assert two.read() == b"1"
        assert stranger.read() == b"1"
        run(stranger.cache.put(KEY, b"2"))
        assert (two.read(), stranger.read()) == (b"2", b"2")
        assert store.calls["grant"] == grants + 1, "one serves some writes"
        run(stranger.cache.close())

    @pytest.mark.usefixtures("quick")
    def test_it_writes_nothing_without_a_lease(self, store: FakeStore) -> None:
        stranger = Instance(store, QUICK, starts=False)
        run(stranger.cache.read_policy())
        store.hold("grant").fail(OutcomeUnknown("lost"))
        with pytest.raises(Unavailable, match="not sent"):
            run(stranger.cache.put(KEY, b"1"))
        assert store.intents() == []
        run(stranger.cache.close())

    @pytest.mark.usefixtures("quick")
    def test_its_lease_is_long_enough_for_a_write_that_takes_all_the_time_there_is(self, store: FakeStore) -> None:
        stranger = Instance(store, QUICK, starts=False)
        run(stranger.cache.read_policy())
        gate = store.hold("commit", At.REQUEST)
        writing = Meanwhile(stranger.cache.put(KEY, b"1"))
        gate.wait_until_held()
        store.advance(QUICK.lease_ttl + 2 * QUICK.timeout)
        assert store.intents()
        gate.release()
        writing.result()
        run(stranger.cache.close())

    def test_what_it_gives_up_ends_with_its_lease(self, store: FakeStore, quick: list[Instance]) -> None:
        _, two = quick
        stranger = Instance(store, QUICK, starts=False)
        run(stranger.cache.read_policy())
        store.hold("commit", At.REQUEST).fail(Unavailable("away"))
        with pytest.raises(Unavailable):
            run(stranger.cache.put(KEY, b"1"))
        assert not two.hits()
        store.advance(60.0)
        assert store.intents() == []
        assert until(lambda: two.cache.status().fresh)
        two.warm(KEY)
        assert two.read() == b"0"
        run(stranger.cache.close())

    def test_holds_of_an_instance_without_a_slot_end_as_well(self, store: FakeStore, quick: list[Instance]) -> None:
        """It asks for each read anyway; but what it holds would be held when it gets a slot."""
        one, two = quick
        gate = store.hold("commit", At.REQUEST)
        writing = Meanwhile(one.cache.put(KEY, b"1"))
        gate.wait_until_held()
        claims = store.hold("claim", At.REQUEST)
        store.vanish(two.state.lease)
        assert until(lambda: not two.state.lease)
        store.vanish(one.state.lease)
        gate.release()
        with pytest.raises(Unavailable):
            writing.result()
        assert until(lambda: not two.state.held)
        claims.release()


class TestPolicy:
    """A change of what is guarded is itself a guarded write, which holds every key (rule 15)."""

    def test_a_change_of_what_is_guarded_holds_every_key(self, store: FakeStore, fleet: list[Instance]) -> None:
        one, _ = fleet
        gate = store.hold("commit", At.REQUEST)
        changing = Meanwhile(one.cache.put_policy(json.dumps({"guarded": ["g/", "p/"]}).encode()))
        gate.wait_until_held()
        for instance in fleet:
            assert not any(instance.hits(key) for key in (KEY, OTHER, PLAIN))
            assert [instance.read(key) for key in (KEY, OTHER, PLAIN)] == [b"0"] * 3
        gate.release()
        changing.result()
        for instance in fleet:
            instance.warm(KEY, OTHER, PLAIN)
        assert store.intents() == []

    def test_a_change_whose_intent_has_gone_is_not_made(self, store: FakeStore, fleet: list[Instance]) -> None:
        """1. Every key is held; 2. the intent is taken away, and keys are served again; 3. the change would come."""
        one, _ = fleet
        gate = store.hold("commit", At.REQUEST)
        changing = Meanwhile(one.cache.put_policy(json.dumps({"guarded": ["g/", "p/"]}).encode()))
        gate.wait_until_held()
        before = one.cache.policy.mod_revision
        store._etcd.withdraw(store.intents())
        gate.release()
        with pytest.raises(Unavailable, match="nothing was done"):
            changing.result()
        assert one.cache.policy.mod_revision == before

    def test_any_other_change_holds_nothing(self, store: FakeStore, fleet: list[Instance]) -> None:
        one, _ = fleet
        intents = store.calls["intend"]
        run(one.cache.put_policy(json.dumps({"guarded": ["g/"], "history": {"keep": 1}}).encode()))
        assert store.calls["intend"] == intents

    def test_a_plain_write_of_before_is_seen_by_all_once_its_key_is_guarded(
        self, store: FakeStore, quick: list[Instance]
    ) -> None:
        """1. A plain write is committed; 2. one instance has not heard of it; 3. its key is guarded from now on."""
        one, two = quick
        store.deafen_watch()
        run(one.cache.put(PLAIN, b"1"))
        assert two.hits(PLAIN)
        run(one.cache.put_policy(json.dumps({"guarded": ["g/", "p/"]}).encode()))
        assert two.read(PLAIN) == b"1"

    def test_it_is_put_over_the_one_that_was_seen_or_not_at_all(self, store: FakeStore, fleet: list[Instance]) -> None:
        """1. Somebody else puts one while every key is held; 2. nothing is done; 3. it is tried over that one."""
        one, _ = fleet
        gate = store.hold("commit", At.REQUEST)
        changing = Meanwhile(one.cache.put_policy(b'{"guarded": []}', if_match=one.cache.policy.mod_revision))
        gate.wait_until_held()
        at = store.put_raw(store.layout.policy, b'{"guarded": ["g/"], "history": {"keep": 1}}')
        gate.release()
        with pytest.raises(PreconditionFailed) as refused:
            changing.result()
        assert refused.value.current == at
        assert store.intents() == []

    def test_one_that_fails_leaves_no_hold(self, store: FakeStore, quick: list[Instance]) -> None:
        one, _ = quick
        store.hold("commit", At.REQUEST).fail(Unavailable("away"))
        with pytest.raises(Unavailable):
            run(one.cache.put_policy(b'{"guarded": []}'))
        assert one.cache.policy.text == GUARDED
        assert_given_up(store, quick)

    def test_a_policy_that_cannot_be_read_guards_every_key_until_it_is_mended(
        self, store: FakeStore, fleet: list[Instance]
    ) -> None:
        one, _ = fleet
        store.put_raw(store.layout.policy, b"{")
        run(one.cache.read_policy())
        assert one.cache.policy.guards("anything")
        run(one.cache.put_policy(b"{}"))
        assert one.cache.policy.guarded == ()


def test_the_version_of_an_intent_names_no_key(store: FakeStore, fleet: list[Instance]) -> None:
    """It has changed none: who is told of changes hears of the write when it is done."""
    one, _ = fleet
    store.pause_watch()
    before = store.revision
    writing = Meanwhile(one.cache.put(KEY, b"1"))
    assert until(lambda: bool(store.intents()))
    events = [event for event in run(_versions(store, before)) if isinstance(event, VersionEvent)]
    assert [(event.names, event.ack) for event in events] == [(frozenset(), True)]
    store.resume_watch()
    writing.result()


async def _versions(store: FakeStore, after: int) -> tuple[VersionEvent, ...]:
    return (await store.versions(after, after + 1, most=100, timeout=1)).events


def test_another_history_takes_the_holds_along(store: FakeStore, quick: list[Instance]) -> None:
    """Rule 8: the intent is of the history that was lost."""
    one, two = quick
    saved = store.snapshot()
    gate = store.hold("commit", At.REQUEST)
    writing = Meanwhile(one.cache.put(KEY, b"1"))
    gate.wait_until_held()
    store.restore(saved)
    gate.fail(Unavailable("away"))
    writing.end()
    assert until(lambda: two.cache.status().fresh and not two.state.held)
    two.warm(KEY)


def test_an_intent_that_a_backup_brings_back_is_taken_away(
    store: FakeStore, quick: list[Instance], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its write is done, nobody knows that a history was lost, and its lease lives on."""
    one, two = quick
    sent: list[Any] = []
    execute = store._etcd.intend

    def kept(*arguments: Any) -> Any:
        sent.append(arguments)
        return execute(*arguments)

    monkeypatch.setattr(store._etcd, "intend", kept)
    run(one.cache.put(KEY, b"1"))
    assert until(lambda: not two.state.held)
    execute(*sent[0])
    assert store.intents()
    assert until(lambda: not store.intents() and not two.state.held, limit=15.0)


def test_the_approval_is_asked_before_anything_is_held(store: FakeStore, fleet: list[Instance]) -> None:
    one, _ = fleet

    class RefusedError(Exception):
        pass

    async def refuse(_: Policy) -> None:
        raise RefusedError

    intents, approve = store.calls["intend"], refuse
    agreed: Approve = approve
    for way in WRITES.values():
        with pytest.raises(RefusedError):
            run(way(one.cache, approve=agreed))
    assert store.calls["intend"] == intents


class TestOldInstances:
    """One of a release that does not know guarded keys would serve from memory what is held."""

    ADDED = b'{"guarded": ["g/", "p/"]}'

    @pytest.mark.parametrize("waits", [False, True])
    def test_nothing_more_is_guarded_while_one_is_in_the_fleet(
        self, store: FakeStore, quick: list[Instance], waits: bool
    ) -> None:
        one, _ = quick
        lease = run(store.grant(600, timeout=1)).id
        if waits:
            run(store.wait(lease, "{}", timeout=1))
        else:
            run(store.claim(7, lease, "{}", timeout=1))
        with pytest.raises(FleetTooOld, match="none yet" if waits else "07"):
            run(one.cache.put_policy(self.ADDED))
        assert store.intents() == []
        run(one.cache.put_policy(b'{"guarded": [], "history": {"keep": 1}}'))
        store.vanish(lease)
        run(one.cache.put_policy(self.ADDED))

    @pytest.mark.parametrize("told", ["{}", '{"boot": "x"}', ' { "boot": "x" } ', "no JSON", "[]", ""])
    def test_what_an_instance_says_of_itself_is_told_as_it_said_it(self, told: str) -> None:
        member = Member.read(3, 5, 7, with_holds(told))
        assert member.holds == told.strip().startswith("{")
        assert member.description.replace(" ", "") == told.replace(" ", "")
        assert not Member.read(3, 5, 7, told).holds
