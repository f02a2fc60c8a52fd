"""Which keys are held, and what ends a hold (rules 16, 17); and how an intent is told in a version."""

from __future__ import annotations

import json

import pytest

from consistency.core.holds import EVERYTHING, MOST_KEYS, Holds, Intent
from consistency.core.known import weight
from consistency.core.records import QUICK_TO_READ, VersionEvent, VersionRecord
from consistency.core.versions import VersionState

A, B = Intent("a", frozenset({"k", "l"})), Intent("b", frozenset({"k"}))


@pytest.fixture
def holds() -> Holds:
    """Of two writers."""
    made = Holds()
    made.begin((A,), 10)
    made.begin((B,), 11)
    return made


def test_where_nothing_is_held_there_is_nothing_to_look_into() -> None:
    holds = Holds()
    assert holds.keys is None
    assert "k" not in holds


def test_each_writer_holds_by_itself(holds: Holds) -> None:
    holds.release("a")
    assert ("k" in holds, "l" in holds) == (True, False)
    holds.release("b")
    assert holds.keys is None


def test_a_release_of_what_is_not_held_is_nothing(holds: Holds) -> None:
    holds.release("c")
    assert set(holds.nonces) == {"a", "b"}


def test_a_hold_ends_where_etcd_shows_no_such_intent(holds: Holds) -> None:
    holds.shown({"b"}, 12)
    assert ("k" in holds, "l" in holds) == (True, False)
    holds.shown((), 12)
    assert holds.keys is None


def test_what_was_read_before_the_intent_says_nothing_of_it(holds: Holds) -> None:
    holds.shown((), 10)
    assert set(holds.nonces) == {"b"}, "the other was there at 11"


def test_an_intent_without_keys_holds_every_key(holds: Holds) -> None:
    holds.begin((Intent("c", None),), 12)
    assert "anything" in holds
    holds.release("c")
    assert "anything" not in holds
    assert "k" in holds


def test_more_than_is_remembered_holds_every_key() -> None:
    holds = Holds()
    holds.begin((Intent("c", frozenset(map(str, range(MOST_KEYS)))),), 1)
    assert "anything" not in holds
    holds.begin((Intent("d", frozenset({"one more"})),), 2)
    assert holds.keys is EVERYTHING


def test_who_starts_over_holds_what_it_has_found(holds: Holds) -> None:
    holds.start_over((Intent("c", frozenset({"m"})),), 20)
    assert ("k" in holds, "m" in holds) == (False, True)


@pytest.mark.parametrize("keys", [frozenset({"k", "l"}), frozenset[str](), None])
def test_an_intent_is_read_as_it_was_written(keys: frozenset[str] | None) -> None:
    record = VersionRecord("n", frozenset(), "intent", ack=True, intent=Intent("i", keys))
    assert VersionRecord.decode(record.encode()) == record


def test_so_is_a_release() -> None:
    record = VersionRecord("n", frozenset({"k"}), "put", kept=True, release="i")
    assert VersionRecord.decode(record.encode()) == record


def test_so_is_the_largest() -> None:
    """100 keys of 512 characters, each of which JSON has to escape."""
    keys = frozenset(f"{number:03}" + "\u4e2d" * 170 for number in range(100))
    record = VersionRecord("n", frozenset(), "intent", ack=True, intent=Intent("i", keys))
    assert len(record.encode()) > QUICK_TO_READ
    assert VersionRecord.decode(record.encode()) == record


@pytest.mark.parametrize("spoilt", [{"hold": 1}, {"hold": [1]}, {"intent": 1}, {"release": 1}])
def test_one_that_was_put_by_hand_may_have_changed_everything(spoilt: dict[str, object]) -> None:
    told = {"nonce": "n", "keys": [], "hold": ["k"], "intent": "i", "op": "intent"} | spoilt
    assert VersionRecord.decode(json.dumps(told).encode()).names is None


def test_what_an_intent_names_is_counted_where_it_is_remembered() -> None:
    state = VersionState(5, 1, 5, "n")
    assert weight(VersionEvent(state, frozenset(), intent=A)) == weight(VersionEvent(state, A.keys)) == 3
    assert weight(VersionEvent(state, frozenset(), intent=Intent("c", None))) == 1
