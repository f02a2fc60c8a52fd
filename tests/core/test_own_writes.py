"""`OwnWrites`: what was asked for before a write made here is told from what was asked for after."""

from __future__ import annotations

from consistency.core.known import OwnWrites


def test_what_was_asked_for_before_a_write_was_over_may_lack_it_and_what_came_after_does_not() -> None:
    writes = OwnWrites()
    before = writes.over
    writes.note(("a", "b"), 7)
    assert writes.since(before, "a")
    assert writes.since(before, "b")
    assert not writes.since(before, "c")
    assert not writes.since(writes.over, "a")


def test_an_answer_that_is_as_of_the_write_has_it() -> None:
    writes = OwnWrites()
    writes.note(("a",), 7)
    assert writes.since(0, "a", 6)
    assert not writes.since(0, "a", 7)


def test_of_several_writes_of_a_key_the_last_counts() -> None:
    writes = OwnWrites()
    writes.note(("a",), 7)
    between = writes.over
    writes.note(("a",), 9)
    assert writes.since(between, "a", 8)
    assert not writes.since(0, "a", 9)


def test_what_was_asked_for_before_a_write_that_is_forgotten_may_lack_anything() -> None:
    """The memory is bounded: beyond it nothing is kept that might have been."""
    writes = OwnWrites(remember=2)
    writes.note(("a",), 7)
    between = writes.over
    writes.note(("b", "c"), 8)
    assert writes.since(0, "other")
    assert writes.since(0, "a", 100)
    assert not writes.since(between, "other")
    assert not writes.since(between, "a")
    assert writes.since(between, "b")
