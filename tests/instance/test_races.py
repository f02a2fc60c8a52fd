"""The races of rules 1 to 8, 10 and 14, each driven step by step through the store's gates.

The test is the watch (`deliver`), the clock (`advance`) and the network (`hold`): nothing happens by waiting.
"""

from __future__ import annotations

import pytest

from consistency.core.decisions import Ahead, NotMember, Proof, Unproven
from consistency.core.events import Left, TimeWentBackwards
from consistency.core.model import Reading, Source, VersionRecord, WrongTimeline
from consistency.core.store import Unavailable
from consistency.instance.read_batches import LANES
from tests.instance.hand import BOUND, Hand, await_readers, found, remove, write
from tests.support.driver import run
from tests.support.fake_store import FakeStore
from tests.support.gates import At


@pytest.fixture
def store() -> FakeStore:
    """With a genesis and one document, written before anybody looked."""
    store = FakeStore()
    found(store)
    write(store, "k", b"1")
    return store


@pytest.fixture
def hand(store: FakeStore) -> Hand:
    return Hand(store)


def summary(reading: Reading) -> tuple[bytes | None, Source]:
    return reading.value, reading.source


def write_here(store: FakeStore, hand: Hand, *, known: bool = True) -> None:
    """k=2 is committed by this instance, and the event has not come. known: the answer to it has."""
    ticket = hand.state.ticket()
    commit = write(store, "k", b"2")
    if known:
        hand.state.wrote(("k",), commit.header, ticket)
    else:
        hand.state.may_have_written(("k",))


class TestProofs:
    """Rule 4."""

    def test_the_window_is_measured_from_the_send(self, store: FakeStore, hand: Hand) -> None:
        """1. the proof is executed at the store; 2. its answer takes as long as the bound; 3. it is worth nothing."""
        hand.get("k")
        hand.clock.advance(BOUND)
        gate = store.hold("read")
        proving = hand.get_meanwhile("other")
        gate.wait_until_held()
        hand.clock.advance(BOUND)
        gate.release()
        proving.result()
        assert not hand.serves("k")

    def test_a_read_never_joins_a_batch_in_flight(self, store: FakeStore, hand: Hand) -> None:
        """1. R1's batch is executed; 2. a write commits; 3. R2 arrives and must see it, so R1's answer won't do."""
        gate = store.hold("read")
        first = hand.get_meanwhile("k", use_cache=False)
        gate.wait_until_held()
        write(store, "k", b"2")
        second = hand.get_meanwhile("k", use_cache=False)
        assert second.result().value == b"2"
        gate.release()
        assert first.result().value == b"1"

    def test_no_hit_before_the_watch_has_applied_what_the_proof_saw(self, store: FakeStore, hand: Hand) -> None:
        """1. k is cached; 2. a write of k commits, its event is on the way; 3. a proof sees the version: no window."""
        hand.get("k")
        hand.clock.advance(BOUND)
        write(store, "k", b"2")
        assert hand.prove() == Ahead()
        assert not hand.serves("k")
        hand.deliver()
        assert isinstance(hand.prove(), Proof)
        assert summary(hand.get("k")) == (b"2", Source.MISS)

    def test_a_read_that_waits_for_the_watch_proves_once_it_has_caught_up(self, store: FakeStore, hand: Hand) -> None:
        """1. a load sees a version that is not applied yet; 2. the event comes while it waits; 3. it fills."""
        hand.state.watching(True)
        write(store, "k", b"2")
        gate = store.hold("read")
        reading = hand.get_meanwhile("k")
        gate.wait_until_held()
        hand.deliver()
        gate.release()
        assert summary(reading.result()) == (b"2", Source.MISS)
        assert hand.serves("k")

    def test_an_expired_proof_is_renewed_without_moving_the_value(self, store: FakeStore, hand: Hand) -> None:
        hand.get("k")
        hand.clock.advance(BOUND)
        asked = store.wants_asked
        assert summary(hand.get("k")) == (b"1", Source.REVALIDATED)
        assert store.wants_asked == asked

    def test_a_lost_slot_ends_the_hits_with_the_next_proof(self, store: FakeStore, hand: Hand) -> None:
        """Rule 9: the member key is read in the same transaction."""
        hand.get("k")
        store.vanish(hand.state.lease)
        assert hand.prove() == NotMember(holder=0)
        assert not hand.serves("k")
        assert Left(0, "expired") in hand.happened
        assert summary(hand.get("k")) == (b"1", Source.BYPASS)

    def test_a_member_event_on_our_slot_ends_the_hits_at_once(self, store: FakeStore, hand: Hand) -> None:
        """Rule 9: the watch need not wait for the proof."""
        hand.get("k")
        store.vanish(hand.state.lease)
        write(store, "other", b"1")
        hand.deliver()  # the member event comes first
        assert not hand.serves("k")

    def test_an_unreachable_store_ends_the_hits_after_the_bound(self, store: FakeStore, hand: Hand) -> None:
        hand.get("k")
        store.reachable = False
        hand.clock.advance(BOUND * 0.99)
        assert hand.get("k").source is Source.HIT
        hand.clock.advance(BOUND * 0.01)
        with pytest.raises(Unavailable):
            hand.get("k")


class TestFills:
    """Rule 5."""

    def test_an_event_during_the_flight_overtakes_the_load(self, store: FakeStore, hand: Hand) -> None:
        """1. the load reads k=1; 2. a write of k commits and its event is applied; 3. the answer comes: not cached."""
        gate = store.hold("read")
        reading = hand.get_meanwhile("k")
        gate.wait_until_held()
        write(store, "k", b"2")
        hand.deliver()
        gate.release()
        assert reading.result().value == b"1", "current when it was read, which was after the request"
        assert not hand.serves("k")
        assert hand.get("k").value == b"2"

    def test_an_event_of_another_key_does_not(self, store: FakeStore, hand: Hand) -> None:
        gate = store.hold("read")
        reading = hand.get_meanwhile("k")
        gate.wait_until_held()
        write(store, "other", b"2")
        hand.deliver()
        gate.release()
        reading.result()
        assert hand.serves("k")

    def test_an_event_before_the_answer_that_has_it_does_not(self, store: FakeStore, hand: Hand) -> None:
        """1. the load is on its way to the store; 2. a write and its event pass it; 3. the answer has the new value."""
        gate = store.hold("read", At.REQUEST)
        reading = hand.get_meanwhile("k")
        gate.wait_until_held()
        write(store, "k", b"2")
        hand.deliver()
        gate.release()
        assert reading.result().value == b"2"
        assert hand.serves("k")

    def test_a_load_displaced_by_a_newer_one_is_overtaken_too(self, store: FakeStore, hand: Hand) -> None:
        """1. L1 reads k=1; 2. k=2 is written and applied; 3. L2 reads and fills k=2; 4. L1's answer comes last."""
        gate = store.hold("read")
        first = hand.get_meanwhile("k")
        gate.wait_until_held()
        write(store, "k", b"2")
        hand.deliver()
        assert hand.get("k").value == b"2"
        gate.release()
        first.result()
        assert summary(hand.get("k")) == (b"2", Source.HIT)

    @pytest.mark.parametrize("known", [True, False], ids=["committed", "unknown"])
    def test_a_load_from_before_a_write_made_here_is_not_kept(self, store: FakeStore, hand: Hand, known: bool) -> None:
        """1. the load reads k=1; 2. k=2 is written here, and is over; 3. the load's answer comes before the event."""
        gate = store.hold("read")
        reading = hand.get_meanwhile("k")
        gate.wait_until_held()
        write_here(store, hand, known=known)
        gate.release()
        assert reading.result().value == b"1", "current when it was read, which was after the request"
        assert not hand.serves("k")
        assert hand.get("k").value == b"2"

    def test_a_load_that_has_the_write_made_here_is_kept(self, store: FakeStore, hand: Hand) -> None:
        """1. the load is on its way to the store; 2. k=2 is written here, and is over; 3. the answer has it."""
        gate = store.hold("read", At.REQUEST)
        reading = hand.get_meanwhile("k")
        gate.wait_until_held()
        write_here(store, hand)
        hand.deliver()
        gate.release()
        assert reading.result().value == b"2"
        assert hand.serves("k")

    def test_a_load_of_another_key_is_kept_beside_a_write_made_here(self, store: FakeStore, hand: Hand) -> None:
        gate = store.hold("read")
        reading = hand.get_meanwhile("other")
        gate.wait_until_held()
        write_here(store, hand)
        gate.release()
        reading.result()
        assert hand.serves("other")

    def test_a_key_with_a_lease_is_never_cached(self, store: FakeStore, hand: Hand) -> None:
        lease = run(store.grant(10, timeout=1))
        store.put_outside("leased", b"1", lease.id)
        assert hand.get("leased").value == b"1"
        assert not hand.serves("leased")

    def test_absence_is_cached_and_ends_with_the_write(self, store: FakeStore, hand: Hand) -> None:
        assert summary(hand.get("none")) == (None, Source.MISS)
        assert summary(hand.get("none")) == (None, Source.HIT)
        write(store, "none", b"0")
        hand.deliver()
        assert summary(hand.get("none")) == (b"0", Source.MISS)

    def test_a_delete_leaves_a_tombstone(self, store: FakeStore, hand: Hand) -> None:
        hand.get("k")
        remove(store, "k")
        hand.deliver()
        assert summary(hand.get("k")) == (None, Source.MISS)
        assert summary(hand.get("k")) == (None, Source.HIT)

    def test_a_write_costs_one_load_of_its_key_and_none_of_others(self, store: FakeStore, hand: Hand) -> None:
        """Rule 2: precise invalidation."""
        hand.get("k")
        hand.get("other")
        write(store, "k", b"2")
        hand.deliver()
        assert summary(hand.get("other")) == (None, Source.HIT)
        assert summary(hand.get("k")) == (b"2", Source.MISS)
        assert hand.invalidations("version") == 1

    def test_a_version_without_names_invalidates_everything_lazily(self, store: FakeStore, hand: Hand) -> None:
        hand.get("k")
        store.put_version(VersionRecord("x", None, "audit"))
        hand.deliver()
        assert not hand.serves("k")
        moved = store.values_moved
        assert summary(hand.get("k")) == (b"1", Source.REVALIDATED)
        assert store.values_moved == moved


class TestGaps:
    """Rule 6."""

    @pytest.mark.fault("stream lost, history provably ours")
    def test_a_missed_event_is_noticed_and_nothing_is_flushed(self, store: FakeStore, hand: Hand) -> None:
        """1. an event is lost; 2. the next one does not follow; 3. a survey: ours; 4. entries are validated lazily."""
        hand.get("k")
        hand.get("other")
        write(store, "k", b"2")
        write(store, "third", b"1")
        hand.lose()
        assert hand.deliver() == [False]
        hand.connect(gap=True)
        assert hand.invalidations("gap") == 2
        moved = store.values_moved
        assert summary(hand.get("other")) == (None, Source.MISS)
        assert summary(hand.get("k")) == (b"2", Source.MISS)
        assert store.values_moved == moved + 1
        assert summary(hand.get("k")) == (b"2", Source.HIT)

    def test_an_unchanged_entry_is_validated_without_moving_its_value(self, store: FakeStore, hand: Hand) -> None:
        hand.get("k")
        write(store, "third", b"1")
        hand.connect(gap=True)
        moved = store.values_moved
        assert summary(hand.get("k")) == (b"1", Source.REVALIDATED)
        assert store.values_moved == moved

    def test_a_validation_whose_batch_is_no_proof_is_not_believed(self, store: FakeStore, hand: Hand) -> None:
        """1. k is stale after a gap; 2. the validation says "unchanged" while the watch lags: the value is loaded."""
        hand.get("k")
        hand.connect(gap=True)
        write(store, "third", b"1")  # the batch sees a version that is not applied
        moved = store.values_moved
        assert summary(hand.get("k")) == (b"1", Source.MISS)
        assert store.values_moved == moved + 1

    def test_a_load_in_flight_at_a_gap_fills_nothing(self, store: FakeStore, hand: Hand) -> None:
        gate = store.hold("read")
        reading = hand.get_meanwhile("k")
        gate.wait_until_held()
        hand.connect(gap=True)
        gate.release()
        assert reading.result().value == b"1"
        assert not hand.serves("k")

    @pytest.mark.fault("compaction past our horizon while cut off")
    def test_entries_go_when_the_horizon_is_compacted(self, store: FakeStore, hand: Hand) -> None:
        hand.get("k")
        write(store, "third", b"1")
        store.compact(store.revision)
        hand.connect(gap=True)
        assert hand.invalidations("history") == 1
        assert summary(hand.get("k")) == (b"1", Source.MISS)

    def test_a_deleted_version_key_is_a_gap(self, store: FakeStore, hand: Hand) -> None:
        hand.get("k")
        store.delete_version()
        assert hand.deliver() == [False]
        found(store)
        hand.connect(gap=True)
        assert summary(hand.get("k")) == (b"1", Source.REVALIDATED)


class TestReconnects:
    """Rule 7."""

    @pytest.mark.fault("stream lost, history provably ours")
    def test_a_new_stream_delivers_what_the_old_one_missed(self, store: FakeStore, hand: Hand) -> None:
        hand.get("k")
        store.cut_watch()
        write(store, "k", b"2")
        hand.connect()
        assert hand.deliver() == [True]
        assert summary(hand.get("k")) == (b"2", Source.MISS)
        assert hand.invalidations("gap") == 0

    @pytest.mark.fault("stream lost, history provably ours")
    def test_entries_stay_served_across_a_reconnect(self, store: FakeStore, hand: Hand) -> None:
        hand.get("k")
        store.cut_watch()
        hand.connect()
        assert summary(hand.get("k")) == (b"1", Source.HIT)

    def test_a_load_in_flight_at_a_reconnect_fills_nothing(self, store: FakeStore, hand: Hand) -> None:
        """It was read over a connection that may have belonged to another history."""
        gate = store.hold("read")
        reading = hand.get_meanwhile("k")
        gate.wait_until_held()
        hand.connect()
        gate.release()
        reading.result()
        assert not hand.serves("k")

    def test_nothing_is_ever_cached_from_beyond_the_horizon(self, store: FakeStore, hand: Hand) -> None:
        """A load that saw more than the watch has applied is answered, but not kept: nothing to drop at a reconnect."""
        write(store, "k", b"2")
        assert summary(hand.get("k")) == (b"2", Source.MISS)
        assert hand.state.snapshot().entries == 0

    def test_a_survey_asked_for_before_the_state_changed_is_refused(self, store: FakeStore, hand: Hand) -> None:
        """1. the watch surveys; 2. a read finds that time went back; 3. the old survey must not become the base."""
        ticket = hand.state.ticket()
        survey = run(store.survey(ticket.horizon, timeout=1))
        hand.connect()
        assert hand.state.start_from(ticket, survey, gap=False) is None

    def test_events_of_a_stream_from_before_are_refused(self, store: FakeStore, hand: Hand) -> None:
        write(store, "k", b"2")
        old_epoch, old_stream = hand.epoch, hand.stream
        assert old_stream is not None
        event = run(anext(old_stream))
        hand.connect()
        assert not hand.state.apply(event, old_epoch)  # type: ignore[arg-type]


class TestRestores:
    """Rule 8: the cluster was restored from a backup on the same addresses, with the same cluster id."""

    def test_a_lower_revision_drops_everything(self, store: FakeStore, hand: Hand) -> None:
        saved = store.snapshot()
        write(store, "k", b"2")
        hand.deliver()
        hand.get("k")
        store.restore(saved)
        hand.clock.advance(BOUND)
        assert hand.get("k").value == b"1"
        assert any(isinstance(event, TimeWentBackwards) for event in hand.happened)
        assert hand.state.snapshot().entries == 0

    def test_a_history_that_has_outrun_the_old_revisions_is_told_by_its_nonce(
        self, store: FakeStore, hand: Hand
    ) -> None:
        """1. k=2 is cached; 2. restored to k=1; 3. the new history writes past every revision seen before."""
        saved = store.snapshot()
        write(store, "k", b"2")
        hand.deliver()
        assert hand.get("k").value == b"2"
        store.restore(saved)
        for number in range(5):
            write(store, "other", str(number).encode())
        hand.connect()
        assert any(isinstance(event, TimeWentBackwards) for event in hand.happened)
        assert hand.get("k").value == b"1"

    def test_an_equal_mod_revision_of_another_history_is_not_taken_for_unchanged(
        self, store: FakeStore, hand: Hand
    ) -> None:
        """1. k=2 at revision r is cached, then stale; 2. restored; 3. k=3 is written at the same r; 4. validated."""
        saved = store.snapshot()
        write(store, "k", b"2")
        hand.deliver()
        assert hand.get("k").value == b"2"
        store.put_version(VersionRecord("x", None, "audit"))
        hand.deliver()
        store.restore(saved)
        write(store, "k", b"3")
        write(store, "other", b"1")
        write(store, "other", b"2")
        assert hand.get("k").value == b"3"

    def test_an_entry_that_waits_for_a_lane_is_not_validated_in_another_history(
        self, store: FakeStore, hand: Hand
    ) -> None:
        """1. k=2 of revision r is stale, and a reader that would validate it waits for a lane; 2. etcd is restored to
        k=1, the survey finds that, all is forgotten, and the slot is ours again; 3. the batch is sent: k was not
        written after r, and the answer is a proof. Found by seed 595283749 of the simulation.
        """
        saved = store.snapshot()
        write(store, "k", b"2")
        hand.deliver()
        assert hand.get("k").value == b"2"
        store.put_version(VersionRecord("x", None, "audit"))
        hand.deliver()
        gates = [store.hold("read") for _ in range(LANES)]
        for gate in gates:
            hand.get_meanwhile("other", linearizable=True)
            gate.wait_until_held()
        reader = hand.get_meanwhile("k", linearizable=True)
        await_readers(hand, 1)
        store.restore(saved)
        for number in range(5):
            write(store, "other", str(number).encode())
        hand.connect()
        hand.join(1)
        for gate in gates:
            gate.release()
        assert summary(reader.result()) == (b"1", Source.MISS)
        assert hand.get("k").value == b"1"

    def test_a_write_answered_at_a_lower_revision_is_contact_enough(self, store: FakeStore, hand: Hand) -> None:
        """A synchronous write must not count acknowledgements of a history in which revisions were higher."""
        saved = store.snapshot()
        write(store, "k", b"2")
        write(store, "k", b"3")
        hand.deliver(2)
        hand.get("k")
        store.restore(saved)
        ticket = hand.state.ticket()
        hand.state.wrote(["k"], write(store, "k", b"9").header, ticket)
        assert any(isinstance(event, TimeWentBackwards) for event in hand.happened)
        assert hand.state.snapshot().entries == 0

    def test_a_token_from_a_lost_history_is_refused_at_once(self, store: FakeStore, hand: Hand) -> None:
        """Rule 10: 410, not an answer older than what the client saw."""
        saved = store.snapshot()
        token = write(store, "k", b"2").header.revision
        store.restore(saved)
        with pytest.raises(WrongTimeline):
            hand.get("k", min_revision=token)
        with pytest.raises(WrongTimeline):
            hand.get("k", use_cache=False, min_revision=token)


class TestSessions:
    """Rule 10."""

    def test_a_session_reads_its_own_write_on_an_instance_that_lags(self, store: FakeStore, hand: Hand) -> None:
        hand.get("k")
        token = write(store, "k", b"2").header.revision
        assert hand.get("k").value == b"1", "within the bound, for those who carry no session"
        reading = hand.get("k", min_revision=token)
        assert reading.value == b"2"
        assert reading.revision >= token

    def test_a_session_that_has_seen_only_other_keys_is_served_from_memory(self, store: FakeStore, hand: Hand) -> None:
        hand.get("k")
        token = write(store, "other", b"2").header.revision
        hand.deliver()
        assert summary(hand.get("k", min_revision=token)) == (b"1", Source.HIT)

    def test_a_session_waits_briefly_for_the_watch(self, store: FakeStore, hand: Hand) -> None:
        hand.get("k")
        hand.state.watching(True)
        token = write(store, "other", b"2").header.revision
        reading = hand.get_meanwhile("k", min_revision=token)
        hand.deliver()
        assert summary(reading.result())[0] == b"1"

    def test_a_session_never_follows_a_load_in_flight(self, store: FakeStore, hand: Hand) -> None:
        """1. L reads k=1; 2. the client writes k=2; 3. its read must not share L, whatever the watch knows."""
        gate = store.hold("read")
        first = hand.get_meanwhile("k")
        gate.wait_until_held()
        token = write(store, "k", b"2").header.revision
        assert hand.get("k", min_revision=token).value == b"2"
        gate.release()
        first.result()


class TestLinearizable:
    """Rule 11."""

    def test_it_sees_a_write_that_the_watch_has_not_brought(self, store: FakeStore, hand: Hand) -> None:
        hand.get("k")
        write(store, "k", b"2")
        assert hand.get("k").value == b"1", "within the bound"
        assert hand.get("k", linearizable=True).value == b"2"

    def test_it_moves_no_value_when_nothing_has_changed(self, store: FakeStore, hand: Hand) -> None:
        hand.get("k")
        asked, reads = store.wants_asked, store.calls["read"]
        assert summary(hand.get("k", linearizable=True)) == (b"1", Source.REVALIDATED)
        assert (store.wants_asked, store.calls["read"]) == (asked, reads + 1)

    def test_it_never_shares_a_load_in_flight(self, store: FakeStore, hand: Hand) -> None:
        """1. L reads k=1; 2. k=2 is acknowledged; 3. a linearizable read must see it."""
        gate = store.hold("read")
        first = hand.get_meanwhile("k")
        gate.wait_until_held()
        write(store, "k", b"2")
        assert hand.get("k", linearizable=True).value == b"2"
        gate.release()
        first.result()

    def test_many_share_one_transaction(self, store: FakeStore, hand: Hand) -> None:
        """All lanes are taken; those who come meanwhile travel together."""
        hand.get("k")
        gates = [store.hold("read") for _ in range(LANES)]
        early = []
        for gate in gates:
            early.append(hand.get_meanwhile("k", linearizable=True))
            gate.wait_until_held()
        late = [hand.get_meanwhile("k", linearizable=True) for _ in range(8)]
        await_readers(hand, 8)
        reads = store.calls["read"]
        for gate in gates:
            gate.release()
        assert {reading.result().source for reading in early + late} == {Source.REVALIDATED}
        assert store.calls["read"] == reads + 1

    def test_a_proof_that_fails_makes_it_load(self, store: FakeStore, hand: Hand) -> None:
        """The store is ahead of the watch, by another key: the proof must not be taken for granted."""
        hand.get("k")
        write(store, "k", b"2")
        write(store, "other", b"1")
        assert summary(hand.get("k", linearizable=True)) == (b"2", Source.MISS)


class TestStaleIfError:
    """What an unreachable etcd may cost is the client's choice."""

    def test_the_last_proven_is_served_as_far_as_the_client_goes(self, store: FakeStore, hand: Hand) -> None:
        hand.get("k")
        store.reachable = False
        hand.clock.advance(BOUND + 5)
        with pytest.raises(Unavailable):
            hand.get("k")
        with pytest.raises(Unavailable):
            hand.get("k", stale_if_error=4.0)
        reading = hand.get("k", stale_if_error=6.0)
        assert summary(reading) == (b"1", Source.STALE)
        assert reading.age == pytest.approx(BOUND + 5)

    def test_what_is_known_to_have_changed_is_not_served(self, store: FakeStore, hand: Hand) -> None:
        hand.get("k")
        write(store, "k", b"2")
        hand.deliver()
        store.reachable = False
        with pytest.raises(Unavailable):
            hand.get("k", stale_if_error=1000.0)

    def test_a_session_is_never_taken_back(self, store: FakeStore, hand: Hand) -> None:
        """Rule 10."""
        hand.get("k")
        token = write(store, "other", b"2").header.revision
        store.reachable = False
        with pytest.raises(Unavailable):
            hand.get("k", stale_if_error=1000.0, min_revision=token)

    def test_an_uncached_read_is_never_answered_from_memory(self, store: FakeStore, hand: Hand) -> None:
        hand.get("k")
        store.reachable = False
        with pytest.raises(Unavailable):
            hand.get("k", use_cache=False, stale_if_error=1000.0)


class TestHerds:
    """Rule 14."""

    def test_many_readers_of_a_cold_key_cost_one_load(self, store: FakeStore, hand: Hand) -> None:
        gate = store.hold("read")
        first = hand.get_meanwhile("k")
        gate.wait_until_held()
        others = [hand.get_meanwhile("k") for _ in range(10)]
        gate.release()
        assert {reading.result().value for reading in (first, *others)} == {b"1"}
        assert store.wants_asked == 1

    def test_a_load_sent_longer_ago_than_the_bound_is_not_followed(self, store: FakeStore, hand: Hand) -> None:
        gate = store.hold("read")
        first = hand.get_meanwhile("k")
        gate.wait_until_held()
        hand.clock.advance(BOUND)
        hand.prove()  # one of now is no reason
        assert hand.get("k").value == b"1"
        assert store.wants_asked == 2
        gate.release()
        first.result()

    def test_an_overtaken_load_is_not_followed(self, store: FakeStore, hand: Hand) -> None:
        """1. L reads k=1; 2. k=2 is written and applied; 3. a reader who comes now must not be given L's answer."""
        gate = store.hold("read")
        first = hand.get_meanwhile("k")
        gate.wait_until_held()
        write(store, "k", b"2")
        hand.deliver()
        assert hand.get("k").value == b"2"
        gate.release()
        first.result()

    @pytest.mark.parametrize("known", [True, False], ids=["committed", "unknown"])
    def test_a_load_from_before_a_write_made_here_is_not_followed(
        self, store: FakeStore, hand: Hand, known: bool
    ) -> None:
        """1. L reads k=1; 2. k=2 is written here, and is over; 3. a reader who comes now is not given L's answer."""
        gate = store.hold("read")
        first = hand.get_meanwhile("k")
        gate.wait_until_held()
        write_here(store, hand, known=known)
        second = hand.get_meanwhile("k")
        gate.release()
        first.result()
        assert second.result().value == b"2"

    def test_an_uncached_read_follows_nobody(self, store: FakeStore, hand: Hand) -> None:
        gate = store.hold("read")
        first = hand.get_meanwhile("k")
        gate.wait_until_held()
        assert hand.get("k", use_cache=False).value == b"1"
        assert store.wants_asked == 2
        gate.release()
        first.result()

    def test_a_follower_of_a_failed_load_is_told_so(self, store: FakeStore, hand: Hand) -> None:
        gate = store.hold("read")
        first = hand.get_meanwhile("k")
        gate.wait_until_held()
        second = hand.get_meanwhile("k")
        gate.fail(Unavailable("cut"))
        with pytest.raises(Unavailable):
            first.result()
        with pytest.raises(Unavailable):
            second.result()


class TestAnswersOfNobody:
    """What is not proven is answered truly, and leaves no trace."""

    def test_an_instance_without_a_slot_reads_the_store_each_time(self, store: FakeStore) -> None:
        """Rule 9."""
        hand = Hand(store, slot=None)
        assert summary(hand.get("k")) == (b"1", Source.BYPASS)
        assert hand.prove() == Unproven()
        assert hand.state.snapshot().entries == 0

    def test_an_instance_whose_watch_was_never_up_caches_nothing(self, store: FakeStore) -> None:
        hand = Hand(store, watching=False)
        assert summary(hand.get("k")) == (b"1", Source.MISS)
        assert hand.prove() == Unproven()
        assert hand.state.snapshot().entries == 0
