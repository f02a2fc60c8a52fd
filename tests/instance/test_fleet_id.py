"""The fleet's id, asked for once for all who wait: `FleetId` on a loop in virtual time."""

from __future__ import annotations

import asyncio
from typing import cast

from consistency.core.store import Store
from consistency.instance.fleet_id import FleetId
from consistency.tasks import Errands
from tests.support.virtual import virtually


class Slow:
    """A store that answers after a second."""

    async def fleet(self, candidate: str, *, timeout: float) -> str:
        del candidate, timeout
        await asyncio.sleep(1)
        return "0123456789abcdef"


def test_who_waits_beside_one_that_asks_anew_waits_on() -> None:
    """1. Two wait. 2. Another history is found: the answer doesn't count. 3. The first to wake asks anew. 4. The second
    looked at that question, which has no answer yet, as if it were its own, and failed."""

    async def both() -> list[str]:
        ids = FleetId(cast("Store", Slow()), asyncio.get_running_loop().time, Errands(lambda _: None))
        waiting = [asyncio.create_task(ids.get(10.0)) for _ in range(2)]
        await asyncio.sleep(0.5)
        ids.forget()
        return await asyncio.gather(*waiting)

    assert virtually(both()) == ["0123456789abcdef"] * 2
