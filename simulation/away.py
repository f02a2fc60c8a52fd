"""Etcd is away at the end of a run, for longer than the bound: what may be served as the last known, and how old it is.

Owns the stories. Before each something happens to entries that are held; then no member of etcd answers, and clients
ask who take the last known. (`PROTOCOL.md`: "If etcd can't be asked".)

    a version names a key, and nobody reads it again       its entry is not the last known any more
    a version is lost, and the gap is found                nor is anything that was validated before
    something vanishes past the service, so that an audit has everything validated                   nor here
    the slot is lost and won again, once or several times  the entry is the last known, with the age of its last proof
"""

from __future__ import annotations

import asyncio

from consistency.core.freshness import DEPARTURES_REMEMBERED
from simulation.ending import KEYS, SOON, TOLD_WITHIN, WELL_WITHIN, Ending, how
from simulation.instance import Instance
from simulation.plan import VISIBLE, Ask
from torture.history import Kind, Level, Operation, Outcome

ALLOWED = 30
"""Seconds that clients allow."""

VANISHING = VISIBLE[0]


class Away(Ending):
    """See the module's opening."""

    name = "with etcd away at the end"
    first = 4200

    async def play(self) -> None:
        """One story in a run."""
        await self._well("be well before etcd is away", WELL_WITHIN)
        for key in KEYS:
            if not await self._put(self._somebody(), key):
                return
        await asyncio.sleep(TOLD_WITHIN)
        story = (
            self._named, self._in_a_gap, self._vanished, self._slot_lost_once, self._slot_lost_twice,
            self._slot_lost_again_and_again,
        )[self._plan.seed % 6]  # fmt: skip
        self.acts.append(story.__name__)
        await story()
        self._surroundings.cluster.heal()
        self._surroundings.release_slots()
        await self._well("come back after etcd had been away", WELL_WITHIN)

    async def _named(self) -> None:
        """By a version that everybody has applied."""
        await self._everywhere(self._learn)
        await self._put(self._somebody(), KEYS[0])
        await asyncio.sleep(TOLD_WITHIN)
        for number in range(len(self._surroundings.cluster.members)):
            self._surroundings.kill_member(number)
        await self._everywhere(self._serves_nothing_to_who_asks_etcd)
        await self._go_away()
        await self._everywhere(lambda instance: self._knows_nothing_of(instance, KEYS[0], "a version has named it"))
        await self._everywhere(lambda instance: self._knows(instance, KEYS[1]))
        await self._everywhere(self._serves_nothing_unasked)

    async def _in_a_gap(self) -> None:
        """Who finds the gap may have missed anything."""
        await self._everywhere(self._learn)
        self._surroundings.lose_events(1.0)
        await self._put(self._instances[0], KEYS[0])
        await asyncio.sleep(SOON)
        self._surroundings.lose_events(0.0)
        await self._put(self._instances[0], KEYS[1])
        await asyncio.sleep(TOLD_WITHIN)
        found = [each for each in self._instances if self._life(each).cache._state._fresh.known_from]
        await self._go_away()
        for instance in found:
            await self._knows_nothing_of(instance, KEYS[0], "a version may have named it in a gap")

    async def _vanished(self) -> None:
        """Nobody can say what, so it may be anything."""
        self._surroundings.write_outside(1, 0)
        await self._audit()
        for instance in self._instances:
            await self._learn(instance, (VANISHING,))
        self._surroundings.delete_outside(VANISHING)
        await self._audit()
        told = [each for each in self._instances if self._all_was_named(each)]
        await self._go_away()
        for instance in told:
            await self._knows_nothing_of(instance, VANISHING, "a version has named everything")

    async def _slot_lost_once(self) -> None:
        await self._slots_lost(1)

    async def _slot_lost_twice(self) -> None:
        await self._slots_lost(2)

    async def _slot_lost_again_and_again(self) -> None:
        """More often than is remembered."""
        await self._slots_lost(DEPARTURES_REMEMBERED + 1)

    async def _slots_lost(self, times: int) -> None:
        """Events go on marking what they name, so it stays the last known; but no later proof speaks for it."""
        instance = max(self._instances, key=lambda each: self._life(each).cache.status().slot or 0)
        slots = [self._life(each).cache.status().slot or 0 for each in self._instances]
        self._surroundings.hold_slots(0, below=min(slots))  # else it may be the next auditor, and have all validated
        await self._audit()
        await self._learn(instance)
        last_proof = 0.0
        for number in range(times):
            life = self._life(instance)
            self._surroundings.revoke(life.cache.status().lease)
            last_proof = last_proof or self._loop.now
            await asyncio.sleep(SOON)
            await self._well("come back after its slot was lost", WELL_WITHIN)
            if number == 0:
                await self._read(instance, KEYS[1])  # not learned anew: what was named since then counts
        forgotten = times > DEPARTURES_REMEMBERED
        await self._go_away()
        if self._all_was_named(instance):
            return  # the next auditor had nothing to compare with
        read = await self._ask_for(instance, KEYS[2])
        if forgotten and read.cache == "STALE":
            self._broken(instance, f"no proof that is remembered covers it: {how(read)}, {read.age:.3f} s old")
        if not forgotten and read.cache != "STALE":
            self._broken(instance, f"the last known was forgotten with the slot: {how(read)}")
        if read.cache == "STALE" and read.returned - read.age > last_proof:
            self._broken(instance, f"told as {read.age:.3f} s old, though its slot was lost at {last_proof:.3f}")

    # --- their parts

    async def _go_away(self) -> None:
        """No member answers, for longer than the bound."""
        for number in range(len(self._surroundings.cluster.members)):
            self._surroundings.pause_member(number)
        await asyncio.sleep(1.02 * self._plan.bound + 0.1)

    async def _audit(self) -> None:
        """Wait until somebody has looked, and told what he found."""
        await asyncio.sleep(2 * max(each.machine.options.audit_interval for each in self._instances) + 1.0)

    async def _ask_for(self, instance: Instance, key: str, level: Level = Level.STALE) -> Operation:
        client = self._clients[instance.number]
        ask = Ask(client.number, 0.0, instance.number, Kind.READ, level, (key,), asked=ALLOWED)
        await client.do(ask)
        return self._last[client.number]

    async def _knows_nothing_of(self, instance: Instance, key: str, why: str) -> None:
        read = await self._ask_for(instance, key)
        if read.outcome is Outcome.OK:
            self._broken(instance, f"{key} was served as the last known, though {why}: {how(read)}")

    async def _knows(self, instance: Instance, key: str) -> None:
        read = await self._ask_for(instance, key)
        if read.cache != "STALE" and not self._all_was_named(instance):
            self._broken(instance, f"{key} is the last known, and was not served: {how(read)}")

    async def _serves_nothing_to_who_asks_etcd(self, instance: Instance) -> None:
        """However young the last proof is."""
        for level in (Level.UNCACHED, Level.LINEARIZABLE):
            read = await self._ask_for(instance, KEYS[1], level)
            if read.outcome is Outcome.OK:
                self._broken(instance, f"{KEYS[1]} was served to who asks for etcd's own word: {how(read)}")

    async def _serves_nothing_unasked(self, instance: Instance) -> None:
        read = await self._ask_for(instance, KEYS[1], Level.DEFAULT)
        if read.outcome is Outcome.OK:
            self._broken(instance, f"{KEYS[1]} was served unproven, and nobody had asked for that: {how(read)}")
