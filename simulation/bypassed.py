"""The past of keys that the service writes and others write, too; and of times in which no history is kept (rule 19).

It is written after a run's last looks: no fault acts any more, so all that is promised is promised without an
exception, and known by what moment. Each key has a story of its own, told beside its name. etcd then forgets
its past, and what instances tell of each moment is compared with what etcd had.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from random import Random
from typing import Any

from consistency import AsyncDistributedCache
from consistency.core.model import SLOTS, Applied, PreconditionFailed, Reading, Written
from consistency.core.rollbacks import Plan as Way
from consistency.core.store import Change, Delete, OutcomeUnknown, Put, StoreError, Unavailable
from simulation.instance import Instance
from simulation.life import Gone
from simulation.loop import Loop
from simulation.plan import BOTH, VISIBLE, Plan
from simulation.record import PolicySent
from simulation.surroundings import SimulatedEtcd

NUMBER = 3000
"""Stands in the documents written here: clients and keepers have lower ones."""

PATIENCE = 5.0

TRIES = 3

ROUND = 6.0
"""Virtual seconds in which the trimmer has had a round of its own."""

SETTLED = 1.0
"""Virtual seconds in which a writer has looked back at what it has overwritten."""

FEW = 20
"""Names that a forgetful instance remembers at most."""

MOST = 900
"""Records, and what stands beside them, that one round of the trimmer looks at, and some to spare."""


class Bypassed:
    """See the module's opening. policies: what it has put is added to them. told: how many moments were asked for."""

    def __init__(
        self,
        plan: Plan,
        loop: Loop,
        instances: Sequence[Instance],
        surroundings: SimulatedEtcd,
        policies: list[PolicySent],
        problem: Callable[[str], None],
    ) -> None:
        self._plan = plan
        self._loop = loop
        self._instances = instances
        self._surroundings = surroundings
        self._policies = policies
        self._report = problem
        self._random = Random(f"bypassed {plan.seed}")
        self._values = 0
        self.asked = 0

    async def play(self) -> None:
        """All stories; nothing where a backup was restored, since there are two histories then."""
        if self._surroundings.documents() is None:
            return
        try:
            await self._play()
        except (StoreError, Gone, PreconditionFailed) as error:
            self._problem(f"{type(error).__name__}: {error}")

    async def _play(self) -> None:
        await self._policy(keep=1)
        trimmed = await self._put("trimmed")
        await self._delete("trimmed")
        await self._put("trimmed")
        await asyncio.sleep(ROUND)
        await self._forget_and_ask({"trimmed": [trimmed]})

        await self._policy(keep=20, max_bytes=40)
        moments = await self._written_by_others_too()
        moments["large"] = [await self._put("large", size=60), await self._put("large")][:1]
        before = {name: await self._put(name) for name in ("unkept", "vanished", "first", "ended")}
        await self._delete("ended")
        await asyncio.sleep(SETTLED)
        await self._forget_and_ask(moments)
        if some := self._who_remember():
            await self._put("audited", some)
            found = self._outside("audited")
            await asyncio.sleep(max(machine.options.audit_interval for machine in self._plan.machines) + SETTLED)
            await self._put("audited", some)
            await asyncio.sleep(SETTLED)
            await self._forget_and_ask({"audited": [found]})

        if writers := self._after_an_earlier_release():
            await self._put("older")
            await self._put("older-again")
            older = {name: self._by_an_older_release(name) for name in ("older", "older-again")}
            await self._put("older-again", writers)
            await asyncio.sleep(ROUND)
            await self._put("older", writers)
            await asyncio.sleep(SETTLED)
            await self._forget_and_ask({name: [revision] for name, revision in older.items()})

        await self._policy(keep=0)
        without = await self._put("unkept")
        await self._delete("vanished")
        gone, ended = await self._put("gone"), await self._put("ended")
        await self._delete("gone")
        await self._delete("ended")
        await self._forget_and_ask({"ended": [ended]})
        await self._policy(keep=1)
        _, names = self._surroundings.records()
        await self._put("unkept")
        await self._forget_and_ask({"unkept": [without]})
        await asyncio.sleep(2 * ROUND)
        if names < MOST:
            self._count_records()
        await self._put("vanished")
        first = await self._put("first")
        await self._forget_and_ask({"vanished": [before["vanished"]], "first": [first - 1]})
        await self._plan_back(gone)

    # --- the stories

    async def _written_by_others_too(self) -> dict[str, list[int]]:
        """By key, the revisions at which the past may be mistaken. All within moments: no audit has looked yet."""
        moments: dict[str, list[int]] = {}
        some = self._who_remember()
        if some:
            await self._put("overwritten")
            moments["overwritten"] = [self._outside("overwritten")]
            await self._put("overwritten", some)
        await self._put("recreated")
        self._outside_delete("recreated")
        moments["recreated"] = [self._revision()]
        await self._put("recreated")
        for name, deleted in (("twice", False), ("twice-anew", True)):
            await self._put(name)
            if deleted:
                await self._delete(name)
            moments[name] = [self._outside(name)]
            self._outside(name)
        forgetful = [each for each in self._instances if each not in some]
        if forgetful:
            await self._put("created")
            await self._delete("created")
            moments["created"] = [self._outside("created")]
            for _ in range(FEW):
                await self._put("other")
            await self._put("created", forgetful)
        return moments

    def _who_remember(self) -> Sequence[Instance]:
        """Those that can tell by which version a document of a moment ago was put."""
        return [each for each in self._instances if each.machine.options.names_remembered > FEW]

    def _after_an_earlier_release(self) -> Sequence[Instance]:
        """Who may overwrite what it has put: if the lowest slot's remembers that, those above all who do not."""
        remember = self._who_remember()
        slots = {each.number: each.alive.cache.status().slot for each in self._instances if each.alive}
        lowest = min(slots, key=lambda number: SLOTS if (slot := slots[number]) is None else slot, default=-1)
        if lowest in {each.number for each in remember} and len(remember) < len(self._instances):
            return [each for each in self._instances if each not in remember]
        return remember

    # --- who writes

    async def _put(self, name: str, instances: Sequence[Instance] = (), size: int = 0) -> int:
        written: Applied = await self._applied(Put(BOTH + name, self._value(size)), instances)
        return written.revision

    async def _delete(self, name: str) -> int:
        written: Applied = await self._applied(Delete(BOTH + name), ())
        return written.revision

    async def _applied(self, change: Change, instances: Sequence[Instance]) -> Applied:
        applied: Applied = await self._asked(lambda cache: cache.apply([change]), instances)
        return applied

    def _outside(self, name: str) -> int:
        """Somebody puts a document past the service; its revision."""
        return self._surroundings.put_outside(BOTH + name, self._value())

    def _outside_delete(self, name: str) -> None:
        self._surroundings.put_outside(BOTH + name, None)

    def _by_an_older_release(self, name: str) -> int:
        """An instance of a release that knows nothing of records puts a document; its revision."""
        return self._surroundings.put_by_an_older_release(BOTH + name, self._value())

    async def _policy(self, **history: int) -> None:
        """One that demands nothing, and keeps so much."""
        said = {"note": f"{NUMBER}.{len(self._policies)}", "guarded": self._plan.guarded, "history": history}
        text = json.dumps({**said, "schemas": {}, "reason_required": []})
        try:
            written: Written = await self._asked(lambda cache: cache.put_policy(text.encode()), ())
        except OutcomeUnknown:
            self._policies.append(PolicySent(text, None))
            raise
        except (StoreError, PreconditionFailed):
            self._policies.append(PolicySent(text, False))
            raise
        self._policies.append(PolicySent(text, True, written.revision))

    def _value(self, size: int = 0) -> bytes:
        self._values += 1
        return f'"{NUMBER}-{self._values}{"." * size}"'.encode()

    def _revision(self) -> int:
        return self._surroundings.cluster.machine.store.revision

    # --- what is told

    async def _forget_and_ask(self, moments: dict[str, list[int]]) -> None:
        """etcd forgets the past; then one instance is asked for each key's past at each of its moments."""
        self._surroundings.compact()
        for name, revisions in moments.items():
            for revision in revisions:
                await self._compare(BOTH + name, revision)

    async def _compare(self, key: str, revision: int) -> None:
        self.asked += 1
        try:
            told: Reading = await self._asked(lambda cache: cache.get_at(key, revision), ())
        except StoreError:
            return  # it can't be known, which is right, too
        documents = self._surroundings.documents()
        assert documents is not None
        there = documents.at(key, revision)
        if (told.value, told.mod_revision) != (there.value, there.mod_revision):
            self._problem(f"{key} at {revision} was told as {told}, in etcd was {there}")

    async def _plan_back(self, revision: int) -> None:
        """A document that was put and deleted while no history was kept has left no name."""
        prefix = f"{BOTH}gone"
        plan: Way = await self._asked(lambda cache: cache.plan(prefix, revision), ())
        if not plan.steps and not plan.unknowable:
            self._problem(f"the plan of {prefix} at {revision} leaves out what has been deleted since: {plan}")

    def _count_records(self) -> None:
        """One of each key is kept, and one only."""
        many, _ = self._surroundings.records()
        surplus = {key: there for key, there in many.items() if there > 1 and key not in VISIBLE}
        if surplus:
            self._problem(f"more than one record is kept: {surplus}")

    async def _asked(
        self, work: Callable[[AsyncDistributedCache], Awaitable[Any]], instances: Sequence[Instance]
    ) -> Any:
        """Of one of these, or of any; again if it says that it was not done: a lease may just have ended."""
        for _ in range(TRIES):
            try:
                return await self._asked_once(work, instances)
            except Unavailable:
                await asyncio.sleep(SETTLED)
        return await self._asked_once(work, instances)

    async def _asked_once(
        self, work: Callable[[AsyncDistributedCache], Awaitable[Any]], instances: Sequence[Instance]
    ) -> Any:
        life = self._random.choice(instances or self._instances).alive
        if life is None:
            raise Gone("refused")
        return await life.answer(work(life.cache), PATIENCE)  # type: ignore[arg-type]

    def _problem(self, what: str) -> None:
        self._report(f"the past beside others: {what}")
