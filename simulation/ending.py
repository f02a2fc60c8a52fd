"""What the acts at the end of a run have in common: how they ask, and what they know of the answers.

All is well by then, and nobody else asks for anything. What clients are told is judged as everywhere; what an act finds
besides is a problem.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from random import Random

from consistency.core.model import PreconditionFailed, WrongTimeline
from consistency.core.store import StoreError
from simulation.client import Client, Record
from simulation.counting import Counting
from simulation.instance import Instance
from simulation.life import Gone, Life
from simulation.loop import Loop
from simulation.plan import Ask, Plan
from simulation.surroundings import SimulatedEtcd, name_of
from torture.history import Kind, Level, Operation

KEYS = ("t/warm-0", "t/warm-5", "t/warm-6")
"""Of which no policy demands anything. No more than the least memory takes."""

TOLD_WITHIN = 0.2
"""Virtual seconds in which a watch has told of a write: nothing is slow now."""

SOON = 0.03
"""Virtual seconds in which a watch tells, mostly: less than pass between two proofs."""

WELL_WITHIN = 20.0
"""Virtual seconds until an instance is well again that has lost its stream or its slot."""

REMEMBERED = 100
"""Names: more than what is written at the end between two audits."""

TRIES = 4
"""Puts of one key: a policy may refuse every other document, or those without a reason."""


class Ending:
    """See the module's opening. name: for what is told. made: a client of that number, who tells each operation also to
    the one given. well: returns when all instances are well again, in so many virtual seconds.
    """

    name = ""
    first = 4000
    """The number of its first client; there is one for each instance."""
    undisturbed = False
    """Whether auditors have nothing to tell of."""

    def __init__(
        self,
        plan: Plan,
        loop: Loop,
        instances: Sequence[Instance],
        surroundings: SimulatedEtcd,
        made: Callable[[int, Record], Client],
        well: Callable[[str, float], Awaitable[None]],
        problem: Callable[[str], None],
    ) -> None:
        self._plan = plan
        self._loop = loop
        self._instances = instances
        self._surroundings = surroundings
        self._counting: Counting = surroundings.counting
        self._well = well
        self._problem = problem
        self._random = Random(f"{self.name} {plan.seed}")
        self._last: dict[int, Operation] = {}
        self._loaded: dict[tuple[int, str], float] = {}  # when a key was last asked for whole, by instance
        self._nameless: dict[int, int] = {}  # the last version that named nothing, when an instance last learned
        self._leases: dict[int, int] = {}  # that held its slot then
        self._clients = [made(self.first + instance.number, self._note) for instance in instances]
        self._stranger = made(self.first + 90 - self.first % 3, self._note)  # one who remembers nothing
        self.acts: list[str] = []
        """Those that could be played."""

    def _note(self, operation: Operation) -> None:
        self._last[operation.client] = operation

    async def run(self) -> None:
        """Play it, as far as it can be done; then all is well again."""
        try:
            await self.play()
        except (StoreError, WrongTimeline, PreconditionFailed, Gone):
            pass  # what the act needs can't be written, by the policy that was left
        finally:
            self._counting.on = False
            self._counting.taken.clear()
            self._surroundings.let_answers_go()
            self._surroundings.heal()

    async def play(self) -> None:
        """All of it."""
        raise NotImplementedError

    # --- how it is asked

    async def _everywhere(self, act: Callable[[Instance], Awaitable[None]]) -> None:
        await asyncio.gather(*map(act, self._instances))

    async def _learn(self, instance: Instance, keys: Sequence[str] = KEYS) -> None:
        """Read keys twice, so that they are held: whatever was done to them, one load is enough."""
        self._nameless[instance.number] = self._last_nameless(instance)
        self._leases[instance.number] = self._life(instance).cache.status().lease
        for key in keys:
            await self._read(instance, key)
            await self._hits(instance, (key,), "it was just read")

    async def _hits(self, instance: Instance, keys: Iterable[str] = KEYS, why: str = "it is held") -> None:
        for key in keys:
            since, old = len(self._counting.taken), self._is_old(instance, key)
            read = await self._read(instance, key)
            asked = read.cache != "HIT" or self._asked_for(instance, key, since)
            if asked and not old and not self._all_was_named(instance) and not self._has_lost_its_slot(instance):
                self._broken(instance, f"{key} could have been a hit, since {why}: {how(read)}")

    async def _read(self, instance: Instance, key: str, *, stranger: bool = False) -> Operation:
        """By the instance's own client, or by one without a session."""
        client, now = self._stranger if stranger else self._clients[instance.number], self._loop.now
        await client.do(Ask(client.number, 0.0, instance.number, Kind.READ, Level.DEFAULT, (key,)))
        read = self._last[client.number]
        if read.cache == "MISS":
            self._loaded[instance.number, key] = now
        return read

    def _is_old(self, instance: Instance, key: str) -> bool:
        """Whether the value may have to be loaded whole again."""
        age = (self._loop.now - self._loaded.get((instance.number, key), 0.0)) * instance.machine.rate
        return age > instance.machine.options.max_age - SOON

    def _all_was_named(self, instance: Instance) -> bool:
        """Whether an auditor that could not compare has had everything validated, since the instance learned.

        One can compare if it remembers what was written since its last look, and nothing has befallen it since.
        """
        can = self.undisturbed and all(each.machine.options.names_remembered >= REMEMBERED for each in self._instances)
        return not can and self._last_nameless(instance) > self._nameless[instance.number]

    def _has_lost_its_slot(self, instance: Instance) -> bool:
        """Since it learned: a race may have kept its lease from being renewed."""
        return self._life(instance).cache.status().lease != self._leases[instance.number]

    def _last_nameless(self, instance: Instance) -> int:
        return self._life(instance).cache._state._fresh.history.all_named

    async def _put(self, instance: Instance, key: str, level: Level = Level.DEFAULT) -> Operation | None:
        """None: it could not be done."""
        client = self._clients[instance.number]
        for _ in range(TRIES):
            if await client.do(self._asking(instance, key, level)) == 200:
                return self._last[client.number]
        return None

    def _asking(self, instance: Instance, key: str, level: Level = Level.DEFAULT) -> Ask:
        """For a put, by the instance's own client."""
        return Ask(self.first + instance.number, 0.0, instance.number, Kind.PUT, level, (key,), (False,), ("",))

    def _asked_for(self, instance: Instance, key: str, since: int) -> list[bool]:
        return self._counting.asked_for(name_of(instance.number), key, since)

    def _somebody(self) -> Instance:
        return self._random.choice(self._instances)

    def _life(self, instance: Instance) -> Life:
        assert instance.alive is not None
        return instance.alive

    @staticmethod
    def _is_guarded(life: Life, key: str) -> bool:
        return life.cache.policy.guards(key)

    def _broken(self, instance: Instance, what: str) -> None:
        self._problem(f"instance {instance.number}, {self.name}: {what}")


def how(read: Operation) -> str:
    """In words."""
    return f"{read.cache or read.note} of {read.modified} at {read.revision}"
