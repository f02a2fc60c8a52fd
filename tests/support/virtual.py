"""A loop in virtual time for one test."""

from __future__ import annotations

import random
from collections.abc import Coroutine
from typing import Any, TypeVar

from simulation.loop import Loop

T = TypeVar("T")


def virtually(work: Coroutine[Any, Any, T], seed: int = 1) -> T:
    """The result of `work`, in virtual time. `random`, by which the code under test spreads its pauses, is seeded."""
    before = random.getstate()
    random.seed(seed)
    loop = Loop(random.Random(seed))  # type: ignore[abstract]  # the rest would be I/O
    try:
        return loop.run_until_complete(work)
    finally:
        loop.close()
        random.setstate(before)
