"""A fleet in which nobody asks for anything, and whose watches fall silent: it has to notice who comes and goes.

This is rule 7. No version is put meanwhile, so no proof shows that one was missed. In some runs, at their end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from random import Random

from consistency.instance.patrol import SILENCE
from simulation.instance import Instance
from simulation.loop import Loop
from simulation.plan import Plan
from simulation.surroundings import SimulatedEtcd

CHANCE = 0.4
"""Of runs."""

JOINED_WITHIN = 10.0
"""Virtual seconds in which an instance whose slot was taken gets another one."""


class Quiet:
    """See the module's opening. `problem` is told of what nobody has noticed."""

    def __init__(
        self, plan: Plan, loop: Loop, instances: Sequence[Instance], etcd: SimulatedEtcd, problem: Callable[[str], None]
    ) -> None:
        self._plan = plan
        self._loop = loop
        self._instances = instances
        self._etcd = etcd
        self._problem = problem

    async def watch(self) -> None:
        """What befalls it, and who has noticed."""
        if Random(f"quiet {self._plan.seed}").random() < CHANCE:
            await self._another_slot(self._instances[0])
            await self._gone_unheard(self._instances[0], self._instances[1:])

    async def _another_slot(self, instance: Instance) -> None:
        """1. Its watch falls silent. 2. Its slot is taken, and it gets another. 3. The watch does not say so."""
        before = _slot(instance)
        self._etcd.mute_streams(instance.number)
        self._etcd.revoke(before[1])
        deadline = self._loop.now + JOINED_WITHIN
        while _slot(instance)[1] in (before[1], 0):
            if self._loop.now > deadline:
                self._problem(f"instance {instance.number} got no slot within {JOINED_WITHIN:g} s")
                return
            await asyncio.sleep(0.05)
        # The first proof shows it, and one that comes a bound later has the watch begin anew. Each may take its limit
        # of time, and a pause comes between.
        options = instance.machine.options
        await asyncio.sleep(options.staleness_bound + 2 * (options.timeout + options.proof_interval) + 1.0)
        if not _shows(instance, _slot(instance)):
            self._problem(f"instance {instance.number} has not noticed that its watch did not tell of its own slot")

    async def _gone_unheard(self, who: Instance, others: Sequence[Instance]) -> None:
        """1. All watches fall silent. 2. Somebody goes. 3. Nobody writes, and the watches do not say so."""
        gone = _slot(who)
        for other in others:
            self._etcd.mute_streams(other.number)
        if (end := who.stop()) is not None:
            await asyncio.wait((end,))
        await asyncio.sleep(2 * SILENCE + 2 * self._plan.bound + 1.0)
        for other in others:
            if _shows(other, gone):
                self._problem(f"instance {other.number} has not noticed that instance {who.number} has gone")


def _slot(instance: Instance) -> tuple[int, int]:
    """Its slot and its lease; without one -1 and 0."""
    status = instance.alive.cache.status() if instance.alive else None
    return (-1, 0) if status is None or status.slot is None else (status.slot, status.lease)


def _shows(instance: Instance, held: tuple[int, int]) -> bool:
    """Whether its watch has told it that this slot is held by this lease."""
    return instance.alive is not None and instance.alive.cache._parts.fleet.shows(*held)
