"""The last thing that happens to a run: etcd is restored from a backup, and everybody has to find that out.

Owns how it is done, and the comparison: after the bound nobody serves what was lost, and before long everybody is well
again, goes by what there is, and by the policy that there is. Nothing of it is in the history that is judged.

    overtaken      others' writes have led the revisions beyond those that were lost; or they are below
    one equals     the version key was put at the very revision of the last one that was lost
    silent         a watch seems open, and says nothing of all that: only proofs can tell
    cut off        an instance comes back when others have written in the new history
    compacted      nobody can say what was at its horizon
"""

from __future__ import annotations

import asyncio
import json

from consistency.core.model import Reading, WrongTimeline
from consistency.core.store import StoreError
from simulation.client import PATIENCE
from simulation.ending import TOLD_WITHIN, WELL_WITHIN, Ending
from simulation.instance import Instance
from simulation.life import Gone

LOST = ("restoring/0", "restoring/1", "restoring/2")
"""Documents that the backup has as they were before."""

WAYS = (
    ("told", False, False, False),
    ("silent", True, False, False),
    ("cut off", True, False, False),
    ("silent", False, True, False),
    ("cut off", True, False, True),
    ("silent", False, False, False),
)
"""How an instance meets the other history, by seed: see the module's opening. Whether it is overtaken, one of its
versions equals a lost one, and it is compacted."""


class Restoring(Ending):
    """See the module's opening."""

    name = "after a restore at the end"
    first = 4300

    async def play(self) -> None:
        """All of it."""
        await self._well("be well before the last restore", WELL_WITHIN)
        surroundings = self._surroundings
        here, there = self._instances[0], self._instances[-1]
        if not await self._written(there, "before") or not await self._policy(there, "before"):
            return
        await asyncio.sleep(TOLD_WITHIN)
        backup = surroundings.cluster.snapshot()
        if not await self._written(there, "lost") or not await self._policy(there, "lost"):
            return
        await asyncio.sleep(TOLD_WITHIN)
        for instance in self._instances:
            for key in LOST:
                await self._life(instance).answer(self._life(instance).cache.get(key), PATIENCE)
        way, overtaken, equal, compacted = WAYS[self._plan.seed // 2 % len(WAYS)]
        if way == "silent":
            surroundings.half_open(here.number)
        elif way == "cut off":
            surroundings.cut_off(here.number)
        applied = self._life(here).cache._state.applied.revision
        surroundings.restore_at_last(backup, overtake=overtaken, renamed=way == "told")
        while not surroundings.cluster.working:
            await asyncio.sleep(0.001)
        if equal and not overtaken:
            surroundings.put_version_at(applied)
        if compacted:
            surroundings.compact()
        if way == "cut off":
            await asyncio.sleep(1.0)
            if len(self._instances) > 1:
                await self._written(there, "after", keys=LOST[:1])
            await asyncio.sleep(0.5)
            surroundings.heal_instance(here.number)
        self.acts.append(f"{way}{' overtaken' * overtaken}{' equal' * equal}{' compacted' * compacted}")
        await asyncio.sleep(1.02 * self._plan.bound + 0.05)
        await self._everywhere(self._serves_nothing_lost)
        await self._well("come back after the last restore", WELL_WITHIN)
        await self._everywhere(self._serves_nothing_lost)
        for instance in self._instances:
            known = self._life(instance).cache.policy.mod_revision
            if known != surroundings.policy_revision():
                self._broken(instance, f"it goes by the policy of {known}, not {surroundings.policy_revision()}")

    async def _serves_nothing_lost(self, instance: Instance) -> None:
        for key in LOST:
            life = self._life(instance)
            try:
                hit = life.cache.hit(key) if life.runs else None
                read: Reading = hit or await life.answer(life.cache.get(key), PATIENCE)
            except (StoreError, WrongTimeline, Gone):
                continue
            there = self._surroundings.document(key)
            if read.value != there:
                self._broken(instance, f"{key} is {there!r}, and was served as {read.value!r} ({read.source.value})")

    async def _written(self, where: Instance, value: str, keys: tuple[str, ...] = LOST) -> bool:
        life = self._life(where)
        for key in keys:
            try:
                await life.answer(life.cache.put(key, json.dumps(value).encode()), PATIENCE)
            except (StoreError, WrongTimeline, Gone):
                return False
        return True

    async def _policy(self, where: Instance, note: str) -> bool:
        life = self._life(where)
        said = json.loads(life.cache.policy.text or b"{}") | {"note": note}
        try:
            await life.answer(life.cache.put_policy(json.dumps(said).encode()), PATIENCE)
        except (StoreError, WrongTimeline, Gone):
            return False
        return True
