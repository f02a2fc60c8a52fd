"""The checker, against small histories: silent when every promise was kept, and precise when one was broken.

Each broken history differs from a correct one in the smallest way. A test names the check and the offenders.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.torture.story import BOUND, LATENCY, Story
from torture.checker import CHECKS
from torture.history import Kind, Level, Operation, Outcome, Remembers
from torture.truth import VERSION, Change

A, B = "t/a", "t/b"
STRICT: dict[str, Any] = {"level": Level.UNCACHED, "cache": "BYPASS"}
Found = set[tuple[str, frozenset[int]]]


def offenders(check: str, *operations: Operation) -> tuple[str, frozenset[int]]:
    return check, frozenset(operation.number for operation in operations)


def a_good_day() -> Story:
    """Every kind of operation, and every promise kept."""
    story = Story()
    story.put(A, '"1"', 0)
    story.read(A, 1, **STRICT)
    two = story.put(A, '"2"', 2, level=Level.SYNC)
    story.read(A, 2.5)
    story.put(B, '"3"', 3, condition="absent")
    story.read(B, 3.5, at=two.revision, remembers=Remembers.WRITES, session="1.0", token=two.revision)
    story.put(B, '"4"', 4, outcome=Outcome.UNKNOWN, status=504)
    story.read(B, 4.5, **STRICT)
    story.put(B, '"5"', 5, effect=False, outcome=Outcome.FAILED, status=503)
    story.put(B, '"6"', 6, effect=False, outcome=Outcome.REFUSED, status=412, condition="absent", modified=5)
    story.delete(A, 7)
    story.delete(A, 8, effect=False)
    story.read(A, 8.5, **STRICT)
    story.batch(9, (A, '"7"'), (B, None))
    story.read(A, 9.5, at=two.revision, level=Level.PAST, asked=two.revision, cache="BYPASS")
    story.read(A, 10, status=304, level=Level.LINEARIZABLE, cache="REVALIDATED")
    story.read(B, 11, at=2, cache="STALE", level=Level.STALE, asked=10, age=9)
    return story


def test_a_history_in_which_every_promise_was_kept_has_no_violation() -> None:
    assert a_good_day().violations() == []


# --- a history altered by hand


def test_a_value_altered_by_hand_is_reported_with_the_read_that_showed_it() -> None:
    story = a_good_day()
    index = next(i for i, operation in enumerate(story.history) if operation.kind is Kind.READ)
    story.history[index] = altered = dataclasses.replace(story.history[index], value='"altered"')
    assert story.found() == {offenders("wrong value", altered)}
    excerpt = story.violations()[0].excerpt(story.truth)
    assert '"altered"' in excerpt
    assert 'config/t/a 2 "1"' in excerpt


def test_an_acknowledged_write_that_is_gone_is_reported() -> None:
    story = a_good_day()
    write = story.put(A, '"8"', 20)
    story.changes = [change for change in story.changes if change.revision != write.revision]
    assert story.found() == {offenders("lost write", write)}


def test_a_read_shifted_in_time_is_reported_with_the_write_that_it_should_have_seen() -> None:
    """A read that was just fresh enough, moved by as much as the bound."""
    story = Story()
    story.put(A, '"1"', 0)
    new = story.put(A, '"2"', 1)
    read = story.read(A, 1 + LATENCY / 2 + BOUND, at=2)
    assert story.found() == set()
    story.history[-1] = dataclasses.replace(read, invoked=read.invoked + BOUND, returned=read.returned + BOUND)
    story.changes = [dataclasses.replace(change, seen=99.0) for change in story.changes]
    assert ("stale read", frozenset({new.number, read.number})) in story.found()


# --- for each check the smallest history that breaks it


def lost_value(story: Story) -> Found:
    write = story.put(A, '"1"', 0)
    story.changes[0] = dataclasses.replace(story.changes[0], value='"other"')
    story.tell(Kind.PUT, A, 0, value='"other"', outcome=Outcome.UNKNOWN)
    return {offenders("lost write", write)}


def lost_delete(story: Story) -> Found:
    story.put(A, '"1"', 0)
    return {offenders("lost write", story.delete(A, 1, effect=False))}


def ghost(story: Story) -> Found:
    return {offenders("ghost write", story.put(A, '"1"', 0, outcome=Outcome.FAILED, status=503))}


def from_nowhere(story: Story) -> Found:
    story.change(0, (A, '"1"'))
    return {offenders("value from nowhere")}


def written_twice(story: Story) -> Found:
    write = story.put(A, '"1"', 0)
    story.change(1, (A, '"1"'))
    return {offenders("written twice", write)}


def deletion_from_nowhere(story: Story) -> Found:
    story.put(A, '"1"', 0)
    story.change(1, (A, None))
    return {offenders("deletion from nowhere")}


def torn_batch(story: Story) -> Found:
    story.change(0, (A, '"1"'))
    changes = ((A, '"1"'), (B, '"2"'))
    return {offenders("torn batch", story.tell(Kind.BATCH, "", 0, batch=changes, outcome=Outcome.UNKNOWN))}


def batch_in_two_revisions(story: Story) -> Found:
    story.change(0, (A, '"1"'))
    story.change(0, (B, '"2"'))
    changes = ((A, '"1"'), (B, '"2"'))
    return {offenders("torn batch", story.tell(Kind.BATCH, "", 0, batch=changes, outcome=Outcome.UNKNOWN))}


def condition_ignored(story: Story) -> Found:
    story.put(A, '"1"', 0)
    return {offenders("condition ignored", story.put(A, '"2"', 1, condition="absent"))}


def condition_at_another_revision(story: Story) -> Found:
    old = story.put(A, '"1"', 0)
    story.put(A, '"2"', 1)
    return {offenders("condition ignored", story.put(A, '"3"', 2, condition=str(old.revision)))}


def refused_without_cause(story: Story) -> Found:
    write = story.put(A, '"1"', 0)
    refused = story.delete(A, 1, effect=False, outcome=Outcome.REFUSED, condition="exists", modified=write.revision)
    return {offenders("refused without cause", refused)}


def a_batch_ignores_a_condition(story: Story) -> Found:
    """The second of its changes had one, and the first is done all the same."""
    story.put(A, '"1"', 0)
    return {offenders("condition ignored", story.batch(1, (B, '"2"'), (A, '"3"'), conditions=("", "absent")))}


def an_unknown_batch_ignores_a_condition(story: Story) -> Found:
    """Nobody was told that it was done, but it is there."""
    story.put(A, '"1"', 0)
    old = story.batch(1, (A, '"2"'), (B, '"3"'), conditions=("exists", "exists"), outcome=Outcome.UNKNOWN)
    return {offenders("condition ignored", old)}


def a_batch_refused_without_cause(story: Story) -> Found:
    write = story.put(A, '"1"', 0)
    why: dict[str, Any] = {"refusing": A, "modified": write.revision, "outcome": Outcome.REFUSED}
    batch = ((B, '"2"'), (A, None))
    return {
        offenders("refused without cause", story.tell(Kind.BATCH, "", 1, batch=batch, conditions=("", "exists"), **why))
    }


def a_refused_batch_has_written(story: Story) -> Found:
    """The change whose condition held is done, the other is not."""
    write = story.put(A, '"1"', 0)
    story.change(1, (B, '"2"'))
    why: dict[str, Any] = {"refusing": A, "modified": write.revision, "outcome": Outcome.REFUSED}
    batch = ((B, '"2"'), (A, '"3"'))
    refused = story.tell(Kind.BATCH, "", 1, batch=batch, conditions=("", "absent"), **why)
    return {offenders("ghost write", refused), offenders("torn batch", refused)}


def a_refused_batch_is_a_read(story: Story) -> Found:
    old = story.put(A, '"1"', 0)
    new = story.put(A, '"2"', 1)
    why: dict[str, Any] = {"refusing": A, "modified": old.revision, "outcome": Outcome.REFUSED}
    refused = story.tell(Kind.BATCH, "", 2, batch=((A, '"3"'),), conditions=("absent",), **why)
    return {offenders("not linearizable", new, refused)}


def without_a_version(story: Story) -> Found:
    story.put(A, '"1"', 0)
    story.changes.pop()
    return {offenders("change without a version")}


def named_wrongly(story: Story) -> Found:
    story.put(A, '"1"', 0)
    story.put(B, '"2"', 1)
    story.changes[3] = dataclasses.replace(story.changes[3], value=str(story.changes[1].value).replace("e-2", "e-3"))
    return {offenders("change without a version")}


def nonce_twice(story: Story) -> Found:
    story.put(A, '"1"', 0)
    story.changes.append(Change(9, VERSION, story.changes[1].value, 2, 0))
    return {offenders("nonce used twice")}


def read_from_nowhere(story: Story) -> Found:
    story.put(A, '"1"', 0)
    read = story.read(A, 1, modified=7)
    return {offenders("read from nowhere", read), offenders("not at its revision", read)}


def not_at_its_revision(story: Story) -> Found:
    story.put(A, '"1"', 0)
    story.put(A, '"2"', 1)
    return {offenders("not at its revision", story.read(A, 1.5, at=2, revision=3))}


def absent_though_written(story: Story) -> Found:
    story.put(A, '"1"', 0)
    return {offenders("not at its revision", story.read(A, 0.5, value=None, modified=0, status=404))}


def unforeseen_status(story: Story) -> Found:
    return {offenders("contract", story.tell(Kind.READ, A, 0, outcome=Outcome.FAILED, status=500))}


def honest_token_refused(story: Story) -> Found:
    return {offenders("contract", story.tell(Kind.READ, A, 0, outcome=Outcome.FAILED, status=410, token=1))}


def uncached_from_the_cache(story: Story) -> Found:
    return {offenders("contract", story.read(A, 0, level=Level.UNCACHED, cache="HIT"))}


def stale_unasked(story: Story) -> Found:
    return {offenders("contract", story.read(A, 0, cache="STALE"))}


def a_strict_read_misses_a_write(story: Story) -> Found:
    story.put(A, '"1"', 0)
    write = story.put(A, '"2"', 1)
    read = story.read(A, 1.5, at=2, **STRICT)
    return {
        offenders("not linearizable", write, read),
        offenders("not linearizable across keys", write, read),
    }


def strict_reads_go_back(story: Story) -> Found:
    """The write's outcome is unknown, but one read has seen it."""
    story.put(A, '"1"', 0)
    story.put(A, '"2"', 1, outcome=Outcome.UNKNOWN)
    first = story.read(A, 1.5, **STRICT)
    second = story.read(A, 1.6, at=2, **STRICT)
    return {
        offenders("not linearizable", first, second),
        offenders("not linearizable across keys", first, second),
    }


def a_default_read_is_evidence(story: Story) -> Found:
    story.put(A, '"1"', 0)
    story.put(A, '"2"', 1, outcome=Outcome.UNKNOWN)
    first, second = story.read(A, 1.5), story.read(A, 1.6, at=2, **STRICT)
    return {
        offenders("not linearizable", first, second),
        offenders("not linearizable across keys", first, second),
    }


def a_refusal_is_a_read(story: Story) -> Found:
    old = story.put(A, '"1"', 0)
    new = story.put(A, '"2"', 1)
    refused = story.put(A, '"3"', 2, effect=False, outcome=Outcome.REFUSED, condition="absent")
    story.history[-1] = dataclasses.replace(refused, modified=old.revision)
    return {offenders("not linearizable", new, refused)}


def another_key_went_back(story: Story) -> Found:
    """Neither key alone shows it: the second read is of a moment before the write to the first key."""
    write = story.put(A, '"1"', 0)
    return {offenders("not linearizable across keys", write, story.read(B, 1, at=1, **STRICT))}


def read_before_written(story: Story) -> Found:
    story.change(0, (A, '"1"'))
    read = story.read(A, 0.5)
    write = story.tell(Kind.PUT, A, 2, value='"1"', outcome=Outcome.UNKNOWN)
    return {offenders("read before written", read, write), offenders("not linearizable", read, write)}


def a_synchronous_write_not_seen(story: Story) -> Found:
    story.put(A, '"1"', 0)
    write = story.put(A, '"2"', 1, level=Level.SYNC)
    return {offenders("synchronous write not seen", write, story.read(A, 1.1, at=2))}


def stale(story: Story) -> Found:
    story.put(A, '"1"', 0)
    story.put(A, '"2"', 1)
    return {offenders("stale read", story.read(A, 2.1, at=2, cache="MISS"))}


def a_deletion_missed_for_too_long(story: Story) -> Found:
    story.put(A, '"1"', 0)
    story.delete(A, 1)
    return {offenders("stale read", story.read(A, 2.1, at=2, cache="MISS"))}


def stale_by_what_another_key_shows(story: Story) -> Found:
    """Nobody acknowledged the write, the harness saw it late; but a read of another key shows that etcd was past it."""
    story.put(A, '"1"', 0)
    story.put(A, '"2"', 1, outcome=Outcome.UNKNOWN)
    story.changes = [dataclasses.replace(change, seen=9.0) for change in story.changes]
    other = story.read(B, 1.1)
    return {offenders("stale read", other, story.read(A, 2.2, at=2, cache="MISS"))}


def a_dishonest_age(story: Story) -> Found:
    story.put(A, '"1"', 0)
    story.put(A, '"2"', 1)
    return {offenders("dishonest age", story.read(A, 3.5, at=2, cache="STALE", level=Level.STALE, asked=9, age=2))}


def staler_than_allowed(story: Story) -> Found:
    return {offenders("staler than allowed", story.read(A, 0, cache="STALE", level=Level.STALE, asked=2, age=5))}


def token_ignored(story: Story) -> Found:
    write = story.put(A, '"1"', 0)
    return {offenders("token ignored", story.read(B, 0.5, at=1, token=write.revision))}


def own_write_not_read(story: Story) -> Found:
    mine: dict[str, Any] = {"session": "1.0", "remembers": Remembers.WRITES}
    write = story.put(A, '"1"', 0, **mine)
    return {offenders("session went back", write, story.read(B, 0.5, at=1, **mine))}


def own_write_not_seen(story: Story) -> Found:
    """At the instance that made it, by somebody who remembers nothing; within the bound."""
    story.put(A, '"1"', 0)
    write = story.put(A, '"2"', 1)
    return {offenders("own write not seen", write, story.read(A, 1.1, at=2, instance=0))}


def own_unknown_write_not_seen(story: Story) -> Found:
    story.put(A, '"1"', 0)
    write = story.put(A, '"2"', 1, outcome=Outcome.UNKNOWN, status=504)
    return {offenders("own write not seen", write, story.read(A, 1.1, at=2, instance=0))}


def session_went_back(story: Story) -> Found:
    mine: dict[str, Any] = {"session": "1.0", "remembers": Remembers.ALL}
    story.put(A, '"1"', 0)
    first, second = story.read(A, 0.1, **mine), story.read(A, 0.2, at=1, **mine)
    return {offenders("session went back", first, second), offenders("version went back", first, second)}


def a_replica_lacks_a_key(story: Story) -> Found:
    story.put(A, '"1"', 0)
    story.put(B, '"2"', 0.1)
    story.follow(0.2, (A, '"1"', 2))
    return {("wrong replica", frozenset())}


def a_replica_misses_a_change(story: Story) -> Found:
    story.put(A, '"1"', 0)
    story.follow(0.1, (A, '"1"', 2))
    story.put(A, '"2"', 0.2)
    story.put(B, '"3"', 0.3)
    story.follow(0.4, (B, '"3"', 4))
    return {("wrong replica", frozenset())}


def a_replica_keeps_what_is_gone(story: Story) -> Found:
    story.put(A, '"1"', 0)
    story.follow(0.1, (A, '"1"', 2))
    story.delete(A, 0.2)
    story.follow(0.3)
    return {("wrong replica", frozenset())}


def a_replica_is_told_a_newer_value(story: Story) -> Found:
    story.put(A, '"1"', 0)
    story.put(A, '"2"', 0.1)
    story.follow(0.2, (A, '"2"', 3), to=2)
    return {("wrong replica", frozenset()), ("told twice", frozenset())}


def told_twice(story: Story) -> Found:
    story.put(A, '"1"', 0)
    story.follow(0.1, (A, '"1"', 2))
    story.put(B, '"2"', 0.2)
    story.follow(0.3, (A, '"1"', 2), (B, '"2"', 3))
    return {("told twice", frozenset())}


def a_dishonest_silence(story: Story) -> Found:
    story.put(A, '"1"', 0)
    story.follow(0.1, (A, '"1"', 2))
    story.put(A, '"2"', 1)
    story.follow(3, to=2, age=0.5)
    return {("dishonest silence", frozenset())}


def a_stream_tells_late(story: Story) -> Found:
    story.put(A, '"1"', 0)
    story.follow(0.1, (A, '"1"', 2), streams=True)
    story.put(A, '"2"', 1)
    for when in (8, 16, 24):
        story.follow(when, to=2, streams=True)
    return {("told late", frozenset())}


def a_client_of_the_library_holds_what_is_gone(story: Story) -> Found:
    story.put(A, '"1"', 0)
    story.follow(0.1, (A, '"1"', 2), library=True)
    story.delete(A, 1)
    story.follow(2, library=True)
    return {("wrong replica", frozenset())}


def a_client_of_the_library_is_too_sure(story: Story) -> Found:
    story.put(A, '"1"', 0)
    story.follow(0.1, (A, '"1"', 2), library=True, note="Fresh")
    story.put(A, '"2"', 1)
    story.follow(15, to=2, library=True, age=9, note="Lost")
    return {("dishonest age", frozenset())}


def a_client_of_the_library_doubts_late(story: Story) -> Found:
    story.put(A, '"1"', 0)
    story.follow(13, (A, '"1"', 2), library=True, age=12.5, note="Fresh")
    return {("late doubt", frozenset())}


def a_client_of_the_library_does_not_recover(story: Story) -> Found:
    story.follow(1, word="listened", library=True, note="Lost")
    return {("no recovery", frozenset())}


def a_listener_misses_a_change(story: Story) -> Found:
    story.follow(1, word="unlike", library=True)
    return {("lost change", frozenset())}


SMALLEST = [
    a_client_of_the_library_holds_what_is_gone, a_client_of_the_library_is_too_sure,
    a_client_of_the_library_doubts_late, a_client_of_the_library_does_not_recover, a_listener_misses_a_change,
    a_replica_lacks_a_key, a_replica_misses_a_change, a_replica_keeps_what_is_gone, a_replica_is_told_a_newer_value,
    told_twice, a_dishonest_silence, a_stream_tells_late,
    lost_value, lost_delete, ghost, from_nowhere, written_twice, deletion_from_nowhere, torn_batch,
    a_batch_ignores_a_condition, an_unknown_batch_ignores_a_condition, a_batch_refused_without_cause,
    a_refused_batch_has_written, a_refused_batch_is_a_read, batch_in_two_revisions, condition_ignored,
    condition_at_another_revision, refused_without_cause, without_a_version, named_wrongly, nonce_twice,
    read_from_nowhere, not_at_its_revision, absent_though_written, unforeseen_status, honest_token_refused,
    uncached_from_the_cache, stale_unasked, a_strict_read_misses_a_write, strict_reads_go_back,
    a_default_read_is_evidence, a_refusal_is_a_read, another_key_went_back, read_before_written,
    a_synchronous_write_not_seen, stale, a_deletion_missed_for_too_long, stale_by_what_another_key_shows,
    a_dishonest_age, staler_than_allowed, token_ignored, own_write_not_read, own_write_not_seen,
    own_unknown_write_not_seen, session_went_back,
]  # fmt: skip


@pytest.mark.parametrize("breaks", SMALLEST, ids=lambda breaks: str(breaks.__name__))
def test_a_broken_promise_is_reported_with_its_offenders(breaks: Callable[[Story], Found]) -> None:
    story = Story()
    expected = breaks(story)
    assert story.found() == expected
    for violation in story.violations():
        assert violation.check in violation.excerpt(story.truth)


def test_every_check_is_broken_by_one_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Left out one at a time, each check is missed by a history above."""
    for left_out in CHECKS:
        rest = tuple(check for check in CHECKS if check is not left_out)
        monkeypatch.setattr("torture.checker.CHECKS", rest)
        stories = [(story := Story(), breaks(story)) for breaks in SMALLEST]
        assert any(story.found() != expected for story, expected in stories), left_out.__name__


# --- what is no violation


def test_a_follower_may_be_told_of_the_last_of_several_changes_at_once() -> None:
    story = Story()
    story.put(A, '"1"', 0)
    story.follow(0.1, (A, '"1"', 2))
    story.put(A, '"2"', 0.2)
    story.put(A, '"3"', 0.3)
    story.batch(0.4, (B, '"4"'), ("t/c", '"5"'))
    story.delete("t/c", 0.5)
    story.follow(0.6, (A, '"3"', 4), (B, '"4"', 5), ("t/c", None, 6))
    assert story.violations() == []


def test_a_snapshot_may_come_in_parts_and_be_begun_anew() -> None:
    story = Story()
    story.put(A, '"1"', 0)
    story.put(B, '"2"', 0.1)
    story.follow(0.2, (A, '"1"', 2), part=True, more=True)
    story.put(A, '"3"', 0.3)
    story.follow(0.4, (A, '"3"', 4), reset="compacted", part=True, more=True)
    story.follow(0.5, (B, '"2"', 3))
    assert story.violations() == []


@pytest.mark.parametrize(("age", "state"), [(13.5, "Stale"), (13.5, "Lost"), (-1, "Lost"), (11.5, "Fresh")])
def test_a_client_of_the_library_may_be_behind_if_it_says_so(age: float, state: str) -> None:
    story = Story()
    story.put(A, '"1"', 0)
    story.follow(0.1, (A, '"1"', 2), library=True)
    story.put(A, '"2"', 1)
    story.follow(14, to=2, library=True, age=age, note=state)
    assert story.violations() == []


@pytest.mark.parametrize("word", ["stale", "lost"])
def test_a_stream_that_has_said_that_it_knows_nothing_may_be_behind(word: str) -> None:
    story = Story()
    story.put(A, '"1"', 0)
    story.follow(0.1, (A, '"1"', 2), streams=True)
    story.put(A, '"2"', 1)
    story.follow(12, to=2, streams=True)
    story.follow(13, word=word, streams=True)
    story.follow(24, to=2, streams=True)
    assert story.violations() == []


def test_nobody_is_told_of_what_is_out_of_scope() -> None:
    story = Story()
    story.put(A, '"1"', 0)
    story.put(B, '"2"', 0.1)
    story.follow(5, (A, '"1"', 2), prefixes=(), keys=(A,))
    assert story.violations() == []


def test_an_unknown_write_may_take_effect_after_its_client_gave_up() -> None:
    story = Story()
    story.put(A, '"1"', 0)
    story.tell(Kind.PUT, A, 1, value='"2"', outcome=Outcome.UNKNOWN)
    story.read(A, 2, **STRICT)
    story.change(3, (A, '"2"'))
    story.read(A, 4, **STRICT)
    assert story.violations() == []


def test_an_instance_that_has_no_answer_yet_may_serve_what_it_holds() -> None:
    """The client has gone; etcd has done it, and the instance will know."""
    story = Story()
    story.put(A, '"1"', 0)
    story.put(A, '"2"', 1, outcome=Outcome.UNKNOWN)
    story.read(A, 1.1, at=2, instance=0)
    assert story.violations() == []


def test_who_deletes_what_somebody_has_deleted_has_written_nothing() -> None:
    story = Story()
    story.put(A, '"1"', 0)
    story.delete(A, 1, instance=1)
    story.delete(A, 1.1, effect=False)
    story.read(A, 1.2, at=2, instance=0)
    assert story.violations() == []


def test_an_unknown_write_may_never_happen() -> None:
    story = Story()
    story.tell(Kind.PUT, A, 1, value='"2"', outcome=Outcome.UNKNOWN)
    story.tell(Kind.DELETE, A, 1, outcome=Outcome.UNKNOWN)
    story.read(A, 9, **STRICT)
    assert story.violations() == []


def test_a_synchronous_delete_of_nothing_is_followed_by_reads_of_nothing() -> None:
    story = Story()
    story.put(B, '"1"', 0)
    story.delete(A, 1, effect=False, level=Level.SYNC)
    story.batch(2, (A, None), (B, '"2"'), level=Level.SYNC)
    story.changes = [change for change in story.changes if change.value is not None]
    story.read(A, 3)
    assert story.violations() == []


def test_operations_at_the_same_time_may_be_seen_in_either_order() -> None:
    story = Story()
    story.put(A, '"1"', 0)
    story.put(A, '"2"', 1)
    story.read(A, 1 + LATENCY / 2, at=2, **STRICT)
    assert story.violations() == []


@st.composite
def kept_promises(draw: st.DrawFn) -> Story:
    """A history of a correct service: each operation has its effect at some moment between its ends, a default read at
    some moment since `BOUND` before its beginning; a write with an unknown outcome at any moment, or never."""
    story, now = Story(), 0.0
    past: list[tuple[float, int]] = [(0.0, story.revision)]
    for serial in range(draw(st.integers(1, 25))):
        now += draw(st.floats(0.0, 0.4))
        key = draw(st.sampled_from((A, B)))
        span: dict[str, Any] = {"invoked": now - draw(st.floats(0.0, 0.5)), "returned": now + draw(st.floats(0.0, 0.5))}
        match draw(st.sampled_from(("put", "unknown", "delete", "strict", "default"))):
            case "put":
                story.put(key, f'"{serial}"', now - LATENCY / 2, **span)
            case "unknown":
                span["returned"] = span["invoked"] + draw(st.floats(0.0, 0.5))
                story.put(key, f'"{serial}"', now, effect=draw(st.booleans()), outcome=Outcome.UNKNOWN, **span)
            case "delete":
                exists = (last := story.truth.at(key, story.revision)) is not None and last.value is not None
                story.delete(key, now - LATENCY / 2, effect=exists, **span)
            case "strict":
                story.read(key, now, **STRICT, **span)
            case _:
                moment = max(span["invoked"] - draw(st.floats(0.0, BOUND)), 0.0)
                at = max(revision for when, revision in past if when <= moment)
                story.read(key, now, at=at, **span)
        past.append((now, story.revision))
    story.changes = [dataclasses.replace(change, seen=change.seen + LATENCY) for change in story.changes]
    return story


@settings(max_examples=300, deadline=None)
@given(kept_promises())
def test_a_correct_service_is_never_accused(story: Story) -> None:
    """Soundness, over histories that a functional model of the promises made."""
    assert story.violations() == []


@settings(max_examples=100, deadline=None)
@given(kept_promises(), st.data())
def test_a_read_that_shows_another_value_is_never_missed(story: Story, data: st.DataObject) -> None:
    shown = [place for place, operation in enumerate(story.history) if operation.kind is Kind.READ and operation.value]
    if shown:
        place = data.draw(st.sampled_from(shown))
        story.history[place] = dataclasses.replace(story.history[place], value='"altered"')
        assert ("wrong value", frozenset({place})) in story.found()


@settings(max_examples=50, deadline=None)
@given(kept_promises())
def test_a_history_survives_its_file(story: Story) -> None:
    assert [Operation.from_json(operation.to_json()) for operation in story.history] == story.history
