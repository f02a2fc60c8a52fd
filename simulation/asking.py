"""A client that asks now and then, one instance after another: the part that onlookers, historians and keepers share.

Owns the round of asking, and what of an answer is nobody's fault. What is asked, and whether the answer is right, is
theirs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from random import Random
from typing import Any

from consistency import AsyncDistributedCache, StoreError, WrongTimeline
from consistency.core.model import PreconditionFailed
from simulation.instance import Instance
from simulation.life import Gone
from simulation.loop import Loop
from simulation.policies import Broken

PATIENCE = 5.0
Ask = Callable[[Instance, float], Awaitable[None]]
"""Of an instance, with so much patience."""


class Asker:
    """See the module's opening. `problem` is told of what must not happen. pause: virtual seconds, on average."""

    pause = 0.3

    def __init__(
        self, name: str, loop: Loop, instances: Sequence[Instance], random: Random, problem: Callable[[str], None]
    ) -> None:
        self._name = name
        self._loop = loop
        self._instances = instances
        self._random = random
        self._report = problem
        self._until = 0.0

    def _asks(self) -> Sequence[Ask]:
        """What there is to ask, as often as it should be."""
        raise NotImplementedError

    def _forget(self) -> None:
        """Another history was found."""

    def _problem(self, what: str) -> None:
        self._report(f"{self._name}: {what}")

    async def play(self, until: float) -> None:
        """Ask now and then, until then."""
        self._until = until
        while self._loop.now < until:
            ask = self._random.choice(self._asks())
            instance = self._random.choice(self._instances)
            patience = self._random.choice((0.02, PATIENCE, PATIENCE))
            try:
                await ask(instance, patience)
            except WrongTimeline:
                self._forget()
            except (StoreError, Gone, PreconditionFailed, Broken):
                pass  # another time, perhaps elsewhere
            except Exception as error:  # noqa: BLE001  # as for any client
                self._problem(f"{type(error).__name__}: {error}")
            await asyncio.sleep(self._random.expovariate(1 / self.pause))

    async def _asked(self, instance: Instance, patience: float, work: Callable[[AsyncDistributedCache], Any]) -> Any:
        life = instance.alive
        if life is None:
            raise Gone("refused")
        return await life.answer(work(life.cache), patience)
