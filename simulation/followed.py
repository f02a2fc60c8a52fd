"""Moments of those who follow changes that seldom come by chance, one by one, when all faults are over (rule 18).

More clients wait at one instance than it wakes at once; one is further behind than it can be told of at once; versions
are missed while clients wait; many come back from the same past; the rest of a scope is compacted; a version names
nothing; an instance can prove nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from consistency import Scope, StoreError, Token, Told
from consistency.core.model import Applied
from consistency.core.store import Put
from simulation.instance import Instance
from simulation.life import Gone, Life
from simulation.loop import Loop
from simulation.plan import BOTH, OUTSIDE, Plan
from simulation.promised import wrong_with
from simulation.surroundings import SimulatedEtcd

CROWD = 60
"""Clients that wait for one change."""

BACK = 10
"""Clients that come back from the same past."""

PATIENCE = 10.0

AT_ONCE = 1.0
"""Virtual seconds within which all are told."""

MANY = tuple(f"{BOTH}many-{number:03}" for number in range(130))
"""Keys that two batches write: more than are told at once."""

PREFIX = Scope(prefixes=frozenset((f"{BOTH}many-",)))
PARTS = Scope(frozenset((MANY[0],)), frozenset((OUTSIDE,)))
"""A scope that is told in two parts."""


class Followed:
    """See the module's opening. well: returns when every instance is."""

    def __init__(
        self,
        plan: Plan,
        loop: Loop,
        instances: Sequence[Instance],
        surroundings: SimulatedEtcd,
        well: Callable[[], Any],
        problem: Callable[[str], None],
    ) -> None:
        self._loop = loop
        self._surroundings = surroundings
        self._well = well
        self._report = problem
        random = Random(f"followed {plan.seed}")
        drawn = random.sample(list(instances), len(instances))
        self._here, self._elsewhere, *_ = sorted(drawn, key=lambda each: -each.machine.options.names_remembered)
        self._values = 0

    async def play(self) -> None:
        """All of it."""
        try:
            await self._a_crowd_waits()
            await self._one_is_far_behind()
            await self._versions_are_missed()
            await self._the_rest_is_compacted()
            await self._a_version_names_nothing()
            await self._nothing_is_proven()
        except (StoreError, Gone) as error:
            self._problem(f"{type(error).__name__}: {error}")

    async def _a_crowd_waits(self) -> None:
        key = f"{BOTH}crowd"
        scope = Scope(frozenset((key,)))
        token = (await self._asked(scope, None)).to
        waiting = [self._loop.create_task(self._asked(scope, token, PATIENCE)) for _ in range(CROWD)]
        await asyncio.sleep(0.5)
        await self._put(key)
        _, late = await asyncio.wait(waiting, timeout=AT_ONCE)
        if late:
            self._problem(f"of {CROWD} clients that wait for a change {len(late)} are not told of it")
            await asyncio.wait(late)

    async def _one_is_far_behind(self) -> None:
        """It has been away while more was written than is told at once; some of it twice, which is in memory here."""
        await self._put(*MANY)
        token = (await self._asked(PREFIX, None)).to
        await self._put(*MANY[:80])
        last = await self._put(*MANY[60:])
        for key in MANY[60:64]:
            await self._get(key, last)
        await self._compare(token, last)

    async def _versions_are_missed(self) -> None:
        """What comes before the token is compacted meanwhile; and some of what is written is in memory, as it was."""
        await self._asked(PREFIX, None)
        for key in MANY[60:64]:
            await self._get(key, 0)
        self._surroundings.cut_off(self._here.number)
        self._surroundings.reset(self._here.number, streams_only=False)
        await self._put(f"{BOTH}crowd")
        token = (await self._asked(PREFIX, None, instance=self._elsewhere)).to
        self._surroundings.compact()
        compared = self._loop.create_task(self._compare(token, token.revision + 2))
        await asyncio.sleep(0.05)
        await self._put(*MANY[:80])
        await self._put(*MANY[60:])
        back = asyncio.gather(*(self._asked(PREFIX, token, PATIENCE / 2) for _ in range(BACK)))
        self._surroundings.heal_instance(self._here.number)
        await compared
        await back
        await self._well()

    async def _the_rest_is_compacted(self) -> None:
        first = await self._asked(PARTS, None)
        await self._put(MANY[0])
        self._surroundings.compact()
        await self._asked(PARTS, first.to)

    async def _a_version_names_nothing(self) -> None:
        """As when an audit does not know what has vanished."""
        told = await self._asked(PREFIX, None)
        self._surroundings.overwrite_version()
        overwritten, until = self._surroundings.cluster.machine.store.revision, self._loop.now + PATIENCE
        while told.to.revision < overwritten and self._loop.now < until:  # its watch may be on its way back
            await asyncio.sleep(0.05)
            token, told = told.to, await self._asked(PREFIX, told.to)
            if told.reset == "everything" and told.to.revision <= token.revision:
                self._problem(f"a version after {token} has named nothing; told was what was there at {told.to}")
        if not told.reset:
            self._problem(f"a version has named nothing at {overwritten}; told was {told.to}, and nothing to forget")

    async def _nothing_is_proven(self) -> None:
        """It is cut off for longer than the bound: neither silence can be told, nor what was the newest."""
        token = (await self._asked(PREFIX, None)).to
        self._surroundings.cut_off(self._here.number)
        await asyncio.sleep(self._here.machine.options.staleness_bound * 1.1 + 0.1)
        for after in (token, None):
            try:
                await self._asked(PREFIX, after)
            except StoreError:
                continue  # it can't be said
        self._surroundings.heal_instance(self._here.number)
        await self._well()

    # --- what is asked for, here

    async def _put(self, *keys: str) -> int:
        """Elsewhere, and here it is heard of; its revision."""
        self._values += 1
        last = 0
        for some in (keys[:80], keys[80:]):
            changes = [Put(key, f'"5000-{self._values}"'.encode()) for key in some]
            if changes:
                life = self._alive(self._elsewhere)
                applied: Applied = await life.answer(life.cache.apply(changes), PATIENCE)
                last = applied.revision
        return last

    async def _get(self, key: str, revision: int) -> None:
        life = self._alive(self._here)
        await life.answer(life.cache.get(key, min_revision=revision), PATIENCE)

    async def _asked(
        self, scope: Scope, after: Token | None, wait: float = 0.0, *, instance: Instance | None = None
    ) -> Told:
        where, invoked = instance or self._here, self._loop.now
        life = self._alive(where)
        told: Told = await life.answer(life.cache.changes(scope, after=after, wait=wait), wait + PATIENCE)
        self._look_at(where, told, after, invoked)
        return told

    async def _compare(self, token: Token, last: int) -> None:
        """Go on from the token, in one way, until all keys have been told; as etcd has them."""
        life = self._alive(self._here)
        left = await life.answer(self._follow(life, token, last), PATIENCE)
        if left:
            self._problem(f"{len(left)} keys are never told: {sorted(left)[:3]}")

    async def _follow(self, life: Life, token: Token, last: int) -> set[str]:
        """The keys that are not told."""
        left, until = set(MANY), self._loop.now + PATIENCE / 2
        with life.cache.following(PREFIX, after=token) as following:
            while (left or token.revision < last) and self._loop.now < until:
                invoked = self._loop.now
                told = await following.next(0.5)
                if isinstance(told, Told):
                    self._look_at(self._here, told, token, invoked)
                    left -= {each.key for each in told.changes}
                    token = told.to
        return left

    def _look_at(self, where: Instance, told: Told, token: Token | None, invoked: float) -> None:
        machine, documents = where.machine, self._surroundings.documents()
        elapsed = (self._loop.now - invoked) * machine.rate
        if wrong := wrong_with(told, token, machine.options.staleness_bound, elapsed):
            self._problem(wrong)
        if documents is None:
            return
        for each in told.changes:
            there = documents.at(each.key, told.to.revision)
            if (each.value, each.mod_revision) != there[::-1]:
                self._problem(f"{each} was told as of {told.to.revision}, in etcd was {there}")

    def _alive(self, instance: Instance) -> Life:
        if instance.alive is None:
            raise Gone("refused")
        return instance.alive

    def _problem(self, what: str) -> None:
        self._report(f"followed at instance {self._here.number}: {what}")
