"""Rules 2 to 8, 10 and 13 as decisions over values: no store, no clock, no threads."""

from __future__ import annotations

import pytest

from consistency.core.decisions import (
    Ahead,
    AwaitHorizon,
    Backwards,
    Bypass,
    Confirm,
    Elsewhere,
    Load,
    NotMember,
    Proof,
    SameHistory,
    Serve,
    Unprovable,
    Unproven,
    Validate,
)
from consistency.core.freshness import Freshness
from consistency.core.known import Entry
from consistency.core.model import NO_VERSION, VersionEvent, VersionState
from consistency.core.store import Header, ReadAnswer, Survey

CLUSTER = 7
LEASE = 99
B = 1.0
V10 = VersionState(revision=10, created=2, count=5, nonce="n10")
V11 = VersionState(revision=11, created=2, count=6, nonce="n11")
V12 = VersionState(revision=12, created=2, count=7, nonce="n12")
V12_AFTER_10 = VersionState(revision=12, created=2, count=6, nonce="n12")


def survey(
    version: VersionState = V10, at: int = 10, then: VersionState | None = None, cluster: int = CLUSTER
) -> Survey:
    return Survey(Header(cluster, at), version, then, ())


def answer(version: VersionState = V10, at: int = 10, member: int = LEASE, cluster: int = CLUSTER) -> ReadAnswer:
    return ReadAnswer(Header(cluster, at), version, member, ())


def event(state: VersionState, *names: str, all_keys: bool = False) -> VersionEvent:
    return VersionEvent(state, None if all_keys else frozenset(names))


def entry(at: int, *, stale: bool = False, loaded_at: float = 0.0) -> Entry:
    return Entry(b"1", mod_revision=3, validated_at=at, loaded_at=loaded_at, stale=stale)


@pytest.fixture
def fresh() -> Freshness:
    """A member that has applied everything up to revision 10, and has not proven anything yet."""
    fresh = Freshness(bound=B, max_age=300.0)
    fresh.rebase(survey())
    fresh.join(0, LEASE)
    return fresh


@pytest.fixture
def proven(fresh: Freshness) -> Freshness:
    """The same, with a proof sent at second 0."""
    prove(fresh, now=0.0)
    return fresh


def prove(fresh: Freshness, now: float, version: VersionState = V10, at: int = 10) -> None:
    ticket = fresh.ticket(now)
    verdict = fresh.judge(ticket, answer(version, at))
    assert isinstance(verdict, Proof)
    fresh.accept(ticket, verdict)


class TestApply:
    """Rule 2."""

    def test_the_next_event_moves_the_horizon(self, fresh: Freshness) -> None:
        assert fresh.apply(event(V11, "a"))
        assert (fresh.horizon, fresh.history.applied) == (11, V11)

    @pytest.mark.parametrize(
        "state",
        [
            pytest.param(V12, id="one was missed"),
            pytest.param(VersionState(11, 11, 1, "x"), id="the key was recreated"),
            pytest.param(VersionState(11, 11, 6, "x"), id="recreated with a matching count"),
            pytest.param(VersionState(11, 0, 0, ""), id="the key was deleted"),
            pytest.param(V10, id="the same again"),
            pytest.param(VersionState(9, 2, 6, "x"), id="a revision already applied"),
        ],
    )
    def test_any_other_event_is_refused_and_changes_nothing(self, fresh: Freshness, state: VersionState) -> None:
        before = (fresh.horizon, fresh.floor, fresh.history.applied)
        assert not fresh.apply(event(state, "a"))
        assert (fresh.horizon, fresh.floor, fresh.history.applied) == before

    def test_an_event_below_a_horizon_that_a_proof_has_raised_is_refused(self, proven: Freshness) -> None:
        prove(proven, now=0.1, at=15)  # nothing happened up to revision 15, so this event is another history's
        assert not proven.apply(event(VersionState(12, 2, 6, "x"), "a"))

    def test_an_event_that_names_nothing_raises_the_floor(self, fresh: Freshness) -> None:
        assert fresh.apply(event(V11, all_keys=True))
        assert fresh.floor == 11


class TestHit:
    """Rule 3, with rule 10's and rule 13's clauses."""

    def test_a_proven_entry_is_served_until_the_window_closes(self, proven: Freshness) -> None:
        assert proven.decide(entry(10), now=0.999) == Serve(entry(10), revision=10, age=0.999)
        assert isinstance(proven.decide(entry(10), now=1.0), Confirm)

    def test_a_stale_entry_is_validated(self, proven: Freshness) -> None:
        assert proven.decide(entry(10, stale=True), now=0.5) == Validate(entry(10, stale=True), proven.epoch)

    def test_an_entry_validated_before_the_floor_is_not_served(self, proven: Freshness) -> None:
        assert isinstance(proven.decide(entry(9), now=0.5), Validate)

    def test_a_key_without_entry_is_loaded(self, proven: Freshness) -> None:
        assert isinstance(proven.decide(None, now=0.5), Load)

    def test_an_entry_past_its_age_is_loaded_whole(self, proven: Freshness) -> None:
        old = entry(10, loaded_at=-300.0)
        assert isinstance(proven.decide(old, now=0.5), Load)

    def test_a_session_ahead_of_the_horizon_waits(self, proven: Freshness) -> None:
        assert isinstance(proven.decide(entry(10), now=0.5, min_revision=11), AwaitHorizon)
        assert isinstance(proven.decide(entry(10), now=0.5, min_revision=10), Serve)

    def test_an_instance_without_a_slot_serves_nothing_from_memory(self, proven: Freshness) -> None:
        proven.leave()
        assert isinstance(proven.decide(entry(10), now=0.5), Bypass)

    def test_a_new_member_serves_nothing_before_a_proof_of_its_own(self, proven: Freshness) -> None:
        proven.leave()
        proven.join(1, LEASE + 1)
        assert isinstance(proven.decide(entry(11), now=0.5), Confirm)

    def test_what_a_member_held_is_validated_after_it_has_joined_again(self, proven: Freshness) -> None:
        """Nobody need have audited meanwhile."""
        proven.leave()
        proven.join(1, LEASE + 1)
        assert isinstance(proven.decide(entry(10), now=0.5), Validate)


class TestProof:
    """Rule 4."""

    def test_the_window_runs_from_the_send_not_from_the_answer(self, fresh: Freshness) -> None:
        ticket = fresh.ticket(now=5.0)
        verdict = fresh.judge(ticket, answer())  # whenever that is
        assert verdict == Proof(fresh_until=5.0 + B, horizon=10)

    def test_a_proof_raises_the_horizon_to_the_header_if_nothing_happened_up_to_it(self, fresh: Freshness) -> None:
        prove(fresh, now=0.0, at=40)
        assert fresh.horizon == 40

    def test_an_answer_older_than_the_watch_is_a_proof_that_leaves_the_horizon(self, fresh: Freshness) -> None:
        ticket = fresh.ticket(now=0.0)
        fresh.apply(event(V12_AFTER_10, "a"))
        assert fresh.judge(ticket, answer(V10, at=11)) == Proof(fresh_until=B, horizon=12)

    def test_an_older_proof_does_not_shorten_the_window(self, fresh: Freshness) -> None:
        early = fresh.ticket(now=0.0)
        prove(fresh, now=3.0)
        late = fresh.judge(early, answer())
        assert isinstance(late, Proof)
        fresh.accept(early, late)
        assert fresh.fresh_until == 4.0
        assert fresh.proved_at == 3.0

    def test_a_version_not_applied_yet_is_no_proof_until_it_is(self, fresh: Freshness) -> None:
        ticket = fresh.ticket(now=0.0)
        assert fresh.judge(ticket, answer(V11, at=11)) == Ahead()
        fresh.apply(event(V11, "a"))
        assert isinstance(fresh.judge(ticket, answer(V11, at=11)), Proof)

    def test_a_slot_that_is_not_ours_is_no_proof(self, fresh: Freshness) -> None:
        ticket = fresh.ticket(now=0.0)
        assert fresh.judge(ticket, answer(member=0)) == NotMember(holder=0)
        assert fresh.judge(ticket, answer(member=LEASE + 1)) == NotMember(holder=LEASE + 1)

    def test_an_answer_asked_for_under_another_membership_is_no_proof(self, fresh: Freshness) -> None:
        ticket = fresh.ticket(now=0.0)
        fresh.leave()
        fresh.join(3, LEASE + 1)
        assert fresh.judge(ticket, answer(member=LEASE)) == Unproven()

    def test_an_answer_asked_for_without_a_slot_is_no_proof(self) -> None:
        fresh = Freshness(bound=B, max_age=300.0)
        fresh.rebase(survey())
        assert fresh.judge(fresh.ticket(now=0.0), answer(member=0)) == Unproven()

    def test_nothing_is_proven_before_the_first_survey(self) -> None:
        fresh = Freshness(bound=B, max_age=300.0)
        fresh.join(0, LEASE)
        assert fresh.judge(fresh.ticket(now=0.0), answer(NO_VERSION)) == Unproven()


class TestFill:
    """Rule 5."""

    def test_an_event_after_the_header_overtakes_the_load(self, fresh: Freshness) -> None:
        ticket = fresh.ticket(now=0.0)
        fresh.apply(event(V11, "a"))
        assert not fresh.fills("a", ticket, answer(V10, at=10))
        assert fresh.fills("b", ticket, answer(V10, at=10))

    def test_an_event_up_to_the_header_does_not(self, fresh: Freshness) -> None:
        ticket = fresh.ticket(now=0.0)
        fresh.apply(event(V11, "a"))
        assert fresh.fills("a", ticket, answer(V11, at=11))

    def test_an_event_that_names_nothing_overtakes_every_load(self, fresh: Freshness) -> None:
        ticket = fresh.ticket(now=0.0)
        fresh.apply(event(V11, all_keys=True))
        assert not fresh.fills("b", ticket, answer(V10, at=10))

    def test_a_load_of_an_earlier_epoch_fills_nothing(self, fresh: Freshness) -> None:
        ticket = fresh.ticket(now=0.0)
        fresh.resume()
        assert not fresh.fills("b", ticket, answer(V10, at=10))


class TestLineage:
    """Rules 6 and 7."""

    def test_our_version_at_our_horizon_proves_the_history(self, fresh: Freshness) -> None:
        assert fresh.compare(fresh.ticket(0.0), survey(V12, at=12, then=V10)) == SameHistory()

    def test_a_compacted_horizon_proves_nothing(self, fresh: Freshness) -> None:
        assert fresh.compare(fresh.ticket(0.0), survey(V12, at=12, then=None)) == Unprovable()

    def test_another_nonce_at_our_horizon_is_another_history(self, fresh: Freshness) -> None:
        impostor = VersionState(V10.revision, V10.created, V10.count, "another")
        assert isinstance(fresh.compare(fresh.ticket(0.0), survey(V12, at=12, then=impostor)), Elsewhere)

    def test_the_first_survey_has_nothing_to_be_compared_with(self) -> None:
        fresh = Freshness(bound=B, max_age=300.0)
        assert fresh.compare(fresh.ticket(0.0), survey(then=NO_VERSION)) == Unprovable()

    def test_after_a_gap_everything_older_is_below_the_floor(self, proven: Freshness) -> None:
        proven.rebase(survey(V12, at=20))
        assert isinstance(proven.decide(entry(12), now=0.5), Validate)
        assert (proven.horizon, proven.floor) == (20, 20)

    def test_answers_asked_for_before_a_new_stream_prove_nothing(self, fresh: Freshness) -> None:
        before = fresh.ticket(now=0.0)
        fresh.resume()
        assert fresh.judge(before, answer()) == Unproven()

    def test_a_new_stream_does_not_close_the_window(self, proven: Freshness) -> None:
        proven.resume()
        assert isinstance(proven.decide(entry(10), now=0.5), Serve)


class TestBackwards:
    """Rule 8."""

    def test_a_header_below_one_seen_before_asking(self, fresh: Freshness) -> None:
        fresh.note(fresh.ticket(0.0), Header(CLUSTER, 30))
        assert isinstance(fresh.judge(fresh.ticket(0.0), answer(at=29)), Backwards)

    def test_a_header_below_one_seen_only_after_asking_is_merely_late(self, fresh: Freshness) -> None:
        ticket = fresh.ticket(0.0)
        fresh.note(fresh.ticket(0.0), Header(CLUSTER, 30))
        assert isinstance(fresh.judge(ticket, answer(at=29)), Proof)

    def test_another_cluster(self, fresh: Freshness) -> None:
        assert isinstance(fresh.judge(fresh.ticket(0.0), answer(cluster=CLUSTER + 1)), Backwards)
        assert isinstance(fresh.compare(fresh.ticket(0.0), survey(then=V10, cluster=CLUSTER + 1)), Elsewhere)

    def test_our_revision_with_another_nonce(self, fresh: Freshness) -> None:
        impostor = VersionState(V10.revision, V10.created, V10.count, "another")
        assert isinstance(fresh.judge(fresh.ticket(0.0), answer(impostor)), Backwards)

    def test_an_older_version_under_a_header_that_must_show_ours(self, fresh: Freshness) -> None:
        ticket = fresh.ticket(0.0)
        fresh.apply(event(V11, "a"))
        assert isinstance(fresh.judge(ticket, answer(V10, at=11)), Backwards)

    def test_an_older_version_under_an_older_header_is_merely_late(self, fresh: Freshness) -> None:
        ticket = fresh.ticket(0.0)
        fresh.apply(event(V11, "a"))
        assert isinstance(fresh.judge(ticket, answer(V10, at=10)), Proof)

    def test_a_revision_that_our_history_does_not_have(self, fresh: Freshness) -> None:
        ticket = fresh.ticket(0.0)
        fresh.apply(event(V12_AFTER_10, "a"))
        stranger = VersionState(11, 2, 6, "x")
        assert isinstance(fresh.judge(ticket, answer(stranger, at=11)), Backwards)

    def test_a_version_older_than_the_memory_proves_nothing(self, fresh: Freshness) -> None:
        ticket = fresh.ticket(0.0)
        fresh.apply(event(V11, "a"))
        assert fresh.judge(ticket, answer(VersionState(9, 2, 4, "n9"), at=9)) == Backwards(
            "revision 9 answered, 10 had been seen before asking"
        )
        early = Freshness(bound=B, max_age=300.0)
        early.join(0, LEASE)
        asked = early.ticket(0.0)
        asked_in_epoch = asked.__class__(asked.sent_at, 1, 0, 0, asked.slot, asked.lease)
        early.rebase(survey())
        assert early.judge(asked_in_epoch, answer(VersionState(9, 2, 4, "n9"), at=9)) == Unproven()

    def test_turning_back_forgets_revisions_and_cluster_but_not_the_epoch(self, proven: Freshness) -> None:
        before = proven.ticket(0.0)
        proven.turn_back()
        assert (proven.seen, proven.cluster, proven.horizon, proven.fresh_until) == (0, 0, 0, 0.0)
        assert proven.judge(before, answer()) == Unproven()
