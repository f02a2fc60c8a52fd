"""The contract of `consistency.core.store.Store`, kept by the fake and by the store over a real etcd alike.

Whatever the protocol's tests prove over the fake rests on these tests.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from consistency.core.model import (
    NO_VERSION,
    AckEvent,
    Departure,
    DepartureEvent,
    Document,
    Look,
    Member,
    MemberEvent,
    MustBeAbsent,
    MustBeAt,
    MustExist,
    VersionEvent,
    VersionRecord,
    VersionState,
    WaitingEvent,
    new_nonce,
)
from consistency.core.store import (
    Change,
    Compacted,
    Delete,
    Found,
    Listed,
    NotReached,
    Put,
    Rejected,
    TooLarge,
    Unavailable,
    Want,
    WatchEvent,
    WatchStream,
)
from tests.etcd.conftest import TIMEOUT, Subject, version
from tests.support.driver import Meanwhile, each, run

pytestmark = pytest.mark.secured


def read_one(subject: Subject, key: str, newer_than: int = 0) -> Found:
    return run(subject.store.read([Want(key, newer_than)], None, timeout=TIMEOUT)).found[0]


def revision_now(subject: Subject) -> int:
    return run(subject.store.read([], None, timeout=TIMEOUT)).header.revision


def take(subject: Subject, version_from: int, members_from: int, count: int) -> list[WatchEvent]:
    """The first `count` events of a new stream. Raises TimeoutError when they don't come."""
    return collect(run(subject.store.watch(version_from, members_from, timeout=TIMEOUT)), count)


def collect(stream: WatchStream, count: int) -> list[WatchEvent]:
    """The next `count` events of a stream, which is closed then. Raises TimeoutError when they don't come."""
    events = list(itertools.islice(each(stream, TIMEOUT), count))
    stream.close()
    return events


# --- reads (rule 4)


def test_a_store_without_a_version_key_says_so(subject: Subject) -> None:
    """Rule 4: the version key is part of every read, absent or not."""
    answer = run(subject.store.read([Want("a")], None, timeout=TIMEOUT))
    assert answer.version == NO_VERSION
    assert answer.found == (Found(present=False, document=None),)


def test_a_read_returns_what_was_written_and_the_version_that_told_of_it(subject: Subject) -> None:
    """Rules 1 and 4: data and version share one revision."""
    written = run(subject.store.commit([Put("a", b'{"x": 1}')], version("a", nonce="n1"), timeout=TIMEOUT))
    answer = run(subject.store.read([Want("a")], None, timeout=TIMEOUT))
    document = answer.found[0].document
    assert document is not None
    assert (document.data, document.mod_revision, document.create_revision, document.lease) == (
        b'{"x": 1}', written.header.revision, written.header.revision, 0,
    )  # fmt: skip
    assert answer.version == VersionState(written.header.revision, written.header.revision, 1, "n1")
    assert answer.header.revision >= written.header.revision


def test_an_unchanged_value_is_not_moved(subject: Subject) -> None:
    """Rule 4: a range with min_mod_revision validates a cached entry; count 1 and no kv = unchanged."""
    revision = subject.put("a").header.revision
    assert read_one(subject, "a", newer_than=revision) == Found(present=True, document=None)


def test_a_changed_value_is_moved(subject: Subject) -> None:
    """Rule 4."""
    old = subject.put("a", b"1").header.revision
    subject.put("a", b"2")
    document = read_one(subject, "a", newer_than=old).document
    assert document is not None
    assert document.data == b"2"


def test_a_deleted_value_is_told_from_an_unchanged_one(subject: Subject) -> None:
    """Hazard: `min_mod_revision` ranges miss deletions, unless `count` is read (0 = deleted)."""
    revision = subject.put("a").header.revision
    subject.delete("a")
    assert read_one(subject, "a", newer_than=revision) == Found(present=False, document=None)


def test_wants_are_answered_in_their_order(subject: Subject) -> None:
    """Rule 4: one transaction for all, up to the 126 that fit beside the version key and the member key."""
    subject.put("b")
    wants = [Want(key) for key in ("a", "b", "c") * 42]
    answer = run(subject.store.read(wants, 5, timeout=TIMEOUT))
    assert [found.present for found in answer.found] == [False, True, False] * 42


def test_more_wants_than_a_transaction_takes_are_refused(subject: Subject) -> None:
    """Hazard: transactions take 128 operations."""
    with pytest.raises(ValueError, match="126"):
        run(subject.store.read([Want("a")] * 127, None, timeout=TIMEOUT))


def test_a_value_with_a_lease_shows_it(subject: Subject) -> None:
    """Rule 5: such a value is never cached, since it can vanish without a version event."""
    lease = run(subject.store.grant(60, timeout=TIMEOUT)).id
    subject.put_outside("a", b"1", lease)
    document = read_one(subject, "a").document
    assert document is not None
    assert document.lease == lease


def test_each_write_counts_one_up(subject: Subject) -> None:
    """PROTOCOL.md: the version key's per-key count is dense, so a lost event is detectable."""
    for expected in (1, 2, 3):
        subject.put(f"key-{expected}")
        assert run(subject.store.read([], None, timeout=TIMEOUT)).version.count == expected


# --- survey (rules 6, 7, 9)


def test_a_survey_at_our_revision_returns_our_nonce(subject: Subject) -> None:
    """Rules 6 and 7: the history is ours if the version key at our horizon bears our nonce."""
    ours = run(subject.store.commit([], version(nonce="ours"), timeout=TIMEOUT)).header.revision
    subject.put("a")
    survey = run(subject.store.survey(ours, timeout=TIMEOUT))
    assert survey.version_then == VersionState(ours, ours, 1, "ours")
    assert survey.version.count == 2


def test_a_survey_at_a_revision_before_the_version_key_finds_none(subject: Subject) -> None:
    """Rule 6: another nonce than ours, the empty one included, is another history."""
    before = revision_now(subject)
    subject.put("a")
    assert run(subject.store.survey(before, timeout=TIMEOUT)).version_then == NO_VERSION


def test_a_survey_at_a_compacted_revision_still_answers_the_rest(subject: Subject) -> None:
    """Rule 6: compacted is an answer, not an error."""
    old = subject.put("a").header.revision
    subject.put("a")
    subject.compact(subject.put("a").header.revision)
    survey = run(subject.store.survey(old, timeout=TIMEOUT))
    assert survey.version_then is None
    assert survey.version.count == 3


def test_a_survey_at_a_future_revision_still_answers_the_rest(subject: Subject) -> None:
    """Rule 8: after a restore our revision may not have been reached."""
    future = subject.put("a").header.revision + 1000
    survey = run(subject.store.survey(future, timeout=TIMEOUT))
    assert survey.version_then is None
    assert survey.version.count == 1


@pytest.mark.parametrize("at", [None, 0])
def test_a_survey_without_a_past_asks_for_none(subject: Subject, at: int | None) -> None:
    """A first start has no horizon; to etcd revision 0 means "now", which is not the past."""
    subject.put("a")
    assert run(subject.store.survey(at, timeout=TIMEOUT)).version_then is None


def test_a_survey_lists_the_fleet_by_slot(subject: Subject) -> None:
    """Rule 9."""
    lease = run(subject.store.grant(60, timeout=TIMEOUT)).id
    for slot in (63, 0, 7):
        assert run(subject.store.claim(slot, lease, f'{{"slot": {slot}}}', timeout=TIMEOUT))
    members = run(subject.store.survey(None, timeout=TIMEOUT)).members
    assert [(member.slot, member.lease, member.description) for member in members] == [
        (slot, lease, f'{{"slot": {slot}}}') for slot in (0, 7, 63)
    ]


# --- commit (rule 1)


def test_a_commit_changes_all_its_keys_at_one_revision(subject: Subject) -> None:
    """Rule 1: one transaction."""
    subject.put("old")
    commit = run(subject.store.commit([Put("a", b"1"), Put("b", b"2"), Delete("old")], version(), timeout=TIMEOUT))
    answer = run(subject.store.read([Want("a"), Want("b"), Want("old")], None, timeout=TIMEOUT))
    revisions = [found.document.mod_revision if found.document else 0 for found in answer.found]
    assert revisions == [commit.header.revision, commit.header.revision, 0]
    assert answer.version.revision == commit.header.revision


def test_a_commit_tells_what_was_there_before(subject: Subject) -> None:
    """The contract: 201 or 200, and 204 without a version, need to know."""
    first = subject.put("a").header.revision
    commit = run(subject.store.commit([Put("a", b"2"), Put("new", b"1"), Delete("absent")], version(), timeout=TIMEOUT))
    assert commit.committed
    assert commit.before == (first, 0, 0)


@pytest.mark.parametrize(
    ("precondition", "holds_when_absent", "holds_when_present"),
    [(MustExist(), False, True), (MustBeAbsent(), True, False), (MustBeAt(1), False, False), (None, True, True)],
)
def test_preconditions_hold_or_not(
    subject: Subject, precondition: MustExist | MustBeAbsent | MustBeAt | None, holds_when_absent: bool,
    holds_when_present: bool,
) -> None:  # fmt: skip
    """Rule 1: conditional writes compare in the transaction."""
    subject.put("present")
    assert subject.put("absent", b"2", precondition).committed == holds_when_absent
    assert subject.put("present", b"2", precondition).committed == holds_when_present
    assert subject.delete("present", precondition).committed == holds_when_present


def test_a_write_at_the_revision_seen_commits_once(subject: Subject) -> None:
    """Rule 1: If-Match; the second writer loses."""
    seen = subject.put("a").header.revision
    won = subject.put("a", b"2", MustBeAt(seen))
    lost = subject.put("a", b"3", MustBeAt(seen))
    assert (won.committed, lost.committed) == (True, False)
    assert lost.before == (won.header.revision,)


def test_a_refused_commit_writes_nothing_at_all(subject: Subject) -> None:
    """Rule 1: no version either, and no other key of the same commit."""
    subject.put("a")
    before = run(subject.store.read([], None, timeout=TIMEOUT)).version
    commit = run(subject.store.commit([Put("b", b"1"), Put("a", b"2", MustBeAbsent())], version(), timeout=TIMEOUT))
    after = run(subject.store.read([Want("b")], None, timeout=TIMEOUT))
    assert not commit.committed
    assert after.version == before
    assert not after.found[0].present


def test_only_if_new_writes_the_first_version_and_no_second(subject: Subject) -> None:
    """Instances that start together agree on one first version."""
    assert run(subject.store.commit([], version(nonce="1st"), only_if_new=True, timeout=TIMEOUT)).committed
    assert not run(subject.store.commit([], version(nonce="2nd"), only_if_new=True, timeout=TIMEOUT)).committed
    assert run(subject.store.read([], None, timeout=TIMEOUT)).version.nonce == "1st"


def test_a_key_may_be_changed_only_once_in_a_commit(subject: Subject) -> None:
    """Hazard: no duplicate put key in a transaction."""
    with pytest.raises(Rejected):
        run(subject.store.commit([Put("a", b"1"), Put("a", b"2")], version(), timeout=TIMEOUT))
    assert not read_one(subject, "a").present


@pytest.mark.parametrize(
    "changes",
    [[Put("a", b"x" * 1_572_864)], [Put("a", b"x" * 800_000), Put("b", b"x" * 800_000)]],
    ids=["one value", "all together"],
)
def test_a_commit_over_the_size_of_a_request_is_refused(subject: Subject, changes: list[Put]) -> None:
    """Hazard: 1.5 MiB a request."""
    with pytest.raises(TooLarge):
        run(subject.store.commit(changes, version(), timeout=TIMEOUT))


def test_a_commit_takes_100_changes_and_no_more(subject: Subject) -> None:
    """Hazard: 128 operations a transaction."""
    changes = [Put(f"key-{number}", b"1") for number in range(101)]
    assert run(subject.store.commit(changes[:100], version(), timeout=TIMEOUT)).committed
    with pytest.raises(TooLarge):
        run(subject.store.commit(changes, version(), timeout=TIMEOUT))


def test_a_large_commit_tells_what_was_there_before_too(subject: Subject) -> None:
    """More changes than leave room for looking within the transaction."""
    subject.put("key-1", b"0")
    at = subject.put("key-2", b"0").header.revision
    changes: list[Change] = [Delete("key-1"), *(Put(f"key-{number}", b"1") for number in range(2, 101))]
    commit = run(subject.store.commit(changes, version(), timeout=TIMEOUT))
    assert commit.before == (at - 1, at, *([0] * 98))
    again = [Put(f"key-{number}", b"2", MustBeAbsent()) for number in range(1, 101)]
    refused = run(subject.store.commit(again, version(), timeout=TIMEOUT))
    assert (refused.committed, refused.before) == (False, (0, *([commit.header.revision] * 99)))


def test_a_value_of_one_mebibyte_is_stored(subject: Subject) -> None:
    """The contract: MAX_VALUE_BYTES."""
    value = b"x" * 1024 * 1024
    subject.put("a", value)
    document = read_one(subject, "a").document
    assert document is not None
    assert document.data == value


# --- leases and slots (rule 9)


def test_a_slot_is_claimed_once(subject: Subject) -> None:
    """Rule 9: by a transaction on create_revision = 0."""
    ours, theirs = (run(subject.store.grant(60, timeout=TIMEOUT)).id for _ in range(2))
    assert run(subject.store.claim(3, ours, "{}", timeout=TIMEOUT))
    assert not run(subject.store.claim(3, theirs, "{}", timeout=TIMEOUT))
    assert run(subject.store.read([], 3, timeout=TIMEOUT)).member == ours


def test_a_fleet_is_given_one_id_for_ever(subject: Subject) -> None:
    """PROTOCOL.md, what is in etcd: by whoever comes first, in a transaction."""
    asked = [Meanwhile(subject.store.fleet(f"{number:016x}", timeout=TIMEOUT)) for number in range(8)]
    found = {answer.result() for answer in asked}
    assert len(found) == 1
    assert run(subject.store.fleet("f" * 16, timeout=TIMEOUT)) in found
    subject.put("a")
    assert run(subject.store.fleet("e" * 16, timeout=TIMEOUT)) in found


def test_a_free_slot_and_no_slot_show_no_lease(subject: Subject) -> None:
    """Rule 4: the member key is read in the same transaction."""
    run(subject.store.claim(3, run(subject.store.grant(60, timeout=TIMEOUT)).id, "{}", timeout=TIMEOUT))
    assert run(subject.store.read([], 4, timeout=TIMEOUT)).member == 0
    assert run(subject.store.read([], None, timeout=TIMEOUT)).member == 0


def test_a_revoked_lease_frees_its_slot(subject: Subject) -> None:
    """Rule 9: leaving."""
    lease = run(subject.store.grant(60, timeout=TIMEOUT)).id
    run(subject.store.claim(3, lease, "{}", timeout=TIMEOUT))
    run(subject.store.revoke(lease, timeout=TIMEOUT))
    assert run(subject.store.read([], 3, timeout=TIMEOUT)).member == 0
    assert run(subject.store.survey(None, timeout=TIMEOUT)).members == ()


def test_a_living_lease_is_renewed_for_its_ttl(subject: Subject) -> None:
    """Hazard: etcd may grant more than was asked for; what it granted counts."""
    lease = run(subject.store.grant(60, timeout=TIMEOUT))
    assert lease.ttl >= 60
    assert run(subject.store.keep_alive(lease.id, timeout=TIMEOUT)) == lease.ttl


def test_renewing_a_dead_lease_returns_zero(subject: Subject) -> None:
    """Hazard: KeepAlive of a dead lease answers OK with TTL 0."""
    lease = run(subject.store.grant(60, timeout=TIMEOUT)).id
    run(subject.store.revoke(lease, timeout=TIMEOUT))
    assert run(subject.store.keep_alive(lease, timeout=TIMEOUT)) == 0


def test_revoking_a_lease_twice_is_no_error(subject: Subject) -> None:
    """A lease that expired on the way is as good as revoked."""
    lease = run(subject.store.grant(60, timeout=TIMEOUT)).id
    run(subject.store.revoke(lease, timeout=TIMEOUT))
    run(subject.store.revoke(lease, timeout=TIMEOUT))


def test_claiming_with_a_dead_lease_is_rejected(subject: Subject) -> None:
    """Rule 9: no slot without a lease; nothing is written."""
    lease = run(subject.store.grant(60, timeout=TIMEOUT)).id
    run(subject.store.revoke(lease, timeout=TIMEOUT))
    with pytest.raises(Rejected):
        run(subject.store.claim(3, lease, "{}", timeout=TIMEOUT))
    assert run(subject.store.read([], 3, timeout=TIMEOUT)).member == 0


# --- the watch (rules 2, 6, 7)


def test_events_come_in_the_order_of_their_writes(subject: Subject) -> None:
    """Rule 2: dense counts, ascending revisions, names and nonce of each write."""
    start = revision_now(subject) + 1
    written = [run(subject.store.commit([Put(key, b"1")], version(key, nonce=key), timeout=TIMEOUT)) for key in "abc"]
    events = take(subject, start, start, 3)
    first = written[0].header.revision
    assert events == [
        VersionEvent(VersionState(commit.header.revision, first, count, key), frozenset({key}), op="put")
        for count, (key, commit) in enumerate(zip("abc", written, strict=True), start=1)
    ]


def test_events_written_after_the_stream_was_opened_arrive(subject: Subject) -> None:
    """Rule 2: when `watch` returns, the store has confirmed it, and nothing from then on is missed."""
    start = revision_now(subject) + 1
    stream = run(subject.store.watch(start, start, timeout=TIMEOUT))
    subject.put("a")
    event = next(each(stream))
    assert isinstance(event, VersionEvent)
    assert event.names == frozenset({"a"})
    stream.close()


def test_a_watch_resumes_at_the_revision_asked_for(subject: Subject) -> None:
    """Rule 7: horizon + 1; that event and no earlier one."""
    subject.put("a")
    second = subject.put("b").header.revision
    event = take(subject, second, second, 1)[0]
    assert isinstance(event, VersionEvent)
    assert event.state.revision == second


def test_a_watch_from_a_future_revision_is_silent_until_then(subject: Subject) -> None:
    """Hazard: it is accepted and stays silent; what comes first is not older than asked for."""
    future = revision_now(subject) + 3
    stream = run(subject.store.watch(future, future, timeout=TIMEOUT))
    for _ in range(4):
        subject.put("a")
    event = next(each(stream))
    assert isinstance(event, VersionEvent)
    assert event.state.revision == future
    stream.close()


def test_a_watch_from_a_compacted_revision_ends_with_compacted(subject: Subject) -> None:
    """Hazard: `created`, then `canceled` with compact_revision."""
    old = subject.put("a").header.revision
    subject.put("a")
    now = subject.put("a").header.revision
    subject.compact(now)
    with pytest.raises(Compacted):
        take(subject, old, now, 5)


def test_a_deleted_version_key_is_an_event_of_count_zero(subject: Subject) -> None:
    """Rule 6: the version key was removed by hand; anything may have changed."""
    start = revision_now(subject) + 1
    subject.put("a")
    subject.delete_version()
    event = take(subject, start, start, 2)[1]
    assert event == VersionEvent(VersionState(revision_now(subject), created=0, count=0, nonce=""), names=None)


def test_a_version_key_written_anew_shows_another_creation(subject: Subject) -> None:
    """Rules 2 and 6: its count starts again, its create_revision tells."""
    start = revision_now(subject) + 1
    subject.put("a")
    subject.delete_version()
    again = subject.put("a").header.revision
    event = take(subject, start, start, 3)[2]
    assert isinstance(event, VersionEvent)
    assert (event.state.created, event.state.count) == (again, 1)


def test_a_version_that_names_nothing_may_have_changed_everything(subject: Subject) -> None:
    """Rule 2: `keys: null`, and `ack` comes along."""
    start = revision_now(subject) + 1
    run(subject.store.commit([], VersionRecord("n", None, "audit", ack=True), timeout=TIMEOUT))
    event = take(subject, start, start, 1)[0]
    assert isinstance(event, VersionEvent)
    assert event.names is None
    assert event.ack


def test_members_come_and_go_on_the_stream(subject: Subject) -> None:
    """Rule 9: joining is an event, and so is leaving."""
    start = revision_now(subject) + 1
    lease = run(subject.store.grant(60, timeout=TIMEOUT)).id
    run(subject.store.claim(3, lease, '{"id": "x"}', timeout=TIMEOUT))
    run(subject.store.revoke(lease, timeout=TIMEOUT))
    events = take(subject, start, start, 2)
    assert events == [
        MemberEvent(start, 3, Member(3, lease, start, '{"id": "x"}')),
        MemberEvent(start + 1, 3, None),
    ]


def test_a_member_key_without_a_lease_is_nobody(subject: Subject) -> None:
    """Rule 9: nobody renews it, and nobody would ever take it away. An instance that needs the slot does."""
    start = revision_now(subject) + 1
    subject.put_raw("members/03", b'{"address": "evil.example:80"}', 0)
    assert run(subject.store.survey(None, timeout=TIMEOUT)).members == ()
    asking = VersionRecord(new_nonce(), frozenset("a"), "put", ack=True)
    assert run(subject.store.commit([Put("a", b"1")], asking, timeout=TIMEOUT)).members == ()
    lease = run(subject.store.grant(60, timeout=TIMEOUT)).id
    assert run(subject.store.claim(3, lease, "{}", timeout=TIMEOUT))
    subject.put_raw("members/03", b"{}", 0)
    events = [event for event in take(subject, start + 100, start, 3) if isinstance(event, MemberEvent)]
    assert [event.member and event.member.lease for event in events] == [None, lease, None]
    assert run(subject.store.survey(None, timeout=TIMEOUT)).members == ()


def test_an_acknowledgement_without_a_lease_is_nobodys_word(subject: Subject) -> None:
    """Rule 12."""
    start = revision_now(subject) + 1
    lease = run(subject.store.grant(60, timeout=TIMEOUT)).id
    run(subject.store.claim(3, lease, "{}", timeout=TIMEOUT))
    subject.put_raw("members/03/ack", b"999999", 0)
    run(subject.store.acknowledge(3, lease, 5, timeout=TIMEOUT))
    (ack,) = [event for event in take(subject, start, start, 2) if isinstance(event, AckEvent)]
    assert ack.applied == 5


def test_who_waits_for_a_slot_is_surveyed_and_seen_and_gives_the_place_up_with_the_claim(subject: Subject) -> None:
    """Rule 9: in this order, so that nobody is taken for lost between the two."""
    start = revision_now(subject) + 1
    lease = run(subject.store.grant(60, timeout=TIMEOUT)).id
    other = run(subject.store.grant(60, timeout=TIMEOUT)).id
    run(subject.store.wait(lease, '{"a": 1}', timeout=TIMEOUT))
    run(subject.store.wait(other, "{}", timeout=TIMEOUT))
    waiting = (Member(None, lease, start, '{"a": 1}'), Member(None, other, start + 1, "{}"))
    survey = run(subject.store.survey(None, timeout=TIMEOUT))
    assert (survey.waiting, survey.members) == (waiting, ())
    assert run(subject.store.commit([], VersionRecord("n", None, "put", ack=True), timeout=TIMEOUT)).members == ()
    assert run(subject.store.claim(3, lease, '{"a": 1}', timeout=TIMEOUT))
    run(subject.store.revoke(other, timeout=TIMEOUT))
    events = [event for event in take(subject, start, start, 6) if not isinstance(event, VersionEvent)]
    assert events == [
        WaitingEvent(start, lease, waiting[0]),
        WaitingEvent(start + 1, other, waiting[1]),
        MemberEvent(start + 3, 3, Member(3, lease, start + 3, '{"a": 1}')),
        WaitingEvent(start + 3, lease, None),
        WaitingEvent(start + 4, other, None),
    ]
    assert run(subject.store.survey(None, timeout=TIMEOUT)).waiting == ()


def test_what_is_not_attached_to_the_lease_it_names_waits_for_nothing(subject: Subject) -> None:
    """It would wait for ever, and be asked and scraped at an address of anybody's choice."""
    start = revision_now(subject) + 1
    lease = run(subject.store.grant(60, timeout=TIMEOUT)).id
    subject.put_raw("members/waiting/0", b"{}", 0)
    subject.put_raw(f"members/waiting/{lease:x}", b"{}", 0)
    subject.put_raw("members/waiting/7", b"{}", lease)
    assert run(subject.store.survey(None, timeout=TIMEOUT)).waiting == ()
    assert [event.member for event in take(subject, start, start, 3) if isinstance(event, WaitingEvent)] == [None] * 3


def test_what_is_written_of_those_who_have_gone_is_surveyed_and_seen_on_the_stream(subject: Subject) -> None:
    """Rule 9: the first word stays, and ends with its lease or when it is erased."""
    start = revision_now(subject) + 1
    lease = run(subject.store.grant(60, timeout=TIMEOUT)).id
    left = Departure(0xBEE, 3, "left", 1_700_000_000.5, '{"boot": "x"}', Look(VersionState(9, 5, 2, "n"), 3))
    lost = Departure(0xCEE, None, "lost", 0.0, "{}")
    assert run(subject.store.record(left, lease, timeout=TIMEOUT))
    assert not run(subject.store.record(replace(left, how="lost"), lease, timeout=TIMEOUT))
    assert run(subject.store.record(lost, lease, timeout=TIMEOUT))
    assert run(subject.store.survey(None, timeout=TIMEOUT)).departed == (left, lost)
    run(subject.store.erase([0xBEE, 0xDEE], timeout=TIMEOUT))
    run(subject.store.revoke(lease, timeout=TIMEOUT))
    assert take(subject, start, start, 4) == [
        DepartureEvent(start, 0xBEE, left),
        DepartureEvent(start + 1, 0xCEE, lost),
        DepartureEvent(start + 2, 0xBEE, None),
        DepartureEvent(start + 3, 0xCEE, None),
    ]
    assert run(subject.store.survey(None, timeout=TIMEOUT)).departed == ()


def test_what_has_no_lease_or_is_nonsense_is_not_taken_for_somebody_who_has_gone(subject: Subject) -> None:
    """It would never end; and whoever can write here could make every page fail."""
    start = revision_now(subject) + 1
    lease = run(subject.store.grant(60, timeout=TIMEOUT)).id
    subject.put_raw("members/departed/1", Departure(1, 3, "lost", 5.0, "{}").encode(), 0)
    for number, nonsense in enumerate((b"[]", b"{", b'{"slot": 64, "how": "lost", "at": 1, "description": ""}')):
        subject.put_raw(f"members/departed/{2 + number:x}", nonsense, lease)
    assert run(subject.store.survey(None, timeout=TIMEOUT)).departed == ()
    assert [event.departure for event in take(subject, start, start, 4) if isinstance(event, DepartureEvent)] == [
        None
    ] * 4


def test_a_synchronous_write_does_not_move_who_has_gone(subject: Subject) -> None:
    """Rule 12 asks for the slots alone."""
    lease = run(subject.store.grant(60, timeout=TIMEOUT)).id
    run(subject.store.claim(63, lease, "{}", timeout=TIMEOUT))
    run(subject.store.record(Departure(7, 3, "lost", 5.0, "{}"), lease, timeout=TIMEOUT))
    assert run(subject.store.commit([], VersionRecord("n", None, "put", ack=True), timeout=TIMEOUT)).members == (63,)


def test_documents_are_no_events(subject: Subject) -> None:
    """Section 1: one key is watched, not every key."""
    start = revision_now(subject) + 1
    subject.put_outside("a", b"1", 0)
    put = subject.put("b").header.revision
    event = take(subject, start, start, 1)[0]
    assert isinstance(event, VersionEvent)
    assert event.state.revision == put


def test_two_streams_see_the_same(subject: Subject) -> None:
    """Streams are independent of each other."""
    start = revision_now(subject) + 1
    streams = [run(subject.store.watch(start, start, timeout=TIMEOUT)) for _ in range(2)]
    subject.put("a")
    assert next(each(streams[0])) == next(each(streams[1]))
    streams[0].close()
    subject.put("b")
    event = next(each(streams[1]))
    assert isinstance(event, VersionEvent)
    assert event.names == frozenset({"b"})


def test_a_closed_stream_ends_with_unavailable(subject: Subject) -> None:
    """WatchStream.close: twice is no error, and iterating tells."""
    now = subject.put("a").header.revision
    stream = run(subject.store.watch(now, now, timeout=TIMEOUT))
    stream.close()
    stream.close()
    with pytest.raises(Unavailable):
        next(each(stream))


# --- pages


ODD_KEYS = ["%", "0", "Z", "a", "a b", "a/b", "a/b/c", "aß", "b", "ключ", "鍵", "🔑"]
"""In the order of their UTF-8 bytes."""


def test_a_page_lists_keys_in_the_order_of_their_bytes(subject: Subject) -> None:
    """The contract: listing; unicode, spaces and slashes included."""
    written = {key: subject.put(key).header.revision for key in reversed(ODD_KEYS)}
    page = run(subject.store.page("", after="", limit=100, timeout=TIMEOUT))
    assert [(listed.key, listed.mod_revision) for listed in page.keys] == [(key, written[key]) for key in ODD_KEYS]
    assert not page.more


@pytest.mark.parametrize(
    ("start", "after", "limit", "keys", "more"),
    [
        ("a", "", 3, ["a", "a b", "a/b"], True),
        ("a", "a/b", 10, ["a/b/c", "aß"], False),
        ("a/", "", 10, ["a/b", "a/b/c"], False),
        ("a", "aß", 10, [], False),
        ("a", "z", 10, [], False),
        ("a", "0", 1, ["a"], True),
        ("", "b", 3, ["ключ", "鍵", "🔑"], False),
        ("鍵", "", 1, ["鍵"], False),
        ("none", "", 5, [], False),
    ],
)
def test_pages_begin_and_end_where_they_should(
    subject: Subject, start: str, after: str, limit: int, keys: list[str], more: bool
) -> None:
    """The contract: `after` is exclusive, `more` tells whether to go on."""
    run(subject.store.commit([Put(key, b"1") for key in ODD_KEYS], version(), timeout=TIMEOUT))
    page = run(subject.store.page(start, after=after, limit=limit, timeout=TIMEOUT))
    assert ([listed.key for listed in page.keys], page.more) == (keys, more)
    assert page.header.revision >= 2


def test_a_page_shows_neither_the_version_nor_the_members(subject: Subject) -> None:
    """Section 3: they lie beside the documents."""
    subject.put("config/version")
    run(subject.store.claim(0, run(subject.store.grant(60, timeout=TIMEOUT)).id, "{}", timeout=TIMEOUT))
    page = run(subject.store.page("", after="", limit=10, timeout=TIMEOUT))
    assert [listed.key for listed in page.keys] == ["config/version"]


# --- the end


def test_a_closed_store_is_unavailable(subject: Subject) -> None:
    """Store.close: nothing is done any more, and it is said which way."""
    now = subject.put("a").header.revision
    stream = run(subject.store.watch(now, now, timeout=TIMEOUT))
    run(subject.store.close())
    with pytest.raises(Unavailable, match="closed"):
        read_one(subject, "a")
    with pytest.raises(Unavailable, match="closed"):
        subject.put("a")
    with pytest.raises(Unavailable):
        list(each(stream))
    run(subject.store.close())


# --- acknowledgements (rule 12)


def test_a_commit_that_asks_for_acknowledgements_tells_who_has_to_give_them(subject: Subject) -> None:
    """Rule 12: in the same transaction; an acknowledgement is no member."""
    lease = run(subject.store.grant(60, timeout=TIMEOUT))
    for slot in (3, 41):
        assert run(subject.store.claim(slot, lease.id, "{}", timeout=TIMEOUT))
    run(subject.store.acknowledge(3, lease.id, 5, timeout=TIMEOUT))
    asking = VersionRecord(new_nonce(), frozenset("a"), "put", ack=True)
    commit = run(subject.store.commit([Put("a", b"1")], asking, timeout=TIMEOUT))
    assert (commit.members, commit.before) == ((3, 41), (0,))
    assert run(subject.store.commit([Put("a", b"2")], version(), timeout=TIMEOUT)).members == ()
    refused = run(subject.store.commit([Put("a", b"2", MustBeAbsent())], asking, timeout=TIMEOUT))
    assert (refused.committed, refused.members) == (False, ())


def test_acknowledgements_come_with_the_members_in_order(subject: Subject) -> None:
    """Rule 12: an acknowledgement proves that every earlier departure has been seen."""
    here = run(subject.store.survey(None, timeout=TIMEOUT)).header.revision
    stream = run(subject.store.watch(here + 1, here + 1, timeout=TIMEOUT))
    lease, other = run(subject.store.grant(60, timeout=TIMEOUT)), run(subject.store.grant(60, timeout=TIMEOUT))
    run(subject.store.claim(1, lease.id, "{}", timeout=TIMEOUT))
    run(subject.store.claim(2, other.id, "{}", timeout=TIMEOUT))
    run(subject.store.revoke(other.id, timeout=TIMEOUT))
    run(subject.store.acknowledge(1, lease.id, 17, timeout=TIMEOUT))
    events = collect(stream, 4)
    assert [type(event).__name__ for event in events] == ["MemberEvent", "MemberEvent", "MemberEvent", "AckEvent"]
    assert events[3] == AckEvent(events[2].revision + 1, 1, 17)  # type: ignore[union-attr]


def test_only_the_holder_of_a_slot_acknowledges_for_it(subject: Subject) -> None:
    """Rule 12: a former holder's word must not count for its successor."""
    former, holder = run(subject.store.grant(60, timeout=TIMEOUT)), run(subject.store.grant(60, timeout=TIMEOUT))
    run(subject.store.claim(1, holder.id, "{}", timeout=TIMEOUT))
    for slot in (1, 2):
        with pytest.raises(Rejected):
            run(subject.store.acknowledge(slot, former.id, 5, timeout=TIMEOUT))
    run(subject.store.acknowledge(1, holder.id, 5, timeout=TIMEOUT))


# --- the past, and audits (rule 13)


def test_the_past_is_read_as_it_was(subject: Subject) -> None:
    """Of `?revision=R`: deletions included, and the header is that of now."""
    at = subject.put("a", b"1").header.revision
    later = subject.put("a", b"2").header.revision
    past = run(subject.store.past("a", at, timeout=TIMEOUT))
    assert past.document is not None
    assert (past.document.data, past.document.mod_revision) == (b"1", at)
    assert past.header.revision >= later
    assert run(subject.store.past("a", at - 1, timeout=TIMEOUT)).document is None
    assert run(subject.store.existed(["a", "b"], at, timeout=TIMEOUT)) == (True, False)
    assert run(subject.store.existed(["a"], at - 1, timeout=TIMEOUT)) == (False,)


def test_a_past_that_is_gone_is_told_from_one_that_is_yet_to_come(subject: Subject) -> None:
    """Of `?revision=R`: forgotten for good, or a revision that nobody can have seen here."""
    at = subject.put("a", b"1").header.revision
    now = subject.put("a", b"2").header.revision
    for ask in (subject.store.past, lambda key, at, timeout: subject.store.existed([key], at, timeout=timeout)):
        with pytest.raises(NotReached):
            run(ask("a", now + 1000, timeout=TIMEOUT))
    subject.compact(now)
    for ask in (subject.store.past, lambda key, at, timeout: subject.store.existed([key], at, timeout=timeout)):
        with pytest.raises(Compacted):
            run(ask("a", at, timeout=TIMEOUT))


def test_what_was_written_since_is_listed_without_its_values(subject: Subject) -> None:
    """Rule 13: the latest first, and the count is of all documents."""
    first = subject.put("a", b"1").header.revision
    second = subject.put("b", b"1").header.revision
    third = subject.put("a", b"2").header.revision
    everything = run(subject.store.touched(0, limit=10, timeout=TIMEOUT))
    assert everything.keys == (Listed("a", third, first), Listed("b", second, second))
    assert (everything.count, everything.complete, everything.version.revision) == (2, True, third)
    assert run(subject.store.touched(second, limit=10, timeout=TIMEOUT)).keys == (Listed("a", third, first),)
    some = run(subject.store.touched(0, limit=1, timeout=TIMEOUT))
    assert (some.keys, some.count, some.complete) == ((Listed("a", third, first),), 2, False)
    nothing = run(subject.store.touched(third, limit=1, timeout=TIMEOUT))
    assert (nothing.keys, nothing.count, nothing.complete) == ((), 2, True)


def test_what_was_deleted_is_in_the_past_and_not_in_what_was_touched(subject: Subject) -> None:
    """Rule 13: deletions show in the count alone; where they might be is asked key by key."""
    at = subject.put("a").header.revision
    deleted = subject.delete("a").header.revision
    touched = run(subject.store.touched(0, limit=10, timeout=TIMEOUT))
    assert (touched.count, touched.keys, touched.version.revision) == (0, (), deleted)
    assert run(subject.store.past("a", deleted, timeout=TIMEOUT)).document is None
    assert [run(subject.store.existed(["a"], then, timeout=TIMEOUT)) for then in (at, deleted)] == [(True,), (False,)]


def test_a_past_value_shows_its_lease_and_its_creation(subject: Subject) -> None:
    """A document of the past is as complete as one of today."""
    lease = run(subject.store.grant(60, timeout=TIMEOUT)).id
    subject.put_outside("a", b"1", lease)
    at = revision_now(subject)
    subject.put("a", b"2")
    assert run(subject.store.past("a", at, timeout=TIMEOUT)).document == Document(b"1", at, at, lease)


@pytest.mark.parametrize("revision", [0, -1])
def test_no_revision_is_no_past(subject: Subject, revision: int) -> None:
    """Hazard: etcd answers revision 0 with the present, which would pass for the past."""
    subject.put("a")
    with pytest.raises(ValueError, match="from 1 on"):
        run(subject.store.past("a", revision, timeout=TIMEOUT))
    with pytest.raises(ValueError, match="from 1 on"):
        run(subject.store.existed(["a"], revision, timeout=TIMEOUT))


def test_existence_is_asked_for_126_keys_and_no_more(subject: Subject) -> None:
    """Hazard: transactions take 128 operations. Nothing asked is nothing found."""
    at = subject.put("key-7").header.revision
    keys = [f"key-{number}" for number in range(127)]
    existed = run(subject.store.existed(keys[:126], at, timeout=TIMEOUT))
    assert (len(existed), [key for key, did in zip(keys, existed, strict=False) if did]) == (126, ["key-7"])
    with pytest.raises(ValueError, match="126"):
        run(subject.store.existed(keys, at, timeout=TIMEOUT))
    assert run(subject.store.existed([], at, timeout=TIMEOUT)) == ()


def test_exactly_as_many_as_may_be_listed_is_complete(subject: Subject) -> None:
    """Rule 13: an audit that looked at everything must not think that it did not."""
    run(subject.store.commit([Put(key, b"1") for key in "abc"], version(), timeout=TIMEOUT))
    for limit, complete in ((2, False), (3, True), (4, True)):
        touched = run(subject.store.touched(0, limit=limit, timeout=TIMEOUT))
        assert (len(touched.keys), touched.count, touched.complete) == (min(limit, 3), 3, complete)


def test_a_large_commit_tells_its_members_and_what_was_there_before(subject: Subject) -> None:
    """Rule 12, for more changes than leave room for looking within the transaction; both at once."""
    at = subject.put("key-1").header.revision
    lease = run(subject.store.grant(60, timeout=TIMEOUT)).id
    run(subject.store.claim(5, lease, "{}", timeout=TIMEOUT))
    run(subject.store.acknowledge(5, lease, at, timeout=TIMEOUT))
    for size in (62, 63, 100):
        changes = [Put(f"key-{number}", b"1") for number in range(1, size + 1)]
        before = [found_at(subject, change.key) for change in changes]
        commit = run(subject.store.commit(changes, VersionRecord(new_nonce(), None, "put", ack=True), timeout=TIMEOUT))
        assert (commit.members, list(commit.before)) == ((5,), before)


def test_acknowledging_again_is_no_error_and_a_dead_lease_is_refused(subject: Subject) -> None:
    """Rule 12: whatever became of the last one, saying it again is safe; without the slot it is not."""
    lease = run(subject.store.grant(60, timeout=TIMEOUT)).id
    run(subject.store.claim(1, lease, "{}", timeout=TIMEOUT))
    start = revision_now(subject) + 1
    for _ in range(2):
        run(subject.store.acknowledge(1, lease, 17, timeout=TIMEOUT))
    assert take(subject, start, start, 2) == [AckEvent(start, 1, 17), AckEvent(start + 1, 1, 17)]
    run(subject.store.revoke(lease, timeout=TIMEOUT))
    now = revision_now(subject)
    with pytest.raises(Rejected):
        run(subject.store.acknowledge(1, lease, 18, timeout=TIMEOUT))
    assert revision_now(subject) == now


def test_a_closed_store_answers_none_of_the_rest_either(subject: Subject) -> None:
    """Store.close."""
    run(subject.store.close())
    calls = (
        lambda: run(subject.store.past("a", 1, timeout=TIMEOUT)),
        lambda: run(subject.store.touched(0, limit=1, timeout=TIMEOUT)),
        lambda: run(subject.store.existed(["a"], 1, timeout=TIMEOUT)),
        lambda: run(subject.store.acknowledge(1, 1, 1, timeout=TIMEOUT)),
        lambda: run(subject.store.record(Departure(1, 1, "left", 1.0, "{}"), 1, timeout=TIMEOUT)),
        lambda: run(subject.store.erase([1], timeout=TIMEOUT)),
        lambda: run(subject.store.wait(1, "{}", timeout=TIMEOUT)),
    )
    for call in calls:
        with pytest.raises(Unavailable, match="closed"):
            call()


def found_at(subject: Subject, key: str) -> int:
    document = read_one(subject, key).document
    return document.mod_revision if document else 0
