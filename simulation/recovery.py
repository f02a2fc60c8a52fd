"""After the faults: all is healed, everybody well again within seconds, a last look at every key, an orderly end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from simulation.audits import Audits
from simulation.client import LAST_LOOK, LAST_WORD, Client
from simulation.endings import Endings
from simulation.extras import MANY
from simulation.instance import Instance
from simulation.loop import Loop
from simulation.plan import KEYS, VISIBLE, Ask, Plan
from simulation.surroundings import SimulatedEtcd
from torture.history import Kind, Level

SAMPLE = 8
"""Of the keys of large batches, so many are looked at."""


class Recovery:
    """See the module's opening. made: a client of that number. `problem` is told of whoever is late."""

    def __init__(
        self,
        plan: Plan,
        loop: Loop,
        instances: Sequence[Instance],
        surroundings: SimulatedEtcd,
        made: Callable[[int], Client],
        tell: Callable[[str, object], None],
        problem: Callable[[str], None],
    ) -> None:
        self._plan = plan
        self._loop = loop
        self._instances = instances
        self._surroundings = surroundings
        self._made = made
        self._tell = tell
        self._problem = problem
        interval = max(machine.options.audit_interval for machine in plan.machines)
        self._audits = Audits(loop, instances, surroundings, interval, problem)
        self._endings = Endings(plan, loop, instances, surroundings, self._audits, self.recovered, problem)

    def heal(self) -> None:
        """End every fault."""
        self._tell("fault", "all faults end")
        self._surroundings.heal()
        for instance in self._instances:
            while instance.alive and instance.alive.owner.held is not None:
                instance.resume()

    async def recovered(self, what: str, within: float) -> None:
        """Each of them, at some moment from now on."""
        deadline, late = self._loop.now + within, list(self._instances)
        while late := [instance for instance in late if not self._is_well(instance)]:
            if self._loop.now >= deadline:
                for instance in late:
                    self._problem(f"instance {instance.number} has not {what} within {within:g} s: {_how(instance)}")
                return
            await asyncio.sleep(0.05)

    def _is_well(self, instance: Instance) -> bool:
        life = instance.alive
        if life is None:
            instance.start()
        if life is None or life.stopping:
            return False
        status = life.cache.status()
        return status.fresh and status.watch_up and status.slot is not None

    async def look_at_everything(self) -> None:
        """Every key as every instance has it, long after the last write; then what is written past the service."""
        await asyncio.sleep(self._plan.bound + 0.1)
        clients = [self._made(LAST_LOOK + instance.number) for instance in self._instances]
        await self._look(clients, (*KEYS, *MANY[:: len(MANY) // SAMPLE]))
        # Nobody audits while the lowest slot is held by the lease of somebody dead: a backup brings such leases back.
        await asyncio.sleep(max(machine.options.lease_ttl for machine in self._plan.machines) + 1.0)
        last = [self._made(LAST_WORD + client.number) for client in clients]
        await self._look(clients, VISIBLE)
        if not await self._audits.in_order(clients[0], lambda: self._look(last, VISIBLE)):
            return
        await self._endings.play(clients[0])
        self._audits.all_told()
        await self._look(last, VISIBLE)

    async def _look(self, clients: Sequence[Client], keys: Sequence[str]) -> None:
        looks = (self._look_at(*each, keys) for each in zip(self._instances, clients, strict=True))
        await asyncio.gather(*looks)

    async def _look_at(self, instance: Instance, client: Client, keys: Sequence[str]) -> None:
        for key in keys:
            await client.do(Ask(client.number, 0.0, instance.number, Kind.READ, Level.DEFAULT, (key,)))

    async def end(self) -> None:
        """Stop every instance in good order."""
        ends = [instance.stop() for instance in self._instances]
        for end in ends:
            if end is not None:
                await asyncio.wait((end,))


def _how(instance: Instance) -> str:
    life = instance.alive
    if life is None:
        return "it is dead"
    status = life.cache.status()
    return f"slot {status.slot}, fresh {status.fresh}, watch up {status.watch_up}, {status.why_not_ready or 'ready'}"
