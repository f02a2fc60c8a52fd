"""The near cache keeps its bounds, evicts the least recently used, and counts tombstones as entries."""

from __future__ import annotations

import gc
import time
import tracemalloc
from collections.abc import Callable
from sys import getrefcount, getsizeof

import pytest

from consistency.core.known import ENTRY_OVERHEAD, LET_GO, VALUE_OVERHEAD, Entry, NearCache
from tests.support.holds import most

EACH = ENTRY_OVERHEAD + getsizeof("") + VALUE_OVERHEAD + getsizeof(b"")


def entry(value: bytes | None = b"1", at: int = 5) -> Entry:
    return Entry(value, mod_revision=3, validated_at=at, loaded_at=0.0)


def test_the_least_recently_used_entry_is_evicted_at_the_bound_of_entries() -> None:
    cache = NearCache(max_entries=2, max_bytes=1 << 20)
    cache.store("a", entry())
    cache.store("b", entry())
    cache.get("a")
    assert cache.store("c", entry()) == 1
    assert sorted(cache) == ["a", "c"]


def test_entries_are_evicted_until_the_bytes_fit() -> None:
    cache = NearCache(max_entries=100, max_bytes=4 * (EACH + 101))
    for name in "abcd":
        cache.store(name, entry(b"x" * 100))
    assert cache.store("e", entry(b"x" * 300)) == 2
    assert cache.bytes <= 4 * (EACH + 101)


def test_a_value_larger_than_the_whole_bound_is_not_kept_and_evicts_nothing() -> None:
    cache = NearCache(max_entries=100, max_bytes=2000)
    cache.store("a", entry())
    assert cache.store("b", entry(b"x" * 3000)) == 0
    assert list(cache) == ["a"]


def test_a_key_whose_new_value_is_too_large_loses_its_old_one() -> None:
    cache = NearCache(max_entries=100, max_bytes=2000)
    cache.store("a", entry())
    cache.store("a", entry(b"x" * 3000))
    assert (len(cache), cache.bytes) == (0, 0)


def test_bytes_return_to_nothing() -> None:
    cache = NearCache(max_entries=100, max_bytes=1 << 20)
    cache.store("a", entry(b"x" * 50))
    cache.store("a", entry(None))
    cache.store("b", entry(b"y"))
    cache.invalidate("b", 9)
    cache.drop("a")
    assert cache.bytes == EACH + 2
    assert cache.clear() == 1
    assert cache.bytes == 0


def test_an_entry_is_invalidated_only_by_what_happened_after_its_validation() -> None:
    """Rule 2."""
    cache = NearCache(max_entries=100, max_bytes=1 << 20)
    cache.store("a", entry(at=5))
    assert not cache.invalidate("a", 5)
    assert cache.invalidate("a", 6)
    assert not cache.invalidate("a", 7), "it is stale already"
    held = cache.get("a")
    assert held is not None
    assert held.stale
    assert held.value == b"1", "kept for the next load to validate"


def test_a_tombstone_is_an_entry() -> None:
    """Rule 5: absence is cached like a value."""
    cache = NearCache(max_entries=1, max_bytes=1 << 20)
    cache.store("a", entry(None))
    assert cache.get("a") == entry(None)
    assert cache.store("b", entry(None)) == 1


@pytest.mark.lasting
@pytest.mark.parametrize("size", [None, 20, 100, 1000])
def test_the_bytes_counted_are_those_that_entries_occupy(size: int | None) -> None:
    """Within a fifth: the bound is there so that an operator can rely on it. None: tombstones."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        cache = NearCache(max_entries=100_000, max_bytes=1 << 30)
        for number in range(100_000):
            value = None if size is None else b"%0*d" % (size, number)
            revision = 10_000_000 + number
            written = revision if value else 0
            cache.store(f"team/service-{number:08}", Entry(value, written, revision + 5_000_000, number / 10))
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(cache) == 100_000
    assert (after - before) / cache.bytes == pytest.approx(1.0, abs=0.2)


@pytest.mark.parametrize("key", ["é" * 200, "日" * 160, "🎉" * 120])
def test_keys_are_counted_as_they_are_resident(key: str) -> None:
    """One character beyond Latin-1 makes all of a key two or four times as large. Within a fifth, as above."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        cache = NearCache(max_entries=100_000, max_bytes=1 << 30)
        for number in range(20_000):
            cache.store(f"{key}{number}", Entry(None, 0, 10_000_000 + number, number / 10))
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (after - before) / cache.bytes == pytest.approx(1.0, abs=0.2)


def filled(count: int, value: bytes | None = b"1") -> NearCache:
    cache = NearCache(max_entries=count, max_bytes=1 << 30)
    for number in range(count):
        cache.store(f"key/{number}", Entry(value, number + 1000, number + 5000, number / 10))
    return cache


def seconds(work: Callable[[], object]) -> float:
    """Of the processor's time."""
    started = time.thread_time()
    work()
    return time.thread_time() - started


def test_forgetting_100_000_entries_holds_nobody() -> None:
    """In one go it takes 8 ms and more."""
    assert min(seconds(filled(100_000).clear) for _ in range(3)) < most()


def test_what_was_forgotten_is_given_back_as_others_take_its_place() -> None:
    """Some with each, and the more the larger that is: what it takes is never more than the bound."""
    value = b"x" * 1000
    before = getrefcount(value)
    cache = filled(10 * LET_GO, value)
    assert cache.clear() == 10 * LET_GO
    assert len(cache) == cache.bytes == 0
    cache.store("a", entry())
    assert getrefcount(value) - before == 9 * LET_GO
    assert cache.clear() == 1
    cache.store("b", entry(b"x" * 3 * LET_GO * 1400))
    assert getrefcount(value) - before < 7 * LET_GO
    for number in range(10):
        cache.store(f"c{number}", entry())
    assert getrefcount(value) == before
    assert len(cache) == 11


@pytest.mark.lasting
def test_entries_are_nothing_that_the_collector_of_cycles_looks_at() -> None:
    """With 100,000 of them it would hold the loop for 25 ms, each time that it looks at all there is."""
    gc.collect()
    before = len(gc.get_objects())
    cache = filled(10_000)
    gc.collect()
    assert len(gc.get_objects()) - before < 100
    assert len(cache) == 10_000
