"""Rule 18: clients are told of every change, nothing is lost, and silence is proven."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from consistency import CacheOptions, WrongTimeline
from consistency.core.events import ScopeReset
from consistency.core.feed import Scope, Token, Told, Unproven, mark_of
from consistency.core.model import VersionRecord, new_nonce
from consistency.core.store import Delete, Put, Unavailable
from consistency.instance.following import Following
from consistency.instance.past_values import READS_AT_ONCE, TOLD_AT_ONCE
from tests.instance.hand import BOUND, PATIENCE, Hand, remove, write
from tests.support.driver import Meanwhile, run, settle
from tests.support.fake_store import FakeStore
from tests.support.gates import At

ALL = Scope(prefixes=frozenset({""}))
TEAM = Scope(prefixes=frozenset({"team/"}))
LONG = 30.0


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@pytest.fixture
def hand(store: FakeStore) -> Hand:
    return Hand(store)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def here(hand: Hand) -> Token:
    token = hand.state.here()
    assert token is not None
    return token


def ask(hand: Hand, scope: Scope = ALL, after: Token | None = None, *, wait: float = 0.0, values: bool = True) -> Told:
    return run(hand.feed.changes(scope, after, wait=wait, values=values))


def waiting(
    hand: Hand, scope: Scope = ALL, after: Token | None = None, *, wait: float = LONG, values: bool = True
) -> Meanwhile[Told]:
    return Meanwhile(hand.feed.changes(scope, after or here(hand), wait=wait, values=values))


def told(answer: Told) -> dict[str, bytes | None]:
    return {change.key: change.value for change in answer.changes}


def resets(hand: Hand) -> list[str]:
    return [event.cause for event in hand.happened if isinstance(event, ScopeReset)]


class TestTelling:
    def test_who_waits_is_told_of_what_concerns_it_and_nobody_else(self, store: FakeStore, hand: Hand) -> None:
        since = here(hand)
        of_team, of_key, of_all = waiting(hand, TEAM), waiting(hand, Scope(frozenset({"x"}))), waiting(hand)
        at = write(store, "team/a", b"1").header.revision
        hand.deliver()
        assert of_key.running
        for each in (of_team, of_all):
            answer = each.result()
            assert told(answer) == {"team/a": b"1"}
            assert (answer.since, answer.to.revision, answer.reset, answer.more) == (since, at, "", False)
            assert [(c.op, c.mod_revision) for c in answer.changes] == [("put", at)]
        of_key.cancel()

    def test_those_who_are_woken_together_are_each_told_of_their_own_keys(self, store: FakeStore, hand: Hand) -> None:
        """With the same token, by one transaction: what it means is decided for each scope."""
        of_a, of_b = (waiting(hand, Scope(frozenset({key}))) for key in "ab")
        record = VersionRecord(new_nonce(), frozenset({"a", "b"}), "batch")
        run(store.commit((Put("a", b"1"), Put("b", b"2")), record, timeout=1))
        hand.deliver()
        assert [told(each.result()) for each in (of_a, of_b)] == [{"a": b"1"}, {"b": b"2"}]

    def test_a_deletion_is_told_with_its_revision(self, store: FakeStore, hand: Hand) -> None:
        write(store, "a", b"1")
        hand.deliver()
        answer = waiting(hand)
        gone = remove(store, "a").header.revision
        hand.deliver()
        assert [(c.op, c.mod_revision, c.value) for c in answer.result().changes] == [("delete", gone, None)]

    def test_an_absent_key_can_be_followed(self, store: FakeStore, hand: Hand) -> None:
        answer = waiting(hand, Scope(frozenset({"team/new"})))
        write(store, "team/newer", b"1")
        hand.deliver()
        assert answer.running
        write(store, "team/new", b"2")
        hand.deliver()
        assert told(answer.result()) == {"team/new": b"2"}

    def test_a_transaction_is_told_whole(self, store: FakeStore, hand: Hand) -> None:
        """Rule 18: `to` is never within one, and an answer holds all of its names, in order."""
        write(store, "gone", b"1")
        hand.deliver()
        answer = waiting(hand)
        changes = (Put("b", b"1"), Put("a", b"2"), Delete("gone"))
        record = VersionRecord(new_nonce(), frozenset({"a", "b", "gone"}), "batch")
        at = run(store.commit(changes, record, timeout=1)).header.revision
        hand.deliver()
        assert [(c.key, c.op, c.mod_revision) for c in answer.result().changes] == [
            ("a", "put", at), ("b", "put", at), ("gone", "delete", at),
        ]  # fmt: skip

    def test_without_values_a_single_write_costs_no_read_and_a_batch_one(self, store: FakeStore, hand: Hand) -> None:
        answer = waiting(hand, values=False)
        write(store, "a", b"1")
        hand.deliver()
        assert [(c.key, c.op, c.value) for c in answer.result().changes] == [("a", "put", None)]
        assert store.calls["values"] == 0
        answer = waiting(hand, values=False)
        record = VersionRecord(new_nonce(), frozenset({"a", "b"}), "batch")
        run(store.commit((Delete("a"), Put("b", b"1")), record, timeout=1))
        hand.deliver()
        assert [(c.key, c.op, c.value) for c in answer.result().changes] == [("a", "delete", None), ("b", "put", None)]
        assert store.calls["values"] == 1

    def test_the_value_told_is_the_one_at_to_though_there_is_a_newer_one(self, store: FakeStore, hand: Hand) -> None:
        """
        1. Write 1 is applied, and its value is asked for; 2. before etcd has the question, write 2 commits;
        3. what is told as of write 1 must be write 1's.
        """
        gate = store.hold("values", At.REQUEST)
        answer = waiting(hand)
        first = write(store, "a", b"1").header.revision
        hand.deliver()
        gate.wait_until_held()
        write(store, "a", b"2")
        hand.deliver()
        gate.release()
        one = answer.result()
        assert (told(one), one.to.revision) == ({"a": b"1"}, first)
        assert told(ask(hand, after=one.to)) == {"a": b"2"}

    def test_the_age_is_that_of_the_proof_before_the_values_were_read(self, store: FakeStore, hand: Hand) -> None:
        """
        1. Write 1 is applied, and its value is asked for; 2. write 2 is applied, and a proof shows it; 3. as of that
        proof, what is told of write 1 was not the newest any more.
        """
        gate = store.hold("values")
        answer = waiting(hand)
        write(store, "a", b"1")
        hand.deliver()
        gate.wait_until_held()
        hand.clock.advance(0.25)
        write(store, "a", b"2")
        hand.deliver()
        hand.prove()
        gate.release()
        assert answer.result().age == pytest.approx(0.25)

    def test_a_value_in_memory_that_is_current_is_told_without_a_read(self, store: FakeStore, hand: Hand) -> None:
        since = here(hand)
        write(store, "a", b"1")
        hand.deliver()
        hand.get("a")
        assert told(ask(hand, after=since)) == {"a": b"1"}
        assert store.calls["values"] == 0

    def test_a_value_in_memory_that_is_old_is_not_told(self, store: FakeStore, hand: Hand) -> None:
        write(store, "a", b"1")
        hand.deliver()
        hand.get("a")
        since = here(hand)
        write(store, "a", b"2")
        hand.deliver()
        assert told(ask(hand, after=since)) == {"a": b"2"}

    def test_many_who_follow_one_scope_are_told_by_one_read_and_the_same_object(
        self, store: FakeStore, hand: Hand
    ) -> None:
        crowd = [waiting(hand, TEAM) for _ in range(50)] + [waiting(hand) for _ in range(50)]
        before = sum(store.calls.values())
        write(store, "team/a", b"1")
        hand.deliver()
        answers = [each.result() for each in crowd]
        assert all(told(answer) == {"team/a": b"1"} for answer in answers)
        assert len({id(answer.telling) for answer in answers}) == 2, "one for each scope"
        assert sum(store.calls.values()) - before == 2, "the write, and one read"

    def test_who_gives_up_takes_nothing_from_the_others(self, store: FakeStore, hand: Hand) -> None:
        gate = store.hold("values")
        first, second = waiting(hand), waiting(hand)
        write(store, "a", b"1")
        hand.deliver()
        gate.wait_until_held()
        first.cancel()
        gate.release()
        assert told(second.result()) == {"a": b"1"}

    def test_a_read_that_fails_fails_those_who_wait_and_nothing_is_lost(self, store: FakeStore, hand: Hand) -> None:
        since = here(hand)
        answer = waiting(hand)
        gate = store.hold("values")
        write(store, "a", b"1")
        gate.fail(Unavailable("gone"))
        hand.deliver()
        with pytest.raises(Unavailable):
            answer.result()
        assert told(ask(hand, after=since)) == {"a": b"1"}


class TestSilence:
    """Rule 18: that nothing has changed is said only with a proof."""

    def test_it_is_said_of_the_horizon_by_the_proof_that_there_is(self, store: FakeStore, hand: Hand) -> None:
        since = here(hand)
        run(store.grant(10, timeout=1))
        store.put_raw(b"elsewhere", b"1")
        hand.prove()
        hand.clock.advance(BOUND / 2)
        calls = sum(store.calls.values())
        answer = ask(hand, after=since)
        assert answer.changes == ()
        assert answer.to.revision == store.revision > since.revision
        assert answer.age == pytest.approx(BOUND / 2)
        assert sum(store.calls.values()) == calls

    def test_where_the_proof_has_run_out_another_is_asked_for(self, store: FakeStore, hand: Hand) -> None:
        since = here(hand)
        hand.clock.advance(BOUND)
        before = store.calls["read"]
        answer = ask(hand, after=since)
        assert (answer.changes, answer.age) == ((), 0.0)
        assert store.calls["read"] == before + 1

    def test_where_none_can_be_had_nothing_is_said(self, store: FakeStore, hand: Hand) -> None:
        since = here(hand)
        hand.clock.advance(BOUND)
        store.reachable = False
        with pytest.raises(Unavailable):
            ask(hand, after=since)

    def test_a_proof_of_what_is_not_applied_yet_is_none(self, store: FakeStore, hand: Hand) -> None:
        """The watch hangs, and somebody has written: etcd answers, and yet silence would be a lie."""
        since = here(hand)
        write(store, "a", b"1")
        hand.clock.advance(BOUND)
        hand.state.watching(False)
        with pytest.raises(Unavailable):
            ask(hand, after=since)
        hand.deliver()
        assert told(ask(hand, after=since)) == {"a": b"1"}

    def test_no_slot_is_needed(self, store: FakeStore) -> None:
        """A 65th instance caches nothing, and tells of changes all the same."""
        hand = Hand(store, slot=None)
        since = here(hand)
        assert ask(hand, after=since).changes == ()
        answer = waiting(hand, after=since)
        write(store, "a", b"1")
        hand.deliver()
        assert told(answer.result()) == {"a": b"1"}

    def test_who_follows_hears_when_silence_is_proven_no_more_and_when_it_is_again(
        self, store: FakeStore, hand: Hand, stack: ExitStack
    ) -> None:
        following = stack.enter_context(hand.feed.following(ALL, here(hand), values=True))
        coming = Meanwhile(following.next(LONG))
        hand.clock.advance(BOUND)
        hand.feed.index.wake_all()  # as the worker does
        assert coming.result() == Unproven(age=BOUND)
        coming = Meanwhile(following.next(LONG))
        hand.feed.index.wake_all()
        assert coming.running, "it is said once"
        hand.prove()
        hand.feed.index.wake_all()
        answer = coming.result()
        assert isinstance(answer, Told)
        assert (answer.changes, answer.age) == ((), 0.0)
        assert store.calls["values"] == 0

    def test_a_long_poll_waits_on_through_a_doubt(self, store: FakeStore, hand: Hand) -> None:
        """Else a moment without a proof has all of them ask again at once."""
        answer = waiting(hand)
        hand.clock.advance(BOUND)
        hand.feed.index.wake_all()
        assert answer.running
        hand.prove()
        hand.feed.index.wake_all()
        assert answer.running
        write(store, "a", b"1")
        hand.deliver()
        assert told(answer.result()) == {"a": b"1"}

    def test_waiting_costs_no_call_and_each_leaves_nothing_behind(self, store: FakeStore, hand: Hand) -> None:
        before = sum(store.calls.values())
        crowd = [waiting(hand, Scope(frozenset({f"k{number % 20}"}))) for number in range(200)]
        assert sum(store.calls.values()) == before
        for each in crowd:
            each.cancel()
        index = hand.feed.index
        assert not index
        assert [*index._by_key, *index._by_prefix, *index._lengths] == []


class TestComingBack:
    def test_what_was_missed_is_told_from_memory(self, store: FakeStore, hand: Hand) -> None:
        since = here(hand)
        for key, value in (("a", b"1"), ("b", b"2"), ("a", b"3")):
            write(store, key, value)
        remove(store, "b")
        hand.deliver(4)
        answer = ask(hand, after=since)
        assert told(answer) == {"a": b"3", "b": None}
        assert answer.to.revision == store.revision
        assert store.calls["versions"] == 0

    def test_what_is_older_is_read_of_the_past_once_for_all(self, store: FakeStore) -> None:
        """Another instance, which has begun after all that: it is asked by everybody at once."""
        one = Hand(store)
        tokens = [here(one)]
        for number in range(5):
            write(store, f"k{number}", b"1")
            one.deliver()
            tokens.append(here(one))
        other = Hand(store, slot=1)
        crowd = [waiting(other, after=token, wait=0.0) for token in tokens[:5] * 10]
        answers = [each.result() for each in crowd]
        for number, answer in enumerate(answers):
            assert set(told(answer)) == {f"k{left}" for left in range(number % 5, 5)}
        assert store.calls["versions"] == 1
        assert told(ask(other, after=tokens[2])).keys() == {"k2", "k3", "k4"}
        assert store.calls["versions"] == 1, "and it is remembered"

    def test_an_older_token_than_the_one_that_is_being_read_is_not_forgotten(self, store: FakeStore) -> None:
        one = Hand(store)
        first = here(one)
        for key in "abc":
            write(store, key, b"1")
        one.deliver()
        second = here(one)
        one.deliver()
        third = here(one)
        one.deliver()
        other = Hand(store, slot=1)
        gate = store.hold("versions")
        latest = waiting(other, after=third, wait=0.0)
        gate.wait_until_held()
        later, earlier = (waiting(other, after=token, wait=0.0) for token in (second, first))
        assert earlier.running
        gate.release()
        assert set(told(latest.result())) == {"c"}
        assert set(told(later.result())) == set("bc")
        assert set(told(earlier.result())) == set("abc")
        assert store.calls["versions"] == 2, "the second one is from the oldest of those who waited"

    def test_whose_past_is_compacted_gets_the_whole_scope(self, store: FakeStore) -> None:
        one = Hand(store)
        since = here(one)
        write(store, "team/a", b"1")
        write(store, "x", b"2")
        one.deliver(2)
        store.compact(store.revision)
        other = Hand(store, slot=1)
        answer = ask(other, TEAM, since)
        assert (answer.reset, told(answer), answer.since) == ("compacted", {"team/a": b"1"}, None)
        assert resets(other) == ["compacted"]

    def test_whose_past_is_too_much_gets_the_whole_scope(self, store: FakeStore) -> None:
        one = Hand(store)
        since = here(one)
        for number in range(8):
            write(store, f"k{number}", b"1")
        small = CacheOptions(staleness_bound=BOUND, timeout=PATIENCE, history_bytes=320 * 10)
        answer = ask(Hand(store, slot=1, options=small), after=since)
        assert (answer.reset, len(answer.changes)) == ("too much", 8)

    def test_who_begins_anew_does_not_go_back(self, store: FakeStore) -> None:
        """1. Somebody begins anew, as of 1. 2. Another is told of 2 elsewhere, and comes here, where 2 is forgotten. It
        must not be told the scope as of 1, however young that is."""
        small = CacheOptions(staleness_bound=BOUND, timeout=PATIENCE, history_bytes=320 * 2)
        hand = Hand(store, options=small)
        ask(hand)
        for number in range(8):
            write(store, f"k{number}", b"1")
            hand.deliver()
            if number == 1:
                since = here(hand)
        answer = ask(hand, after=since)
        assert (answer.reset, answer.to) == ("too much", here(hand))

    def test_whose_past_has_a_hole_gets_the_whole_scope(self, store: FakeStore) -> None:
        """Rule 2, backwards: the version key was deleted, and what was written until it was back, nobody knows."""
        one = Hand(store)
        since = here(one)
        write(store, "a", b"1")
        store.delete_version()
        write(store, "b", b"2")
        answer = ask(Hand(store, slot=1), after=since)
        assert (answer.reset, told(answer)) == ("everything", {"a": b"1", "b": b"2"})

    def test_a_version_that_names_nothing_is_everything(self, store: FakeStore, hand: Hand) -> None:
        """Rule 13: an audit that does not know what has vanished."""
        write(store, "a", b"1")
        hand.deliver()
        assert told(ask(hand)) == {"a": b"1"}, "a reset that is young, and yet from before"
        answer, calls = waiting(hand), store.calls["scan"]
        also = waiting(hand)
        store.put_outside("b", b"2")
        at = store.put_version(VersionRecord(new_nonce(), None, "audit"))
        hand.deliver()
        first = answer.result()
        assert (first.reset, told(first), first.since) == ("everything", {"a": b"1", "b": b"2"}, None)
        assert first.to.revision >= at
        assert also.result().telling is first.telling
        assert store.calls["scan"] == calls + 1
        assert ask(hand, after=first.to).reset == ""

    def test_a_token_of_a_history_that_was_lost_is_refused(self, store: FakeStore, hand: Hand) -> None:
        """Rule 8: etcd was restored, and the same revision bears another write."""
        saved = store.snapshot()
        write(store, "a", b"1")
        hand.deliver()
        lost = here(hand)
        store.restore(saved)
        for key in "bcdef":
            write(store, key, b"1")
        with pytest.raises(WrongTimeline):
            ask(Hand(store, slot=1), after=lost)  # from the past
        other = Hand(store, slot=2)
        with pytest.raises(WrongTimeline):
            ask(other, after=Token(here(other).revision, lost.mark))  # from memory

    @pytest.mark.parametrize("written", ["b", "bc"])
    def test_who_waits_when_the_history_turns_out_to_be_another_is_told(
        self, store: FakeStore, hand: Hand, written: str
    ) -> None:
        """Whether it has gone on as far as the one before, to the very revision of the token, or further."""
        saved = store.snapshot()
        write(store, "a", b"1")
        hand.deliver()
        hand.prove()
        answer = waiting(hand)
        store.restore(saved)
        for key in written:
            write(store, key, b"1")
        hand.prove()  # which finds it out
        hand.connect()
        with pytest.raises(WrongTimeline):
            answer.result()

    def test_a_token_of_another_instance_that_is_ahead_is_waited_for(self, store: FakeStore, hand: Hand) -> None:
        """Rule 10."""
        other = Hand(store, slot=1)
        write(store, "a", b"1")
        other.deliver()
        hand.state.watching(True)
        answer = waiting(hand, after=here(other), wait=0.0)
        assert answer.running
        hand.deliver()
        hand.prove()
        assert answer.result().changes == ()

    def test_a_token_that_is_ahead_of_etcd_is_of_another_history(self, store: FakeStore, hand: Hand) -> None:
        with pytest.raises(WrongTimeline):
            ask(hand, after=Token(store.revision + 100, mark_of("n")))

    def test_many_changes_are_told_in_whole_transactions(self, store: FakeStore, hand: Hand) -> None:
        since = here(hand)
        for number in range(120):
            write(store, f"k{number:03}", b"%d" % number)
        write(store, "k000", b"again")
        hand.deliver(121)
        first = ask(hand, after=since)
        assert (len(first.changes), first.more) == (100, True)
        assert told(first)["k000"] == b"0", "as it stood at `to`"
        second = ask(hand, after=first.to)
        assert (second.since, len(second.changes), second.more) == (first.to, 21, False)
        assert told(second)["k000"] == b"again"
        assert first.to.revision < second.to.revision == store.revision

    @pytest.mark.parametrize("known", [True, False], ids=["current entries", "read"])
    def test_large_changes_are_told_a_few_at_a_time(self, store: FakeStore, hand: Hand, known: bool) -> None:
        """A client that does not read keeps no more than so much."""
        since, large = here(hand), b"1" * (TOLD_AT_ONCE // 3)
        for number in range(8):
            write(store, f"k{number}", large)
        hand.deliver(8)
        if known:
            hand.prove()
            assert all(hand.get(f"k{number}").value == large for number in range(8))
        replica: dict[str, bytes | None] = {}
        more = True
        while more:
            answer = ask(hand, after=since)
            assert sum(len(value or b"") for value in told(answer).values()) <= TOLD_AT_ONCE
            replica |= told(answer)
            since, more = answer.to, answer.more
        assert replica == {f"k{number}": large for number in range(8)}

    def test_a_large_transaction_is_told_whole(self, store: FakeStore, hand: Hand) -> None:
        since, large = here(hand), b"1" * (TOLD_AT_ONCE * 2 // 5)
        keys = ["a", "b", "c"]
        writes = [Put(key, large) for key in keys]
        run(store.commit(writes, VersionRecord(new_nonce(), frozenset(keys), "batch"), timeout=1.0))
        hand.deliver()
        answer = ask(hand, after=since)
        assert (told(answer), answer.more) == (dict.fromkeys(keys, large), False)

    def test_who_goes_on_is_told_the_rest_though_nothing_happened_since_it_came(
        self, store: FakeStore, hand: Hand, stack: ExitStack
    ) -> None:
        """What was applied before anybody followed the scope has woken nobody, and is owed all the same."""
        since = here(hand)
        for number in range(120):
            write(store, f"k{number:03}", b"1")
        hand.deliver(120)
        following = stack.enter_context(hand.feed.following(ALL, since, values=True))
        first, second = run(following.next(0.0)), run(following.next(0.0))
        assert isinstance(first, Told)
        assert isinstance(second, Told)
        assert [len(first.changes), len(second.changes)] == [100, 20]

    def test_who_goes_on_over_a_gap_is_told_the_rest(self, store: FakeStore, hand: Hand, stack: ExitStack) -> None:
        """1. A client follows a scope; 2. the watch misses versions that concern it; 3. the next stream begins after
        them, and the past up to there is read: a first part is told, up to a version in the middle; 4. no event has
        told of what came after that, and it is owed all the same. Found by seed 715066450 of the simulation.
        """
        following = stack.enter_context(hand.feed.following(ALL, here(hand), values=True))
        for number in range(120):
            write(store, f"k{number:03}", b"1")
        hand.connect(gap=True)
        hand.prove()
        first, second = run(following.next(0.0)), run(following.next(0.0))
        assert isinstance(first, Told)
        assert isinstance(second, Told)
        assert [len(first.changes), len(second.changes)] == [100, 20]

    def test_what_is_compacted_before_it_is_read_is_told_anew(self, store: FakeStore, hand: Hand) -> None:
        since = here(hand)
        for number in range(120):
            write(store, f"k{number:03}", b"1")
        hand.deliver(120)
        store.compact(store.revision)
        assert ask(hand, after=since).reset == "compacted"


class TestResets:
    def test_without_a_token_the_whole_scope_is_told_as_of_the_horizon(self, store: FakeStore, hand: Hand) -> None:
        write(store, "team/a", b"1")
        write(store, "x", b"2")
        hand.deliver(2)
        answer = ask(hand, TEAM)
        assert (answer.reset, told(answer), answer.since, answer.more) == ("asked", {"team/a": b"1"}, None, False)
        assert answer.to == here(hand)
        assert resets(hand) == ["asked"]

    def test_it_needs_a_proof(self, store: FakeStore, hand: Hand) -> None:
        write(store, "a", b"1")  # not applied yet
        hand.clock.advance(BOUND)
        hand.state.watching(False)
        with pytest.raises(Unavailable):
            ask(hand)
        hand.deliver()
        assert told(ask(hand)) == {"a": b"1"}

    def test_its_pages_are_of_one_revision_whatever_is_written_meanwhile(self, store: FakeStore, hand: Hand) -> None:
        expected = {"a": b"0", "b/key": b"0", "z": b"0"} | {f"p/{number:04}": b"%d" % number for number in range(450)}
        for key, value in expected.items():
            store.put_outside(key, value)
        store.put_version(VersionRecord(new_nonce(), None, "audit"))
        hand.deliver()
        hand.prove()
        scope = Scope(frozenset({"a", "z", "b/key", "absent"}), frozenset({"p/"}))
        replica: dict[str, bytes | None] = {}
        answer = ask(hand, scope)
        at, pages = answer.to.revision, 1
        assert answer.reset == "asked"
        while True:
            assert not replica.keys() & told(answer).keys(), "each key once"
            replica |= told(answer)
            assert answer.to.revision == at
            if not answer.more:
                break
            write(store, f"p/{pages:04}", b"new")
            hand.deliver()
            answer = ask(hand, scope, Token.parse(str(answer.to)))
            assert (answer.reset, answer.age) == ("", None), "of that revision, which is not the newest any more"
            pages += 1
        assert pages == 5
        assert replica == expected
        rest = ask(hand, scope, answer.to)
        assert told(rest) == {f"p/{page:04}": b"new" for page in range(1, pages)}

    @pytest.mark.parametrize(
        "scope", [ALL, Scope(frozenset(f"p/{number}" for number in range(8)))], ids=["all", "keys"]
    )
    def test_a_page_of_large_documents_has_a_few(self, store: FakeStore, hand: Hand, scope: Scope) -> None:
        large = b"1" * (TOLD_AT_ONCE // 3)
        for number in range(8):
            write(store, f"p/{number}", large)
        hand.deliver(8)
        hand.prove()
        answer = ask(hand, scope)
        replica: dict[str, bytes | None] = {}
        while True:
            assert len(answer.changes) <= 3
            assert not replica.keys() & told(answer).keys(), "each key once"
            replica |= told(answer)
            if not answer.more:
                break
            answer = ask(hand, scope, answer.to)
        assert replica == {f"p/{number}": large for number in range(8)}

    def test_few_reads_of_the_past_are_under_way_at_once(self, store: FakeStore, hand: Hand) -> None:
        """However many ask for scopes of their own: each answer of etcd may be large."""
        write(store, "p", b"1")
        hand.deliver()
        hand.prove()
        gates = [store.hold("scan", At.REQUEST) for _ in range(3 * READS_AT_ONCE)]
        scopes = [Scope(prefixes=frozenset({f"p{number}"})) for number in range(len(gates))]
        asked = [Meanwhile(hand.feed.changes(scope, None, wait=0.0, values=True)) for scope in scopes]
        settle()
        assert sum(gate._held for gate in gates) == READS_AT_ONCE
        for gate in gates:
            gate.release()
        assert all(each.result().reset == "asked" for each in asked)

    def test_one_that_is_compacted_in_the_middle_begins_anew(self, store: FakeStore, hand: Hand) -> None:
        for number in range(300):
            store.put_outside(f"p/{number:04}", b"1")
        store.put_version(VersionRecord(new_nonce(), None, "audit"))
        hand.deliver()
        hand.prove()
        first = ask(hand)
        assert first.more
        write(store, "p/0001", b"2")
        hand.deliver()
        store.compact(store.revision)
        again = ask(hand, after=first.to)
        assert (again.reset, again.to.revision) == ("compacted", store.revision)

    def test_one_that_is_forgotten_and_compacted_in_the_middle_begins_anew(self, store: FakeStore) -> None:
        """Its first part is remembered, and would be told again and again."""
        hand = Hand(store, options=CacheOptions(staleness_bound=BOUND, timeout=PATIENCE, history_bytes=320 * 2))
        for number in range(300):
            store.put_outside(f"p/{number:04}", b"1")
        store.put_version(VersionRecord(new_nonce(), None, "audit"))
        hand.deliver()
        hand.prove()
        first = ask(hand)
        for number in range(3):
            write(store, f"p/{number:04}", b"2")
            hand.deliver()
        store.compact(store.revision)
        again = ask(hand, after=first.to)
        assert (again.reset, again.to.revision) == ("compacted", store.revision)

    def test_a_crowd_without_tokens_is_told_by_one_read(self, store: FakeStore, hand: Hand) -> None:
        write(store, "a", b"1")
        hand.deliver()
        crowd = [Meanwhile(hand.feed.changes(ALL, None, wait=0.0, values=True)) for _ in range(50)]
        assert len({id(each.result().telling) for each in crowd}) == 1
        assert store.calls["scan"] == 1


class TestTheEnd:
    def test_who_is_hastened_waits_no_more(self, hand: Hand, stack: ExitStack) -> None:
        """As when an instance drains."""
        ways: list[Following] = [stack.enter_context(hand.feed.following(ALL, here(hand), values=True)) for _ in "ab"]
        first, second = (Meanwhile(way.next(LONG)) for way in ways)
        ways[0].hasten()
        answer = first.result()
        assert isinstance(answer, Told)
        assert answer.changes == ()
        assert second.running
        second.cancel()

    def test_who_waits_when_the_instance_ends_is_told_so(self, hand: Hand) -> None:
        answer = waiting(hand)
        hand.feed.close()
        with pytest.raises(Unavailable):
            answer.result()
        settle()
