"""The look after clients of slow requests: who does it, and how often."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from typing import Any

import pytest

from consistency.core.events import ignore
from consistency.tasks import Errands
from service.http import front
from service.http.front import Departures
from service.http.requests import StreamedBody
from tests.support.driver import run

LOOK_AFTER = 0.01
ROUNDS = 20


async def never() -> dict[str, Any]:
    """No more of the body comes, and its client does not go."""
    return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]


class Counted(Departures):
    """With the looks that were taken."""

    looks = 0

    def _look(self) -> None:
        self.looks += 1
        super()._look()


def test_one_timer_looks_at_all_requests_however_long_their_bodies_take(monkeypatch: pytest.MonkeyPatch) -> None:
    """1. A body is not whole yet: it is to be looked at again; 2. the next one is to be looked at later: both ask for a
    timer. With one for each there would be twice as many timers after each look.
    """
    monkeypatch.setattr(front, "LOOK_AFTER", LOOK_AFTER)

    async def scenario() -> int:
        counted = Counted(Errands(ignore))
        with ExitStack() as stack:
            for _ in range(3):
                body = StreamedBody(never, {"CONTENT_LENGTH": "10"})
                stack.enter_context(counted.watched(body, lambda: None))
                await asyncio.sleep(LOOK_AFTER / 3)
            await asyncio.sleep(ROUNDS * LOOK_AFTER)
            return counted.looks

    assert 1 <= run(scenario()) <= 6 * ROUNDS
