"""What a fleet has to do when all is well, and at what price. After the faults nothing excuses a refusal, or a detour.

Clients that come together are asked for as one: a crowd that reads one key costs one load, a crowd that puts costs a
few transactions. A write waits for those who acknowledge it, and not for the bound. One that was decided under a policy
which is no more is decided anew.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from consistency import AsyncDistributedCache
from consistency.core.model import Author, Written
from simulation.instance import Instance
from simulation.life import Gone
from simulation.loop import Loop
from simulation.record import Order, PolicySent, Run
from simulation.surroundings import SimulatedEtcd

AUTHOR = "afterwards"

FREE, GUARDED = "kept/a", "kept/b"
"""Prefixes of keys that the last policy leaves as they are, and guards."""

PATIENCE = 8.0
"""Virtual seconds for a request, which takes some milliseconds."""

CROWD = 20
"""Clients that come together."""

IN_A_ROW = 40
"""Reads that each of a crowd makes, one after another."""

MOST_BATCHES, MOST_IN_ORDER = int(2.95 * IN_A_ROW), IN_A_ROW + 5
"""Transactions for all of them. In their order those whom an answer has woken all come in time for the next one. As
chance orders them, some come too late: it takes 2.6 transactions a round, and 3.2 if a few go ahead of the others."""

MOST_VERSIONS = 8
"""Versions that a crowd's puts make: two for a guarded group; a few may have gone before the others."""


class Afterwards:
    """See the module's opening. `problem` is told of what should not be."""

    def __init__(
        self,
        run: Run,
        loop: Loop,
        instances: Sequence[Instance],
        etcd: SimulatedEtcd,
        sign: Callable[[Order], None],
        problem: Callable[[str], None],
    ) -> None:
        self._run = run
        self._loop = loop
        self._instances = instances
        self._etcd = etcd
        self._sign = sign
        self._problem = problem
        self._orders = 0

    async def ask(self) -> None:
        """All of it, one after another."""
        for number, instance in enumerate(self._instances[:2]):  # the first policy guards more, the second does not
            if await self._put_policy(instance, f"last {number}"):
                for other in (*self._instances[number + 1 :], *self._instances[:number]):
                    await self._write(other, f"{FREE}0")
                    await self._write(other, f"{GUARDED}0")
        await asyncio.sleep(self._run.plan.bound / 2 + 0.5)  # all have read the policy, and have a proof since
        for instance in self._instances:
            await self._one_load(instance)
        await self._few_batches(self._instances[0])
        for instance in self._instances[:2]:
            await self._few_versions(instance, FREE)
            await self._few_versions(instance, GUARDED)
        await asyncio.sleep(1.0)  # what was written has come to all

    # --- what each has to do

    async def _put_policy(self, instance: Instance, note: str) -> bool:
        """One that demands nothing, and guards some keys besides."""
        guarded = [*self._run.plan.guarded, GUARDED]
        text = json.dumps({"note": note, "guarded": guarded, "history": {}, "schemas": {}, "reason_required": []})
        written = await self._asked(
            instance, "put a policy", lambda cache: cache.put_policy(text.encode(), author=Author(AUTHOR))
        )
        if written is not None:
            self._run.policies.append(PolicySent(text, True, written.revision, AUTHOR))
        return written is not None

    async def _write(self, instance: Instance, key: str) -> None:
        """A synchronous put: all acknowledge it, so that nobody waits for the bound."""
        begun, (value, author) = self._loop.now, self._signed(key)
        written: Written | None = await self._asked(
            instance, f"put {key}", lambda cache: cache.put(key, value, sync=True, author=author)
        )
        acks, total = (written and written.acks) or (0, 0)
        if written is not None and (acks < total or self._loop.now - begun >= self._run.plan.bound):
            self._problem(f"instance {instance.number}: a put of {key} waited out the bound: {written}")

    # --- what it may cost

    async def _one_load(self, instance: Instance) -> None:
        """A crowd that reads one key while it is loaded: one load."""
        await self._write(self._instances[instance.number - 1], f"{FREE}1")
        await asyncio.sleep(0.1)  # its version has come
        before = instance.batches
        first = asyncio.ensure_future(self._read(instance))
        while instance.batches == before and not first.done() and not _loads(instance):
            await asyncio.sleep(0)
        await asyncio.gather(first, *(self._read(instance, number) for number in range(CROWD)))
        if (made := instance.batches - before) > 1:
            self._problem(f"instance {instance.number}: a key was loaded {made} times for readers who came together")

    async def _read(self, instance: Instance, pause: int = 0) -> None:
        for _ in range(pause):
            await asyncio.sleep(0)
        await self._asked(instance, "read", lambda cache: cache.get(f"{FREE}1"))

    async def _few_batches(self, instance: Instance) -> None:
        """A crowd that reads past the memory, again and again, goes together."""
        before = instance.batches
        await asyncio.gather(*(self._in_a_row(instance) for _ in range(CROWD)))
        most = MOST_IN_ORDER if self._run.plan.fifo else MOST_BATCHES
        if (made := instance.batches - before) > most:
            self._problem(f"instance {instance.number}: {made} batches for a crowd that reads {IN_A_ROW} times")

    async def _in_a_row(self, instance: Instance) -> None:
        for _ in range(IN_A_ROW):
            await self._asked(instance, "read", lambda cache: cache.get(f"{FREE}2", use_cache=False))

    async def _few_versions(self, instance: Instance, prefix: str) -> None:
        """A crowd that puts goes together."""
        before = self._etcd.versions()
        await asyncio.gather(*(self._put(instance, f"{prefix}-{number}") for number in range(CROWD)))
        if (made := self._etcd.versions() - before) > MOST_VERSIONS:
            self._problem(f"instance {instance.number}: {made} versions for {CROWD} puts that came together")

    async def _put(self, instance: Instance, key: str) -> None:
        await self._asked(instance, f"put {key}", lambda cache: cache.put(key, b"1"))

    # --- asking

    def _signed(self, key: str) -> tuple[bytes, Author]:
        self._orders += 1
        value, author = f'"{AUTHOR} {self._orders}"', Author(AUTHOR, f"{AUTHOR} {self._orders}")
        self._sign(Order(author, {key: value}))
        return value.encode(), author

    async def _asked(
        self, instance: Instance, what: str, work: Callable[[AsyncDistributedCache], Coroutine[Any, Any, Any]]
    ) -> Any:
        """The answer; None, and a problem, if there is none."""
        life = instance.alive
        try:
            if life is None:
                raise Gone("refused")
            return await life.answer(work(life.cache), PATIENCE)
        except Exception as error:  # noqa: BLE001  # whatever it is: nothing is in the way
            self._problem(f"instance {instance.number} could not {what}: {type(error).__name__}: {error}")
            return None


def _loads(instance: Instance) -> bool:
    """Whether a load is on its way."""
    return instance.alive is not None and bool(instance.alive.cache._reads._batches._loading)
