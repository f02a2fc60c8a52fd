"""What etcd tells of a fleet, held against what is promised: who has gone, and what was written past the service."""

from __future__ import annotations

import json
from collections.abc import Iterable

import pytest

from consistency.core.model import VersionRecord
from consistency.etcd.transactions import Layout
from simulation.comings import Comings
from simulation.etcd.mvcc import Kv
from simulation.etcd.records import Committed
from simulation.untold import Untold

LAYOUT = Layout("p")
FIRST, OTHER = 0xA, 0xB
"""Leases."""

Changes = Iterable[tuple[bytes, bytes | None, int]]


def history(*transactions: Changes) -> list[Committed]:
    """One transaction a second: keys, their values (None: deleted), and their leases."""
    return [
        Committed(
            0,
            at,
            float(at),
            tuple(Kv(key, value or b"", at, at, value is not None, lease) for key, value, lease in changes),
        )
        for at, changes in enumerate(transactions, start=1)
    ]


def joins(lease: int, slot: int = 3) -> Changes:
    return [(LAYOUT.member(slot), b"{}.", lease)]


def goes(slot: int = 3) -> Changes:
    return [(LAYOUT.member(slot), None, 0)]


def record(lease: int, how: str, **more: object) -> Changes:
    told = {"slot": 3, "how": how, "at": 1, "description": json.dumps({"boot": "i"})} | more
    return [(LAYOUT.departure(lease), json.dumps(told).encode(), 99)]


def forgets(lease: int) -> Changes:
    return [(LAYOUT.departure(lease), None, 0)]


@pytest.mark.parametrize(
    ("transactions", "stopped", "wrong"),
    [
        ([joins(FIRST), record(FIRST, "left"), goes()], {"i": 1.5}, ""),
        ([joins(FIRST), record(FIRST, "left"), goes()], {"i": 2.5}, "nobody has stopped it"),
        ([joins(FIRST), record(FIRST, "left"), goes()], {}, "nobody has stopped it"),
        ([joins(FIRST), goes(), record(FIRST, "lost")], {}, ""),
        ([joins(FIRST), record(FIRST, "lost")], {}, "holds a key"),
        ([joins(OTHER), record(FIRST, "lost")], {}, "was never there"),
        ([joins(FIRST), goes(), record(FIRST, "lost"), forgets(FIRST)], {}, "has gone, too"),
        ([joins(FIRST), joins(FIRST, 4)], {}, "holds p/members/04 and p/members/03"),
        ([joins(FIRST), goes(), joins(FIRST, 4)], {}, ""),
        ([[(LAYOUT.wait(FIRST), b"{}.", FIRST)], [*joins(FIRST), (LAYOUT.wait(FIRST), None, 0)]], {}, ""),
    ],
)
def test_who_has_gone_is_written_down_as_it_was(
    transactions: list[Changes], stopped: dict[str, float], wrong: str
) -> None:
    found = [*Comings(LAYOUT, stopped).through(history(*transactions))]
    assert [each for each in found if wrong not in each or not wrong] == []
    assert len(found) == bool(wrong)


def test_when_all_have_ended_in_order_nobody_holds_anything_and_all_are_written_down() -> None:
    comings = Comings(LAYOUT, {"i": 0.0})
    assert [*comings.through(history(joins(FIRST), joins(OTHER, 4), record(OTHER, "left"), goes(4)))] == []
    held, missing = comings.at_the_end((FIRST, OTHER))
    assert held == "p/members/03 is held, and everybody has ended in order"
    assert missing == "the holder of lease a has ended in order, and that is not written down"


def put(value: bytes | None = b"1") -> Changes:
    return [(LAYOUT.document("d"), value, 0)]


def version(*names: str, anything: bool = False) -> Changes:
    record = VersionRecord("00" * 16, None if anything else frozenset(names), "audit")
    return [(LAYOUT.version, record.encode(), 0)]


LOOK: dict[str, object] = {"look": {}}


@pytest.mark.parametrize(
    ("transactions", "untold"),
    [
        ([put()], True),
        ([put(), version("d")], False),
        ([put(), version("e")], True),
        ([put(), version(anything=True)], False),
        ([version("d"), put()], True),
        ([[*put(), *version("d")]], False),
        ([put(), version("d"), put(None)], True),
        ([[*put(), *version("d")], put(None)], True),
        ([put(), put(None)], False),
        ([put(), version("d"), put(b"2"), put(None)], True),
        ([put(), joins(FIRST)], False),
        ([joins(OTHER, 4), put(), joins(FIRST)], True),
        ([record(OTHER, "left", **LOOK), put(), joins(FIRST)], True),
        ([record(OTHER, "left"), put(), joins(FIRST)], False),
        ([joins(FIRST), goes(), put(), joins(OTHER)], False),
    ],
)
def test_what_was_written_past_the_service_has_to_be_told(transactions: list[Changes], untold: bool) -> None:
    assert bool([*Untold(LAYOUT).through(history(*transactions)).problems()]) is untold
