"""What a crowd costs: transactions are counted, not seconds. Sixty-four callers come again and again, as they wake."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import pytest

from consistency import AsyncDistributedCache
from consistency.core.options import CacheOptions
from consistency.instance.writes import MOST_PUTS
from tests.support.driver import run, until
from tests.support.fake_store import FakeStore

CALLERS = 64
ROUNDS = 10


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@pytest.fixture
def cache(store: FakeStore) -> Iterator[AsyncDistributedCache]:
    """One instance that proves by itself so seldom that it does not count."""
    cache = AsyncDistributedCache(store, CacheOptions(staleness_bound=60.0, audit_interval=60.0))
    run(begin(cache))
    assert until(lambda: cache.status().fresh and cache.status().watch_up)
    yield cache
    run(cache.close())


async def begin(cache: AsyncDistributedCache) -> None:
    cache.start()


async def crowd(call: Callable[[int], Awaitable[object]]) -> None:
    async def come_again(caller: int) -> None:
        for _ in range(ROUNDS):
            await call(caller)

    await asyncio.gather(*map(come_again, range(CALLERS)))


@pytest.mark.parametrize("keys", [1, CALLERS])
@pytest.mark.parametrize("how", ["linearizable", "uncached"])
def test_a_round_of_readers_costs_one_transaction(
    store: FakeStore, cache: AsyncDistributedCache, keys: int, how: str
) -> None:
    """Rules 4 and 11: also those who come in the same turn of the loop in which the first of them takes a lane."""

    def read(caller: int) -> Awaitable[object]:
        return cache.get(f"k{caller % keys}", how != "uncached", linearizable=how == "linearizable")

    for key in range(keys):
        run(cache.get(f"k{key}"))
    before = store.calls["read"]
    run(crowd(read))
    assert store.calls["read"] - before == ROUNDS


def test_a_round_of_writers_costs_as_few_transactions_as_can_hold_them(
    store: FakeStore, cache: AsyncDistributedCache
) -> None:
    """Rule 1: not a full one and a small one in turn, as when the lane goes to the few who found no room."""
    before = store.calls["commit"]
    run(crowd(lambda caller: cache.put(f"k{caller}", b"1")))
    assert store.calls["commit"] - before <= -(-CALLERS * ROUNDS // MOST_PUTS) + 1
