"""The memory of version events: bounded, and right about what it no longer knows."""

from __future__ import annotations

from consistency.core.known import History, Standing
from consistency.core.model import VersionEvent, VersionState


def state(revision: int) -> VersionState:
    """Events at revisions 10, 20, 30 …"""
    return VersionState(revision, created=1, count=revision // 10, nonce=f"n{revision}")


def event(revision: int, *names: str) -> VersionEvent:
    return VersionEvent(state(revision), frozenset(names))


def history(*events: VersionEvent, remember: int = 1000) -> History:
    made = History(state(10), remember=remember)
    for one in events:
        assert made.follows(one)
        made.append(one)
    return made


def test_a_key_named_twice_counts_at_its_later_revision() -> None:
    """Rule 5."""
    told = history(event(20, "a"), event(30, "a", "b"))
    assert told.named_after("a", 29)
    assert not told.named_after("a", 30)
    assert not told.named_after("c", 10)


def test_what_is_older_than_the_memory_counts_as_named() -> None:
    """Rule 5: nothing is cached on the strength of what is no longer known."""
    told = history(event(20, "a"), event(30, "b"), event(40, "c"), remember=4)
    assert told.named_after("z", 19)
    assert told.named_after("a", 19)
    assert not told.named_after("z", 30)


def test_forgetting_an_event_keeps_a_later_one_of_the_same_key() -> None:
    told = history(event(20, "a"), event(30, "a"), event(40, "c"), remember=4)
    assert told.named_after("a", 25)
    assert not told.named_after("a", 30)


def test_the_memory_is_bounded_by_names_but_keeps_the_last_event() -> None:
    told = history(event(20, *"abcdefgh"), event(30, *"ijklmnop"), remember=4)
    assert told.applied == state(30)
    assert told.standing(state(10), header=11) is Standing.FORGOTTEN
    assert told.standing(state(20), header=21) is Standing.OURS


def test_a_state_stands_to_the_history_as_it_was_applied() -> None:
    """Rules 4 and 8."""
    told = history(event(20, "a"), event(30, "b"))
    assert told.standing(state(30), header=35) is Standing.OURS
    assert told.standing(state(20), header=29) is Standing.OURS
    assert told.standing(state(20), header=30) is Standing.FOREIGN
    assert told.standing(state(40), header=40) is Standing.AHEAD
    assert told.standing(VersionState(20, 1, 2, "x"), header=29) is Standing.FOREIGN
    assert told.standing(VersionState(25, 1, 2, "x"), header=29) is Standing.FOREIGN
    assert told.standing(state(0), header=9) is Standing.FORGOTTEN


def test_the_memory_is_bounded_by_what_its_names_take() -> None:
    """A batch of long names, beyond Latin-1: each takes the place of many short ones."""
    long = [f"{number}{'🎉' * 125}" for number in range(4)]
    told = history(event(20, "a"), event(30, *long[:2]), event(40, *long[2:]), remember=16)
    assert told.named_after("z", 29)
    assert not told.named_after("z", 30)
