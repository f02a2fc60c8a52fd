"""`DistributedCache` as a library: each call used wrongly, by many threads, before the start and after the end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from consistency import (
    AsyncDistributedCache,
    DistributedCache,
    MustExist,
    Source,
    Unavailable,
)
from consistency.core.store import Delete, Put
from consistency.loop import LoopThread
from tests.instance.fleet import QUICK, Background, await_status
from tests.support.fake_store import FakeStore
from tests.support.gates import At

Call = Callable[[DistributedCache], object]

CALLS: dict[str, Call] = {
    "get": lambda cache: cache.get("k"),
    "get, uncached": lambda cache: cache.get("k", use_cache=False),
    "get_at": lambda cache: cache.get_at("k", 1),
    "put": lambda cache: cache.put("k", b"1"),
    "put, alone": lambda cache: cache.put("k", b"1", precondition=MustExist()),
    "delete": lambda cache: cache.delete("k"),
    "apply": lambda cache: cache.apply((Put("k", b"1"), Delete("l"))),
    "page": lambda cache: cache.page("", after="", limit=1),
    "status": lambda cache: cache.status(),
}


@pytest.fixture
def loop() -> LoopThread:
    """Of the test's own, so that its last user can be seen to leave."""
    return LoopThread()


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@pytest.fixture
def cache(store: FakeStore, loop: LoopThread) -> Iterator[DistributedCache]:
    """Started, joined, and with a value in memory."""
    cache = DistributedCache(store, QUICK, loop=loop)
    cache.start()
    await_status(cache, lambda status: status.fresh and status.watch_up)
    cache.put("k", b"0")
    cache.get("k")
    assert cache.get("k").source is Source.HIT
    yield cache
    cache.close()


def of_loop(loop: LoopThread) -> list[str]:
    """Its threads, by name."""
    return [thread.name for thread in threading.enumerate() if thread.name == "config-loop" and thread is loop._thread]


@pytest.mark.parametrize("name", CALLS)
def test_on_a_thread_that_runs_a_loop_every_call_names_the_other_class(cache: DistributedCache, name: str) -> None:
    """Also one that memory could answer: it must not depend on what is in there."""

    async def inside() -> None:
        with pytest.raises(RuntimeError, match="use AsyncDistributedCache there"):
            CALLS[name](cache)

    asyncio.run(inside())


@pytest.mark.parametrize("name", CALLS)
def test_before_the_start_it_answers_uncached(store: FakeStore, loop: LoopThread, name: str) -> None:
    cache = DistributedCache(store, QUICK, loop=loop)
    assert of_loop(loop) == []
    assert cache.hit("k") is None
    cache.put("k", b"0")
    CALLS[name](cache)
    assert cache.get("k").source is Source.BYPASS
    cache.close()
    assert of_loop(loop) == []


def test_one_that_was_never_used_is_closed_like_any_other(store: FakeStore, loop: LoopThread) -> None:
    DistributedCache(store, QUICK, loop=loop).close()
    assert of_loop(loop) == []


def test_it_starts_once(cache: DistributedCache) -> None:
    """A second set of tasks would hold a second slot, and nobody would end the first."""
    with pytest.raises(RuntimeError, match="was started before"):
        cache.start()
    assert cache.status().fresh


@pytest.mark.parametrize("shared", [False, True], ids=["the last one", "beside another"])
@pytest.mark.parametrize("name", ["start", *CALLS])
def test_once_closed_every_call_says_so(
    store: FakeStore, cache: DistributedCache, loop: LoopThread, name: str, shared: bool
) -> None:
    """Whether others still run on the loop, and use the store, or not."""
    other = DistributedCache(store, QUICK, loop=loop, closes_store=False)
    if shared:
        other.status()
    cache.close()
    call = CALLS.get(name, DistributedCache.start)
    with pytest.raises(Unavailable, match="the cache is closed"):
        call(cache)
    assert cache.hit("k") is None
    other.close()


def test_it_may_be_closed_twice_and_by_two_at_once(store: FakeStore, cache: DistributedCache, loop: LoopThread) -> None:
    """Each returns when it is closed, and not before."""
    gate = store.hold("revoke")
    first = Background(cache.close)
    gate.wait_until_held()
    second = Background(cache.close)
    assert first.running
    assert second.running
    gate.release()
    first.result()
    second.result()
    assert of_loop(loop) == []
    cache.close()


def test_many_threads_use_it_at_once(cache: DistributedCache) -> None:
    def work(number: int) -> bytes | None:
        for turn in range(50):
            cache.put(f"k{number}", b"%d" % turn)
            assert cache.get(f"k{number}").value == b"%d" % turn
        return cache.get(f"k{number}", use_cache=False).value

    workers = [Background(lambda number=number: work(number)) for number in range(16)]  # type: ignore[misc]
    assert {worker.result() for worker in workers} == {b"49"}


@pytest.mark.parametrize("name", ["get, uncached", "page", "get_at"])
def test_a_read_that_waits_when_it_is_closed_ends(
    store: FakeStore, cache: DistributedCache, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("consistency.instance.parts.STOP_WITHIN", 0.2)
    gate = store.hold({"page": "page", "get_at": "past"}.get(name, "read"))
    inside = Background(lambda: CALLS[name](cache))
    gate.wait_until_held()
    cache.close()
    with pytest.raises(Unavailable):
        inside.result()


def test_a_client_of_the_loop_that_goes_away_gives_up_its_wait_and_not_its_write(store: FakeStore) -> None:
    """Rule 1: what was sent is seen through, and decides what our own entries are worth."""
    writes: list[Callable[[AsyncDistributedCache], Coroutine[Any, Any, object]]] = [
        lambda cache: cache.put("k", b"1"),
        lambda cache: cache.put("k", b"2", precondition=MustExist()),
        lambda cache: cache.put("k", b"3", sync=True),
        lambda cache: cache.delete("k"),
        lambda cache: cache.apply((Put("k", b"4"),)),
    ]

    async def live() -> list[bytes | None]:
        seen: list[bytes | None] = []
        async with AsyncDistributedCache(store, QUICK) as cache:
            await cache.put("k", b"0")
            for write in writes:
                gate = store.hold("commit", At.REQUEST)
                writing = asyncio.create_task(write(cache))
                while not gate._held:
                    await asyncio.sleep(0)
                writing.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await writing
                gate.release()
                while cache._parts.errands._tasks:
                    await asyncio.sleep(0)
                seen.append((await cache.get("k")).value)
        return seen

    assert asyncio.run(live()) == [b"1", b"2", b"3", None, b"4"]
