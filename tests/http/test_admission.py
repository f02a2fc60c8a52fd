"""How an instance that drains lets go those who wait for changes: all of them, spread, and at few moments."""

from __future__ import annotations

import asyncio
import itertools
from typing import cast

import pytest

from consistency.instance.following import Following
from service.changes.admission import HASTE, MOMENTS, Admission, Place
from tests.support.virtual import virtually


class Waiting:
    """Stands for a `Following`: notes when it is hastened."""

    def __init__(self) -> None:
        self.hastened: list[float] = []

    def hasten(self) -> None:
        self.hastened.append(asyncio.get_running_loop().time())


def drained(count: int) -> list[list[float]]:
    """For each of so many clients, the seconds after which it is let go."""

    async def work() -> list[list[float]]:
        admission = Admission(count, count, lambda _encoding, _change: None)
        waiting = [Waiting() for _ in range(count)]
        for each in waiting:
            admission.enter(Place(admission, cast(Following, each), "stream", ""))
        begun = asyncio.get_running_loop().time()
        admission.start_draining()
        await asyncio.sleep(HASTE + 0.01)
        return [[at - begun for at in each.hastened] for each in waiting]

    return virtually(work())


@pytest.mark.parametrize("count", [1, MOMENTS - 1, MOMENTS, MOMENTS + 1, 10_000])
def test_everybody_is_let_go_once_and_within_haste_at_moments_that_are_spread(count: int) -> None:
    found = drained(count)
    assert {len(each) for each in found} == {1}
    moments = sorted({at for (at,) in found})
    assert 0 <= moments[0] <= moments[-1] <= HASTE
    assert len(moments) == min(count, MOMENTS)
    if count >= MOMENTS:
        assert max(later - earlier for earlier, later in itertools.pairwise(moments)) < HASTE / 10


def test_no_moment_is_that_of_many() -> None:
    found = [at for (at,) in drained(10_000)]
    assert max(found.count(at) for at in set(found)) == 10_000 // MOMENTS
