"""The loop of a simulation: time leaps, the seed draws the order, and whoever is held or dead does not run."""

from __future__ import annotations

import asyncio
import random
import secrets
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from tenacity import AsyncRetrying

from consistency.instance.state import LocalState
from simulation.loop import Endless, Interrupted, Loop, Stuck
from simulation.owners import OWNER, Owner
from simulation.real import Refused, refused
from simulation.runs import planned, played
from simulation.verdict import judge


def loop(seed: int = 1, *, fifo: bool = False) -> Loop:
    return Loop(Random(seed), fifo=fifo)  # type: ignore[abstract]


def owned(loop: Loop, owner: Owner, work: Callable[[], Coroutine[Any, Any, None]]) -> asyncio.Task[None]:
    """`work` as a task of that owner."""
    context = copy_context()
    context.run(OWNER.set, owner)
    return loop.create_task(work(), context=context)


def order(seed: int, *, fifo: bool = False) -> list[int]:
    """In which order ten tasks run that are ready at once."""
    ran: list[int] = []

    async def one(number: int) -> None:
        await asyncio.sleep(1)
        ran.append(number)

    async def all_of_them() -> None:
        await asyncio.gather(*(one(number) for number in range(10)))

    loop(seed, fifo=fifo).run_until_complete(all_of_them())
    return ran


def test_an_hour_takes_no_time() -> None:
    ours, begun = loop(), time.monotonic()
    ours.run_until_complete(asyncio.wait_for(asyncio.sleep(3600), 4000))
    assert ours.time() == 3600
    assert time.monotonic() < begun + 60


def test_the_seed_draws_the_order_of_what_is_ready() -> None:
    assert order(1) == order(1)
    assert len({tuple(order(seed)) for seed in range(20)}) > 10


def test_timers_due_at_once_come_in_an_order_of_their_own_even_where_callbacks_keep_asyncios() -> None:
    assert order(1, fifo=True) == order(1, fifo=True)
    assert len({tuple(order(seed, fifo=True)) for seed in range(20)}) > 10
    ours, ran = loop(fifo=True), list[int]()

    async def begin() -> None:
        for number in range(10):
            ours.call_soon(ran.append, number)
        await asyncio.sleep(0)

    ours.run_until_complete(begin())
    assert ran == list(range(10))


def test_who_is_held_goes_on_when_released_and_misses_nothing() -> None:
    ours, owner, ran = loop(), Owner("held"), list[float]()

    async def work() -> None:
        for _ in range(3):
            await asyncio.sleep(1)
            ran.append(ours.time())

    async def hold() -> None:
        task = owned(ours, owner, work)
        await asyncio.sleep(1.5)
        ours.hold(owner)
        await asyncio.sleep(10)
        assert ran == [1]
        ours.release(owner)
        await task

    ours.run_until_complete(hold())
    assert ran == [1, 11.5, 12.5]


def test_who_is_killed_at_an_await_does_nothing_after_it() -> None:
    """No `finally` either, now or when the loop is closed: a process that is killed does not tidy up."""
    ours, owner, ran = loop(), Owner("killed"), list[str]()

    async def work() -> None:
        ran.append("begun")
        try:
            await asyncio.sleep(1)
            ran.append("gone on")
        finally:
            ran.append("finally")

    async def kill() -> None:
        owned(ours, owner, work)
        await asyncio.sleep(0.5)
        ours.kill(owner)
        await asyncio.sleep(10)

    ours.run_until_complete(kill())
    assert ran == ["begun"]
    ours.close()
    assert ours.complaints == []


def test_callbacks_without_end_are_an_error() -> None:
    ours = loop()

    async def spin() -> None:
        while True:
            await asyncio.sleep(0)

    with pytest.raises(Endless):
        ours.run_until_complete(spin())


def test_a_wait_for_what_never_comes_is_an_error() -> None:
    ours = loop()

    async def wait() -> None:
        await ours.create_future()

    with pytest.raises(Stuck):
        ours.run_until_complete(wait())


def test_a_failure_that_nobody_looks_at_is_a_complaint() -> None:
    ours = loop()

    async def fail() -> None:
        raise ValueError("unseen")

    async def drop() -> None:
        ours.create_task(fail())
        await asyncio.sleep(1)

    ours.run_until_complete(drop())
    ours.tasks()
    assert ours.complaints == ["Task exception was never retrieved: ValueError: unseen"]


def test_tasks_in_a_set_come_in_the_order_of_their_numbers_and_not_of_their_addresses() -> None:
    ours = loop()

    async def nothing() -> None: ...

    async def numbers() -> list[int]:
        tasks = [ours.create_task(nothing()) for _ in range(8)]
        found = [hash(task) for task in set(tasks)]
        await asyncio.gather(*tasks)
        return found

    found = ours.run_until_complete(numbers())
    assert found == sorted(found, key=lambda number: number % 32)  # as a set of small numbers has them


@pytest.mark.parametrize(
    "ask",
    [
        time.time,
        time.monotonic,
        time.monotonic_ns,
        lambda: time.sleep(0),
        lambda: time.clock_gettime(time.CLOCK_MONOTONIC),
        time.perf_counter,
        socket.socket,
        lambda: threading.Thread(target=print).start(),
        lambda: subprocess.Popen(["true"]),
    ],
    ids=["time", "monotonic", "monotonic_ns", "sleep", "clock_gettime", "perf_counter", "socket", "thread", "process"],
)
def test_what_is_real_is_refused_and_remembered(ask: Callable[[], object]) -> None:
    name = getattr(ask, "__name__", "")
    with refused("seed", lambda: 7.0) as asked, pytest.raises(Refused, match="test_loop asks for"):
        (getattr(time, name) if hasattr(time, name) else ask)()
    assert len(asked) == 1


def test_another_thread_of_the_process_goes_on_as_before() -> None:
    """A loop that somebody else runs there looks at the clock between two steps: refused, it would end."""
    begin, found = threading.Event(), list[object]()

    def look() -> None:
        begin.wait(10)
        for ask in (time.time, time.monotonic, lambda: time.sleep(0), lambda: socket.socket().close()):
            found.append(ask())

    other = threading.Thread(target=look)
    other.start()
    with refused("seed", lambda: 7.0) as asked:
        begin.set()
        other.join(10)
    assert asked == []
    assert len(found) == 4
    assert found[1] != 7.0


@pytest.mark.parametrize("ask", ["run_in_executor", "create_connection", "call_soon_threadsafe", "add_reader"])
def test_a_loop_without_a_machine_has_neither_threads_nor_connections(ask: str) -> None:
    async def attempt() -> None:
        called = getattr(asyncio.get_running_loop(), ask)(None, print)
        if asyncio.iscoroutine(called):
            await called

    with pytest.raises(NotImplementedError):
        loop().run_until_complete(attempt())


def test_chance_comes_from_the_seed_and_is_given_back() -> None:
    def drawn(seed: str) -> tuple[float, str]:
        with refused(seed, lambda: 0.0):
            return random.random(), secrets.token_hex(16)

    before = random.getstate()
    assert drawn("a") == drawn("a") != drawn("b")
    assert random.getstate() == before
    assert len(secrets.token_hex(16)) == 32


def test_tenacity_is_told_the_virtual_time() -> None:
    """It asks for the time at each attempt, and cannot be given a clock."""
    ours = loop()

    async def twice() -> None:
        async for attempt in AsyncRetrying():
            with attempt:
                assert attempt.retry_state.start_time == 0.0

    with refused("seed", ours.time) as asked:
        ours.run_until_complete(twice())
    assert asked == []


class TimeIsOver(BaseException):
    """As pytest's time limits are: no Exception."""


def test_a_time_limit_ends_a_run_as_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """1. An alarm comes while a task of an instance runs; 2. what its handler raises would be the task's end, and the
    run would seem to have broken a promise."""

    def over(*arguments: object) -> None:
        del arguments
        raise TimeIsOver

    before, renewed = signal.signal(signal.SIGALRM, over), LocalState.renewed

    def alarmed(state: LocalState, *arguments: object) -> None:
        signal.raise_signal(signal.SIGALRM)
        renewed(state, *arguments)

    monkeypatch.setattr(LocalState, "renewed", alarmed)
    try:
        with pytest.raises(Interrupted) as ended:
            played(replace(planned(3), asks=(), steps=()))
        assert isinstance(ended.value.__cause__, TimeIsOver)
        assert signal.getsignal(signal.SIGALRM) is over
    finally:
        signal.signal(signal.SIGALRM, before)


def test_a_run_that_comes_to_no_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simulation.loop.IN_ALL", 1000)
    (problem, *_) = judge(played(replace(planned(3), asks=(), steps=())))
    assert problem.claim.startswith("Endless: ")
