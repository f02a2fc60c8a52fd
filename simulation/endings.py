"""What befalls a fleet that is well, when all else is over: it is renewed, waits for slots, or a backup is restored.

Every other run ends with one of them. Nothing but what is named here happens meanwhile, so it is known exactly what a
fleet has to make of it, and what not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from random import Random

from simulation.audits import DONE, SETTLED, Audits
from simulation.client import Client
from simulation.instance import Instance
from simulation.loop import Loop
from simulation.plan import KEYS, VISIBLE, Ask, Plan
from simulation.surroundings import SimulatedEtcd
from torture.history import Kind, Level

WELL_WITHIN = 20.0
"""Virtual seconds in which a fleet has to be well again."""

WRITTEN_DOWN = 4.0
"""Virtual seconds in which all who had held a slot, or waited for one, are written down, one after the other."""

Recovered = Callable[[str, float], Awaitable[None]]


class Endings:
    """See the module's opening. recovered: waits until everybody is well. `problem` is told of what is not right."""

    def __init__(
        self, plan: Plan, loop: Loop, instances: Sequence[Instance], surroundings: SimulatedEtcd, audits: Audits,
        recovered: Recovered, problem: Callable[[str], None],
    ) -> None:  # fmt: skip
        self._plan = plan
        self._loop = loop
        self._instances = instances
        self._surroundings = surroundings
        self._audits = audits
        self._recovered = recovered
        self._problem = problem
        self._random = Random(f"ending {plan.seed}")
        self._visible = [surroundings.layout.document(key) for key in VISIBLE]
        self._interval = max(machine.options.audit_interval for machine in plan.machines)

    async def play(self, client: Client) -> None:
        """One of them, or none: they take their time."""
        if self._random.random() < 0.5:
            return
        endings = [self._renewed, self._renewed, self._waiting, self._waiting]
        if self._surroundings.restored is None:
            endings += [self._restored, self._restored_unheard]
        await self._random.choice(endings)(client)

    # --- a renewal

    async def _renewed(self, client: Client) -> None:
        """Everybody leaves in order, and comes again. What was written past the service meanwhile is told, by name.

        Looks are handed over: no client that follows changes has to begin anew.
        """
        if not await self._audited(client, self._visible[1]):
            return
        await self._stop(*self._auditor())  # whose look is not the last one that is handed over
        await self._recovered("come back", WELL_WITHIN)
        await asyncio.sleep(2 * self._interval)
        since = self._audits.now()
        self._surroundings.cluster.write_outside({}, self._visible[1:2])
        await self._audits.expect(None, since=since)
        await asyncio.sleep(2 * self._interval)
        if not await self._audited(client, self._visible[1]):
            return
        since = self._audits.now()
        await self._put(client)  # none of those who come knows of this version otherwise
        await self._stop(*self._instances)
        self._surroundings.cluster.write_outside({self._visible[3]: b'"meanwhile"'})
        await self._recovered("come again", WELL_WITHIN)
        await self._audits.expect(frozenset(VISIBLE[3:]), since=since, once=True)

    async def _audited(self, client: Client, document: bytes) -> bool:
        """Something is put past the service, and told by an audit. False: nobody can write now."""
        if await self._put(client) != DONE:
            return False
        since = self._audits.now()
        self._surroundings.cluster.write_outside({document: b'"before"'})
        await self._audits.expect(frozenset((self._surroundings.layout.key_of(document),)), since=since)
        return True

    # --- a wait for slots

    async def _waiting(self, client: Client) -> None:
        """All slots are held. Who has none is seen, for as long as it waits; it leaves, or gets one."""
        del client
        crowd = self._random.random() < 0.3
        if crowd:
            self._surroundings.crowd()
        waits = self._others()[: self._random.choice((1, 2))]
        for instance in waits:
            if (life := instance.alive) is not None:
                self._surroundings.revoke(life.cache.status().lease)
        self._surroundings.hold_slots(0)
        await asyncio.sleep(2.5 * max((each.machine.options.lease_ttl for each in waits), default=0))
        seen = self._surroundings.waiting()
        for instance in waits:
            shown = (life := instance.alive) is not None and life.cache.status().lease in seen
            if shown is crowd:
                how = "seen, though as many as may be are" if crowd else "not seen"
                self._problem(f"instance {instance.number} waits for a slot: it is {how}")
        await self._stop(*waits[-1:])
        self._surroundings.release_slots()
        await self._recovered("got a slot", WELL_WITHIN)
        await asyncio.sleep(WRITTEN_DOWN)

    # --- a backup

    async def _restored(self, client: Client) -> None:
        """Nobody but others writes, a look is taken, and a backup is restored. Then somebody writes past the service.

        Its revision is below that look's, whose version both histories have.
        """
        del client
        await asyncio.sleep(self._interval + SETTLED)
        self._surroundings.save(anew=True)
        for number in range(self._random.randrange(20, 60)):
            self._surroundings.cluster.write_outside({b"elsewhere": b"%d" % number})
        await asyncio.sleep(self._interval + SETTLED)
        await self._turned_back()

    async def _restored_unheard(self, client: Client) -> None:
        """A look is taken, of a version that is lost then; who took it leaves before it hears of that.

        Many revisions are lost with it: a history that has caught up when it is looked at can't be told from this one.
        """
        self._surroundings.save(anew=True)
        await self._put(client)
        for number in range(20):
            self._surroundings.cluster.write_outside({b"elsewhere": b"%d" % number})
        await self._stop(*self._others()[:1])
        await self._recovered("come back", WELL_WITHIN)  # by a lease that the backup does not know
        await asyncio.sleep(2 * self._interval + SETTLED)
        await self._turned_back(*self._auditor())

    async def _turned_back(self, *leave: Instance) -> None:
        self._surroundings.restore(overtake=False, renamed=False)
        for instance in leave:
            instance.stop()
        wrote = None
        while wrote is None:
            wrote = self._surroundings.cluster.write_outside({self._visible[3]: b'"after"'})
            await asyncio.sleep(0.01)
        await asyncio.sleep(self._random.uniform(0, 2))
        await self._recovered("taken the other history", WELL_WITHIN)
        await asyncio.sleep(max(machine.options.lease_ttl for machine in self._plan.machines) + 2 * self._interval + 2)

    # --- what they have in common

    async def _put(self, client: Client) -> int:
        return await client.do(Ask(client.number, 0.0, 0, Kind.PUT, Level.DEFAULT, (KEYS[0],), (False,), ("",)))

    def _auditor(self) -> Sequence[Instance]:
        """Who holds the lowest slot; nobody, if nobody has one."""
        auditor = self._audits.auditor()
        return () if auditor is None else (auditor,)

    def _others(self) -> Sequence[Instance]:
        auditor = self._audits.auditor()
        return [each for each in self._instances if each is not auditor]

    async def _stop(self, *instances: Instance) -> None:
        leases = {each.number: life.cache.status().lease for each in instances if (life := each.alive)}
        ends = [end for instance in instances if (end := instance.stop()) is not None]
        if ends:
            await asyncio.wait(ends)
        for number, lease in leases.items():
            if lease and not self._surroundings.has_gone(lease):
                self._problem(f"instance {number} has ended in order, and that is not written down")
