"""One process of an instance in the simulation: what its clients hear when it ends."""

from __future__ import annotations

import asyncio

import pytest

from consistency.core.events import ignore
from simulation.life import Gone, Life
from simulation.loop import Loop
from simulation.runs import planned
from tests.support.fake_store import FakeStore
from tests.support.virtual import virtually


def test_a_request_that_ends_with_its_process_is_told_of_once() -> None:
    """The process dies in the step in which the request ends. The callback then finds a list that has been emptied."""

    async def work() -> list[str]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, Loop)
        life = Life("instance 0", loop, planned(1).machines[0], lambda _: FakeStore(), ignore)

        async def last() -> None:
            life.die()

        with pytest.raises(Gone, match="killed"):
            await life.answer(last(), 1.0)
        await asyncio.sleep(0.1)
        return loop.complaints

    assert virtually(work()) == []
