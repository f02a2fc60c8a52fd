"""What stands under the version key is read as it was written; what somebody else put there holds nobody up."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consistency.core.model import VersionRecord, new_nonce
from consistency.core.records import LARGEST_VERSION, QUICK_TO_READ
from tests.support.holds import RUNS, most

LONGEST_KEY = 512
"""Bytes."""

MOST_CHANGES = 100

names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=LONGEST_KEY // 4)


@given(names=st.none() | st.frozensets(names, max_size=5), op=st.text(max_size=20), ack=st.booleans())
def test_a_record_is_read_as_it_was_written(names: frozenset[str] | None, op: str, ack: bool) -> None:
    record = VersionRecord(new_nonce(), names, op, ack)
    assert VersionRecord.decode(record.encode()) == record


@pytest.mark.parametrize("character", ["\x01", '"', "\\", "é", "🎉", ",", "[", "\udcff"])
@pytest.mark.parametrize("ack", [False, True])
def test_the_largest_that_is_written_is_read_as_it_was_written(character: str, ack: bool) -> None:
    """As many changes as there may be, of keys that are as long as they may be, made of what takes most room."""
    length = (LONGEST_KEY - 2) // len(character.encode("utf-8", "surrogateescape"))
    keys = frozenset(f"{number:02}{character * length}" for number in range(MOST_CHANGES))
    record = VersionRecord(new_nonce(), keys, "batch", ack)
    assert len(record.encode()) <= LARGEST_VERSION
    assert VersionRecord.decode(record.encode()) == record


def filled(unit: bytes, size: int, opening: bytes = b'{"nonce": "a", "keys": [', between: bytes = b", ") -> bytes:
    """A record of another tool, made of as many of these as there is room for."""
    return opening + between.join([unit] * (size // (len(unit) + len(between)))) + b'], "op": "put", "ack": false}'


UNITS = {
    "names": b'"a"',
    "empty names": b'""',
    "arrays": b"[]",
    "objects": b'{"":0}',
    "numbers": b"0",
    "escapes": b'"' + b"\\u0061" * 1000 + b'"',
    "one name": b'"' + b"\\n" * 150_000 + b'"',
}
SIZES = {"etcd's most": 1_572_000, "our most": LARGEST_VERSION - 1000, "quick": QUICK_TO_READ - 1000}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("unit", UNITS)
def test_no_record_of_another_tool_holds_the_loop(unit: str, size: str) -> None:
    """Read at once, 1.5 MB of names take 30 ms, of arrays 110."""
    for raw in (
        filled(UNITS[unit], SIZES[size]),
        filled(UNITS[unit], SIZES[size], b'{"nonce":"a","keys":[', b","),
        filled(UNITS[unit], SIZES[size], b'{"nonce": "a", "keys": ["a"], "more": ['),
    ):
        assert least(lambda raw=raw: VersionRecord.decode(raw)) < most()  # type: ignore[misc]


def least(work: Callable[[], object]) -> float:
    """Seconds of the processor's time; what is measured first may be cold."""
    found = []
    for _ in range(RUNS):
        started = time.thread_time()
        work()
        found.append(time.thread_time() - started)
    return min(found)


def test_what_is_larger_than_anything_that_is_written_may_have_changed_everything() -> None:
    """And still it is told from the next one by its first bytes, in which a nonce stands."""
    keys = [f"{number}" for number in range(QUICK_TO_READ)]
    first, second = (json.dumps({"nonce": new_nonce(), "keys": keys, "op": "put"}).encode() for _ in range(2))
    assert VersionRecord.decode(first).names is None
    assert VersionRecord.decode(first).nonce == VersionRecord.decode(first).nonce != VersionRecord.decode(second).nonce


@pytest.mark.parametrize(
    "spoilt",
    [
        lambda text: text.replace('"keys": [', '"keys": [1, '),
        lambda text: text.replace('"keys": [', '"keys": {'),
        lambda text: text.replace('"nonce": ', '"nonce":'),
        lambda text: text[:-1],
        lambda text: text + " x",
        lambda text: text.replace("], ", "]; "),
        lambda text: text.replace("], ", "] "),
    ],
)
def test_a_large_one_that_is_not_quite_ours_may_have_changed_everything(spoilt: Callable[[str], str]) -> None:
    text = VersionRecord("n", frozenset(f"{number:0800}" for number in range(100)), "put").encode().decode()
    assert len(text) > QUICK_TO_READ
    assert VersionRecord.decode(text.encode()).names is not None
    assert VersionRecord.decode(spoilt(text).encode()).names is None
