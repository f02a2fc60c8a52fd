"""Waiting for a broadcast, on either kind of loop: the timers of uvloop, which the service has, are not asyncio's."""

from __future__ import annotations

import asyncio

import pytest

from consistency.tasks import Broadcast
from tests.support.driver import run


@pytest.mark.parametrize("first", [0.0002, 0.5], ids=["less than a millisecond", "more"])
def test_who_waits_beside_another_is_told_or_gives_up(first: float) -> None:
    """uvloop's timer of less than a millisecond is no timer: it does not know when it rings."""

    async def scenario() -> list[bool]:
        broadcast = Broadcast()
        async with asyncio.TaskGroup() as group:
            waits = [group.create_task(broadcast.wait(seconds)) for seconds in (first, 0.0001, 0.01, 60)]
            await asyncio.sleep(0.05)
            broadcast.tell()
        return [wait.result() for wait in waits]

    assert run(scenario()) == [first > 0.05, False, False, True]


class Counted(Broadcast):
    """With how often the timer rang."""

    rings = 0

    def _ring(self) -> None:
        self.rings += 1
        super()._ring()


def test_a_timer_that_rings_early_is_not_set_again_and_again() -> None:
    """uvloop's rings up to a millisecond early, and at once if it is set for less."""
    waits = 60

    async def scenario() -> int:
        broadcast = Counted()
        async with asyncio.TaskGroup() as group:
            for number in range(waits):
                group.create_task(broadcast.wait(0.0303 + number * 0.003))
        return broadcast.rings

    assert run(scenario()) <= 2 * waits
