"""Alarms wake many by one timer: never too early, and whoever is gone leaves nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable

from consistency.instance.alarms import STEP, Alarms
from consistency.instance.crowd import Waiter
from tests.support.driver import run


class Rung:
    """When each was woken, of the loop."""

    def __init__(self) -> None:
        self.alarms = Alarms(self._ring)
        self.at: dict[Waiter, float] = {}
        self.times = 0

    def _ring(self, waiters: Iterable[Waiter]) -> None:
        self.times += 1
        for waiter in waiters:
            self.at[waiter] = waiter.get_loop().time()
            waiter.set_result(None)


def test_each_is_woken_in_its_time_or_in_the_step_after_it() -> None:
    async def wait() -> None:
        rung, loop = Rung(), asyncio.get_running_loop()
        due = dict[Waiter, float]()
        for seconds in (0.3, 0.0, 0.1, 0.2):
            waiter = loop.create_future()
            due[waiter] = loop.time() + seconds
            rung.alarms.set(waiter, seconds)
        await asyncio.gather(*due)
        assert all(rung.at[waiter] >= at for waiter, at in due.items())
        assert sorted(rung.at, key=rung.at.__getitem__) == sorted(due, key=due.__getitem__)
        assert not rung.alarms

    run(wait())


def test_nobody_is_woken_too_early_by_any_clock() -> None:
    """uvloop's clock is of whole milliseconds, those that are over; here each time is the last moment of a step."""

    async def wait() -> None:
        rung, loop = Rung(), asyncio.get_running_loop()
        for _ in range(20):
            waiter = loop.create_future()
            await asyncio.sleep(0.0017)
            now, seconds = time.monotonic(), STEP - loop.time() % STEP - 1e-6
            rung.alarms.set(waiter, seconds)
            await waiter
            assert time.monotonic() >= now + seconds

    run(wait())


def test_a_crowd_is_woken_by_one_timer() -> None:
    async def wait() -> None:
        rung, loop = Rung(), asyncio.get_running_loop()
        crowd = [loop.create_future() for _ in range(1000)]
        for waiter in crowd:
            rung.alarms.set(waiter, 2 * STEP)
        await asyncio.gather(*crowd)
        assert rung.times < 10, "as many as the steps that setting them took"

    run(wait())


def test_who_waits_no_more_is_forgotten_and_the_others_are_woken() -> None:
    async def wait() -> None:
        rung, loop = Rung(), asyncio.get_running_loop()
        gone, stays = loop.create_future(), loop.create_future()
        step = rung.alarms.set(gone, 0.1)
        rung.alarms.set(stays, 0.2)
        rung.alarms.unset(gone, step)
        rung.alarms.unset(gone, step)
        await stays
        assert list(rung.at) == [stays]
        assert not rung.alarms

    run(wait())
