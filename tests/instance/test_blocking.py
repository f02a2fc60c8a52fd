"""The blocking facade and the loop that it shares with all others of its process: where threads meet the loop."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import threading
from collections.abc import Callable, Iterator, Sequence

import pytest

from consistency import (
    AsyncDistributedCache,
    CacheOptions,
    DistributedCache,
    MustBeAbsent,
    MustExist,
    OutcomeUnknown,
    Unavailable,
)
from consistency.core.events import ignore
from consistency.loop import LoopThread
from tests.instance.fleet import QUICK, Background
from tests.support.driver import Meanwhile, run
from tests.support.fake_store import FakeStore
from tests.support.gates import At

PATIENT = CacheOptions(staleness_bound=60.0, timeout=60.0)


@pytest.fixture
def loop() -> Iterator[LoopThread]:
    """One of the test's own: nobody else is its user."""
    loop = LoopThread()
    yield loop
    assert loops() == before_all


before_all = 0


@pytest.fixture(autouse=True)
def count() -> None:
    global before_all  # noqa: PLW0603
    before_all = loops()


def loops() -> int:
    return sum(thread.name == "config-loop" for thread in threading.enumerate())


def cache_on(loop: LoopThread, store: FakeStore | None = None, options: CacheOptions = QUICK) -> DistributedCache:
    return DistributedCache(store or FakeStore(), options, loop=loop)


def test_several_caches_share_one_loop_and_the_last_one_ends_it(loop: LoopThread) -> None:
    store = FakeStore()
    first, second = (DistributedCache(store, QUICK, loop=loop, closes_store=False) for _ in range(2))
    assert loops() == before_all  # constructing one starts no thread
    first.start()
    second.start()
    assert loops() == before_all + 1
    first.close()
    assert second.put("a", b"1").revision > 0
    second.close()
    second.close()
    assert loops() == before_all


def test_on_a_thread_that_runs_a_loop_it_names_the_other_class_and_nothing_is_begun_or_closed(loop: LoopThread) -> None:
    """1. close is called there, and refuses; 2. called where it can wait, it closes."""
    cache = cache_on(loop)

    async def try_there() -> None:
        for call in (cache.start, cache.status, lambda: cache.get("a"), lambda: cache.put("a", b"1"), cache.close):
            with pytest.raises(RuntimeError, match="AsyncDistributedCache"):
                call()

    run(try_there())
    assert loops() == before_all
    cache.start()
    run(try_there())
    assert cache.put("a", b"1").revision > 0
    cache.close()


def said_when_forked(loop: LoopThread, calls: Sequence[Callable[[], object]]) -> list[str]:
    """What these calls raise in a child that is forked while another thread holds the loop's lock: in the child nobody
    is left to let it go."""
    context = multiprocessing.get_context("fork")
    said = context.SimpleQueue()

    def child() -> None:
        for call in calls:
            try:
                said.put(f"nothing: {call()}")
            except RuntimeError as error:
                said.put(str(error))

    with loop._lock:
        process = context.Process(target=child)
        process.start()
    process.join(10)
    hangs = process.is_alive()
    process.kill()
    process.join()
    assert not hangs
    return [said.get() for _ in calls]


def test_in_a_process_forked_from_a_users_it_says_so_at_once(loop: LoopThread) -> None:
    cache = cache_on(loop)
    cache.start()
    said = said_when_forked(loop, (cache.status, cache.close, cache_on(loop).start))
    cache.close()
    assert ["forked" in each for each in said] == [True] * 3


def test_in_a_process_forked_after_the_last_user_has_left_it_says_so_at_once(loop: LoopThread) -> None:
    """1. the last user leaves, or is about to; 2. the process is forked; 3. what gRPC had begun is still there in the
    parent, and not in the child, which would wait for answers that never come, or for the lock."""
    cache = cache_on(loop)
    cache.start()
    cache.close()
    said = said_when_forked(loop, (cache.close, cache_on(loop).start, loop.enter))
    assert ["forked" in each for each in said] == [True] * 3
    cache_on(loop).close()  # in the parent another begins, and ends


def test_after_close_it_says_so(loop: LoopThread) -> None:
    cache = cache_on(loop)
    cache.start()
    cache.close()
    for call in (lambda: cache.get("a"), lambda: cache.put("a", b"1"), cache.status):
        with pytest.raises(Unavailable):
            call()


@pytest.mark.parametrize("condition", [None, MustExist()], ids=["in company", "alone"])
def test_a_write_under_way_when_another_thread_closes_is_answered(
    loop: LoopThread, condition: MustExist | None
) -> None:
    """1. it is sent; 2. another thread closes the cache; 3. etcd answers: the close has waited for it."""
    store = FakeStore()
    cache = cache_on(loop, store)
    cache.start()
    cache.put("a", b"0")
    gate = store.hold("commit")
    writer = Background(lambda: cache.put("a", b"1", precondition=condition))
    gate.wait_until_held()
    closer = Background(cache.close)
    assert closer.running
    gate.release()
    closer.result()
    assert writer.result().existed


@pytest.mark.parametrize("condition", [None, MustExist()], ids=["in company", "alone"])
def test_a_write_that_a_close_cuts_short_is_unknown_never_not_done(
    loop: LoopThread, condition: MustExist | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1. it is sent, and done; 2. the cache is closed; 3. etcd has not answered when the time of the close is up."""
    monkeypatch.setattr("consistency.instance.parts.STOP_WITHIN", 0.2)
    store = FakeStore()
    cache = cache_on(loop, store, PATIENT)
    cache.start()
    cache.put("a", b"0")
    gate = store.hold("commit", At.ANSWER)
    writer = Background(lambda: cache.put("a", b"1", precondition=condition))
    gate.wait_until_held()
    cache.close()
    with pytest.raises(OutcomeUnknown):
        writer.result()
    assert store.document("a") == b"1"


def test_a_write_that_waits_for_acknowledgements_when_the_loop_ends_is_unknown_never_not_done(loop: LoopThread) -> None:
    """1. it is committed; 2. the bound is waited out, since a departure may have been missed; 3. the loop ends."""
    store = FakeStore()
    cache = cache_on(loop, store, PATIENT)
    cache.start()
    gate = store.hold("commit", At.ANSWER)
    writer = Background(lambda: cache.put("a", b"1", precondition=MustBeAbsent(), sync=True))
    gate.wait_until_held()
    gate.release()
    cache.close()
    with pytest.raises(OutcomeUnknown, match="closed meanwhile"):
        writer.result()
    assert store.document("a") == b"1"


def test_work_handed_over_while_the_loop_ends_is_answered_one_way_or_the_other(loop: LoopThread) -> None:
    """1. a thread sees that the loop is there; 2. the last user leaves; 3. the thread hands its work over. Many times,
    for the turn of the loop in which it would be forgotten is short."""

    async def work() -> int:
        return 1

    for _ in range(200):
        loop.enter()
        begun = threading.Event()

        def ask(begun: threading.Event = begun) -> int:
            begun.set()
            for _ in range(50):
                try:
                    loop.run(work())
                except Unavailable:
                    return 0
            return 1

        asking = Background(ask)
        begun.wait(5)
        loop.leave()
        assert asking.result() in (0, 1)


def test_a_loop_that_ends_is_joined_before_the_next_one_begins(loop: LoopThread) -> None:
    """1. the last user leaves; 2. another enters; 3. two loops would share gRPC's one queue."""
    ended, let_go = threading.Event(), threading.Event()

    async def lingers() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ended.set()
            let_go.wait(5)  # the loop's thread is at work for a moment longer
            raise

    loop.enter()
    lingering = Background(lambda: loop.run(lingers()))
    while not any(task for task in asyncio.all_tasks(loop._loop)):
        pass
    leaving = Background(loop.leave)
    assert ended.wait(5)
    entering = Background(loop.enter)
    entering._thread.join(0.1)
    counted = loops()
    let_go.set()
    leaving.result()
    entering.result()
    loop.leave()
    with pytest.raises(Unavailable):
        lingering.result()
    assert counted == before_all + 1


def test_a_task_that_will_not_end_does_not_keep_the_last_user(
    loop: LoopThread, monkeypatch: pytest.MonkeyPatch, complaints: list[str]
) -> None:
    """It is dropped with its loop, and asyncio says so."""
    monkeypatch.setattr("consistency.loop.LAST", 0.05)
    leave_while_one_stays(loop)
    gc.collect()
    assert "Task was destroyed" in complaints.pop()


def leave_while_one_stays(loop: LoopThread) -> None:
    """In a frame of its own, with which the last reference to the task goes."""
    stop, begun = asyncio.Event(), threading.Event()

    async def stays() -> None:
        begun.set()
        while not stop.is_set():
            try:
                await stop.wait()
            except asyncio.CancelledError:
                continue

    loop.enter()
    assert loop._loop is not None
    asyncio.run_coroutine_threadsafe(stays(), loop._loop)
    assert begun.wait(5)  # one that has not begun ends as soon as it is cancelled
    Background(loop.leave).result()


def test_who_is_cancelled_in_a_close_leaves_nothing_behind() -> None:
    """1. a close waits for a membership that gives its slot back; 2. its caller goes away; 3. the next one waits on."""
    store = FakeStore()
    cache = AsyncDistributedCache(store, QUICK, observer=ignore)

    async def begin() -> None:
        cache.start()
        while cache.status().slot is None:
            await asyncio.sleep(0.001)

    run(begin())
    gate = store.hold("revoke", At.REQUEST)
    first = Meanwhile(cache.close())
    gate.wait_until_held()
    first.cancel()
    second = Meanwhile(cache.close())
    assert second.running
    gate.release()
    second.result()
    assert run(store.survey(None, timeout=1)).members == ()
