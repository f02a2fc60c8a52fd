"""How late the loop comes to what is due is measured, and told for as long as somebody may come to look."""

from __future__ import annotations

import asyncio
import time

from consistency import AsyncDistributedCache
from consistency.core.events import ignore
from consistency.core.options import CacheOptions
from consistency.instance.lag import KEPT, TICK, LoopLag
from consistency.tasks import Worker
from tests.instance.hand import ManualClock
from tests.support.driver import run
from tests.support.fake_store import FakeStore


class Looking:
    """A LoopLag whose clock is in the test's hand: the loop's own timer wakes it, the clock says how late that is."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.lag = LoopLag(self.clock, tick=0.001)

    def look(self, late: float = 0.0) -> float:
        """One look, to which the loop comes so late; what is told then."""

        async def looking() -> None:
            look = asyncio.create_task(self.lag.run(Worker("loop-lag", self.lag.run, ignore)))
            await asyncio.sleep(0)  # it waits for its timer, which comes after us however short it is
            self.clock.advance(0.001 + late)
            await look

        run(looking())
        return round(self.lag.greatest(), 6)


def test_a_loop_that_is_in_time_has_no_lag() -> None:
    looking = Looking()
    assert [looking.look(), looking.look()] == [0.0, 0.0]


def test_the_greatest_lag_is_told_and_not_the_last() -> None:
    looking = Looking()
    assert [looking.look(0.02), looking.look(0.3), looking.look(0.1)] == [0.02, 0.3, 0.3]


def test_a_lag_is_told_until_somebody_has_come_to_look_and_then_forgotten() -> None:
    """KEPT seconds at least, twice as many at most; a smaller one of later on is told instead."""
    looking = Looking()
    looking.look(0.3)
    looking.clock.advance(KEPT)
    assert looking.look(0.1) == 0.3
    looking.clock.advance(KEPT / 2)
    assert looking.look() == 0.3
    looking.clock.advance(KEPT / 2)
    assert looking.look() == 0.1
    looking.clock.advance(KEPT)
    assert looking.look() == 0.0


def test_an_instance_tells_how_long_its_loop_was_held(fake_store: FakeStore) -> None:
    """By code that waits where it has no business to, for example."""

    async def hold_it(seconds: float) -> float:
        async with AsyncDistributedCache(fake_store, CacheOptions()) as cache:
            await asyncio.sleep(0)  # its tasks begin
            time.sleep(seconds)
            await asyncio.sleep(TICK)
            return cache.status().loop_lag

    assert run(hold_it(0.3)) >= 0.3 - TICK
