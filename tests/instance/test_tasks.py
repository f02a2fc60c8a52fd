"""Tasks and their owners: a failure is seen and started over, what was sent is seen through, an end is an end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from consistency import tasks
from consistency.core.events import Event, WorkerFailed
from consistency.core.store import OutcomeUnknown, Unavailable
from consistency.tasks import NOBODY, Broadcast, Errands, Worker
from tests.support.driver import Meanwhile, loop, run, settle, until

LOST = OutcomeUnknown("cut short")


@pytest.fixture
def told() -> list[Event]:
    return []


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that failed starts over without a pause."""
    monkeypatch.setattr(tasks, "RESTART_PAUSE", 0.0)


def started(work: Callable[[Worker], Awaitable[None]], told: list[Event]) -> Worker:
    worker = Worker("prover", work, told.append)
    loop().call_soon(worker.start)
    settle()
    return worker


async def cancelled_by_nobody() -> None:
    """What comes to whoever awaits a call of gRPC when its channel is closed."""
    call = asyncio.get_running_loop().create_future()
    call.cancel()
    await call


class TestWorkers:
    @pytest.mark.parametrize(
        "how", [MemoryError("no more"), None], ids=["an error", "a cancellation of something else"]
    )
    def test_one_that_fails_is_seen_and_started_over(self, told: list[Event], how: Exception | None) -> None:
        runs = 0

        async def work(worker: Worker) -> None:
            nonlocal runs
            runs += 1
            if runs == 1:
                if how is not None:
                    raise how
                await cancelled_by_nobody()
            await worker.pause(60)

        worker = started(work, told)
        assert until(lambda: runs == 2, 2)
        assert told == [WorkerFailed("prover", "MemoryError: no more" if how else NOBODY)]
        worker.cancel()
        assert run(worker.ended(1))

    def test_one_that_is_told_to_end_gives_back_first_and_is_waited_for(self, told: list[Event]) -> None:
        given_back = []

        async def work(worker: Worker) -> None:
            try:
                await worker.pause(60)
            finally:
                await asyncio.sleep(0.01)
                given_back.append(True)

        worker = started(work, told)
        worker.cancel()
        assert run(worker.ended(1))
        assert given_back == [True]
        assert told == []

    @pytest.mark.parametrize("goes_on", [False, True], ids=["and returns", "and pauses"])
    def test_one_that_swallows_its_cancellation_ends_all_the_same(self, told: list[Event], goes_on: bool) -> None:
        runs = 0

        async def work(worker: Worker) -> None:
            nonlocal runs
            runs += 1
            try:
                await worker.pause(60)
            except asyncio.CancelledError:
                if goes_on:
                    await worker.pause(60)

        worker = started(work, told)
        worker.cancel()
        assert run(worker.ended(1))
        assert (runs, told) == (1, [])

    def test_one_that_does_not_end_is_told_of(self, told: list[Event]) -> None:
        """By its owner, within the time that this has; nobody waits for ever."""
        let_go = asyncio.Event()

        async def work(_: Worker) -> None:
            while not let_go.is_set():
                try:
                    await let_go.wait()
                except asyncio.CancelledError:
                    continue

        worker = started(work, told)
        worker.cancel()
        assert not run(worker.ended(0.01))
        let_go.set()
        assert run(worker.ended(1))

    def test_one_that_is_cancelled_before_it_begins_never_runs(self, told: list[Event]) -> None:
        """1. A cache is closed; 2. it is started."""

        async def work(_: Worker) -> None:
            raise AssertionError

        worker = Worker("prover", work, told.append)
        worker.cancel()
        loop().call_soon(worker.start)
        settle()
        assert run(worker.ended(1))
        assert told == []

    def test_an_observer_that_fails_as_well_ends_no_worker(self) -> None:
        runs, unheard = 0, []

        async def work(worker: Worker) -> None:
            nonlocal runs
            runs += 1
            if runs == 1:
                raise MemoryError("no more")
            await worker.pause(60)

        def full(_: Event) -> None:
            raise OSError("the disk is full")

        loop().set_exception_handler(lambda _, context: unheard.append(context))
        try:
            worker = Worker("prover", work, full)
            loop().call_soon(worker.start)
            assert until(lambda: runs == 2, 2)
        finally:
            loop().set_exception_handler(None)
            worker.cancel()
        assert run(worker.ended(1))
        assert ["no more" in context["message"] for context in unheard] == [True]


class TestErrands:
    def test_what_was_begun_goes_on_when_who_asked_has_gone(self, told: list[Event]) -> None:
        errands, let_go, done = Errands(told.append), asyncio.Event(), []

        async def work() -> None:
            await let_go.wait()
            done.append(True)

        asks = Meanwhile(errands.see_through(work(), "write", lost=LOST))
        asks.cancel()
        let_go.set()
        assert run(errands.stop(1))
        assert done == [True]
        with pytest.raises(asyncio.CancelledError):
            asks.result()

    def test_an_end_waits_for_what_they_lead_to(self, told: list[Event]) -> None:
        """1. A group is under way, another waits for its lane; 2. the end begins; 3. the second one goes."""
        errands, let_go, done = Errands(told.append), asyncio.Event(), []

        async def second() -> None:
            await asyncio.sleep(0.01)
            done.append(2)

        async def first() -> None:
            await let_go.wait()
            done.append(1)
            errands.start(second(), "group-commit")

        Meanwhile(errands.see_through(first(), "group-commit", lost=LOST))
        ending = Meanwhile(errands.stop(1))
        assert ending.running
        let_go.set()
        assert ending.result()
        assert done == [1, 2]

    def test_who_waits_for_what_an_end_cuts_short_is_told_that_nobody_knows(self, told: list[Event]) -> None:
        """It is not who was cancelled: to let that be seen would be to say nothing of a write that was sent."""
        errands = Errands(told.append)
        asks = Meanwhile(errands.see_through(asyncio.sleep(60), "write", lost=LOST))
        assert run(errands.stop(0.01))
        with pytest.raises(OutcomeUnknown, match="cut short"):
            asks.result()
        assert told == []

    def test_one_that_somebody_else_cancels_is_told_of(self, told: list[Event]) -> None:
        errands = Errands(told.append)
        asks = Meanwhile(errands.see_through(cancelled_by_nobody(), "write", lost=LOST))
        with pytest.raises(OutcomeUnknown):
            asks.result()
        assert told == [WorkerFailed("write", NOBODY)]

    def test_one_that_nobody_needs_any_more_is_let_go_without_a_word(self, told: list[Event]) -> None:
        """As the look after a client that has its answer; whether it has ended just before or not."""
        errands = Errands(told.append)

        async def let_go() -> None:
            looks, ended = errands.start(asyncio.sleep(60), "look"), errands.start(asyncio.sleep(0), "look")
            await asyncio.wait((ended,))
            for each in (looks, ended):
                errands.cut_short(each)
            assert await errands.stop(1)

        run(let_go())
        assert told == []

    def test_errors_that_the_protocol_foresees_belong_to_who_asked(self, told: list[Event]) -> None:
        errands = Errands(told.append)

        async def refuse(error: Exception) -> None:
            raise error

        asked: list[tuple[Exception, list[Any]]] = [
            (Unavailable("away"), []),
            (KeyError("what"), [WorkerFailed("write", "KeyError: 'what'")]),
        ]
        for error, expected in asked:
            with pytest.raises(type(error)):
                run(errands.see_through(refuse(error), "write", lost=LOST))
            assert told == expected


class TestBroadcast:
    def test_each_waits_for_as_long_as_it_said_by_one_timer(self) -> None:
        """The one with least time comes last here; and one that goes away takes nothing from the others."""
        broadcast = Broadcast()
        patient, hasty, gone = (Meanwhile(broadcast.wait(seconds)) for seconds in (60.0, 0.05, 0.02))
        gone.cancel()
        assert not hasty.result()
        assert patient.running
        assert broadcast.waiting == 1
        broadcast.tell()
        assert patient.result()
        assert broadcast.waiting == 0

    def test_the_timer_goes_on_to_the_next_who_has_least_time(self) -> None:
        broadcast = Broadcast()
        waits = [Meanwhile(broadcast.wait(seconds)) for seconds in (0.02, 0.04, 0.06)]
        assert [wait.result() for wait in waits] == [False, False, False]

    def test_who_comes_later_waits_for_the_next(self) -> None:
        broadcast = Broadcast()
        broadcast.tell()
        assert not run(broadcast.wait(0.01))
        assert not run(broadcast.wait(0.0))
