"""One run: the fleet, its clients and its faults in one loop, from the plan to what is to be judged.

Owns the order of things: a fleet that has come up, clients and faults beside one another, everything healed and
recovered, a last look at every key, an orderly end. What etcd and the network can do is in `surroundings`.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from random import Random

from consistency.core.events import StoreCalled
from simulation.afterwards import Afterwards
from simulation.away import Away
from simulation.bypassed import Bypassed
from simulation.calm import Calm
from simulation.client import Client, Record
from simulation.diary import Diary
from simulation.ending import Ending
from simulation.followed import Followed
from simulation.follower import Follower
from simulation.guarding import guard
from simulation.historian import Historian
from simulation.instance import Instance
from simulation.invariants import Invariants
from simulation.keeper import Keeper
from simulation.loop import Loop
from simulation.onlooker import Onlooker
from simulation.owners import Owner
from simulation.plan import BYSTANDERS, ONLOOKERS, VISIBLE, Plan
from simulation.processes import Processes
from simulation.quiet import Quiet
from simulation.races import Races
from simulation.record import Order, Run
from simulation.recovery import Recovery
from simulation.restoring import Restoring
from simulation.surroundings import SimulatedEtcd
from simulation.witness import Witness
from torture.followed import Told
from torture.history import Operation
from torture.schedule import Step

READY_WITHIN = 30.0
"""Virtual seconds in which a fleet has to come up."""

RECOVERED_WITHIN = 20.0
"""Virtual seconds after the last fault in which every instance has to be ready again, and a member."""

PLAYED_WITHIN = 15.0
"""Virtual seconds that the last operations may take: a stream lives for 6, and is waited for for 5 more."""

Tell = Callable[[float, str, object], None]

Surround = Callable[[Plan, Loop, Random], SimulatedEtcd]


def ignore(told: Told) -> None:
    """Keep no record of what a bystander is told: it is judged when all is over."""


class World:
    """See the module's opening."""

    def __init__(
        self,
        plan: Plan,
        loop: Loop,
        run: Run,
        surround: Surround,
        tell: Tell | None,
    ) -> None:
        self.plan = plan
        self.loop = loop
        self.run = run
        self.over = False
        self._told = tell
        self.surroundings = surround(plan, loop, Random(f"network {plan.seed}"))
        self.instances = [
            Instance(number, loop, machine, self.surroundings.connect, self.tell, self.problem)
            for number, machine in enumerate(plan.machines)
        ]
        self._followers: list[Follower] = []
        self._numbers = itertools.count(1)
        self._invariants = Invariants(self.instances, self.surroundings.current, self.problem)
        self._witness = Witness(self.instances, self.surroundings.current, self.problem)
        self._diary = Diary(self.instances, self.tell)
        loop.after_step = self._invariants.after_step if tell is None else self._look
        self._processes = Processes(self.instances, self.surroundings)
        self._afterwards = Afterwards(run, loop, self.instances, self.surroundings, self.sign, self.problem)
        self._quiet = Quiet(plan, loop, self.instances, self.surroundings, self.problem)
        self._recovery = Recovery(plan, loop, self.instances, self.surroundings, self._client, self.tell, self.problem)
        self._calm = self._ending(Calm)
        self._endings = [self._ending(kind) for kind in (Races, Away)]
        self._last = self._ending(Restoring)

    def tell(self, who: str, what: object) -> None:
        """For the story."""
        if not self.over and self._told is not None and not isinstance(what, StoreCalled):
            self._told(self.loop.now, who, what)

    def _look(self, owner: Owner) -> None:
        self._diary.after_step(owner)
        self._invariants.after_step(owner)

    def problem(self, what: str) -> None:
        """Something that must not happen has happened."""
        if self.over:
            return
        self.run.problems.append(f"at {self.loop.now:.6f} s: {what}")
        self.tell("PROBLEM", what)

    def record(self, operation: Operation) -> None:
        """One more."""
        (self.run.outside if operation.key in VISIBLE else self.run.history).append(operation)
        self._witness.look(operation)
        if self._told is not None:
            self._told(self.loop.now, f"client {operation.client}", operation)

    def sign(self, order: Order) -> None:
        """One more write is sent."""
        self.run.orders[order.author.request] = order

    def follow(self, told: Told) -> None:
        """One more word to a follower."""
        self.run.followed.append(told)
        if self._told is not None:
            self._told(self.loop.now, f"follower {told.follower}", told)

    async def play(self) -> None:
        """All of it."""
        for instance in self.instances:
            instance.start()
        await self._recovery.recovered("come up", READY_WITHIN)
        if self.plan.guarded:
            await guard(self.run, self.instances)
        rounds = self.loop.create_task(self._invariants.rounds(), name="invariants")
        await self._suffer()
        if self.plan.cut_short:
            return
        self._recovery.heal()
        await self._recovery.recovered("recovered", RECOVERED_WITHIN)
        await self._told_afterwards()
        await self._recovery.look_at_everything()
        await self._bypassed_afterwards()
        await asyncio.gather(*(follower.compare(self.surroundings.present) for follower in self._followers))
        self._invariants.at_rest(self.surroundings)
        await self._recovery.recovered("recovered from the ending", RECOVERED_WITHIN)
        await self._afterwards.ask()
        await self._calm.run()
        self._invariants.at_rest(self.surroundings)
        for ending in self._endings:
            await ending.run()
        # By then the leases of the dead have ended, and that is written down.
        await asyncio.sleep(max(machine.options.lease_ttl for machine in self.plan.machines) + 5.0)
        self._invariants.at_rest(self.surroundings)
        await self._quiet.watch()
        rounds.cancel()
        last = [life.cache.status().lease for instance in self.instances if (life := instance.alive)]
        restores = self.plan.seed % 2 == 0  # then etcd's history of the fleet is not what it has been
        if restores:
            await self._last.run()
        await self._recovery.end()
        for wrong in () if restores else self.surroundings.books().wrong(self.instances, last):
            self.problem(wrong)
        mine = asyncio.current_task()
        for task in self.loop.tasks():
            if task is not mine and not (task.owner and task.owner.dead) and task is not rounds:
                self.problem(f"a task is left: {task.get_name()}")

    async def _told_afterwards(self) -> None:
        """Before the last looks: what clients are told who follow changes."""

        async def well() -> None:
            await self._recovery.recovered("recovered", RECOVERED_WITHIN)

        if "followed" in self.plan.afterwards:
            await Followed(self.plan, self.loop, self.instances, self.surroundings, well, self.problem).play()

    async def _bypassed_afterwards(self) -> None:
        """After the last looks: the past of what others write, too."""
        if "bypassed" in self.plan.afterwards:
            policies = self.run.policies
            await Bypassed(self.plan, self.loop, self.instances, self.surroundings, policies, self.problem).play()

    async def _suffer(self) -> None:
        begun = self.run.begun = self.loop.now
        self.surroundings.begin()
        until = begun + self.plan.seconds
        clients = [
            (self._client(number), tuple(asks))
            for number, asks in itertools.groupby(self.plan.asks, lambda ask: ask.client)
        ]
        players = [
            self.loop.create_task(client.play(asks, begun, until), name=f"client {client.number}")
            for client, asks in clients
        ]
        for number in self.plan.followers:
            random = Random(f"follower {self.plan.seed} {number}")
            record = self.follow if number not in BYSTANDERS else ignore
            follower = Follower(
                number, self.loop, self.instances, random, record, self.problem, self.surroundings.untold
            )
            self._followers.append(follower)
            players.append(self.loop.create_task(follower.play(until), name=f"follower {number}"))
        for number in self.plan.onlookers:
            onlooker = self._onlooker(number)
            players.append(self.loop.create_task(onlooker.play(until), name=f"onlooker {number}"))
        for number in self.plan.keepers:
            keeper = self._keeper(number)
            players.append(self.loop.create_task(keeper.play(until), name=f"keeper {number}"))
        players.append(self.loop.create_task(self._faults(), name="faults"))
        done, late = await asyncio.wait(players, timeout=self.plan.seconds + PLAYED_WITHIN)
        for task in sorted(late, key=hash):
            self.problem(f"{task.get_name()} has not come to its end")
            task.cancel()
        for task in sorted(done, key=hash):
            task.result()

    def _client(self, number: int, besides: Record | None = None) -> Client:
        """besides: is told of each of its operations, too."""

        def record(operation: Operation) -> None:
            self.record(operation)
            if besides is not None:
                besides(operation)

        return Client(number, self.loop, self.instances, self._numbers, record, self.sign, self.problem)

    def _ending(self, kind: type[Ending]) -> Ending:
        return kind(
            self.plan, self.loop, self.instances, self.surroundings, self._client, self._recovery.recovered,
            self.problem,
        )  # fmt: skip

    def _onlooker(self, number: int) -> Onlooker | Historian:
        random = Random(f"onlooker {self.plan.seed} {number}")
        kind = Onlooker if number < ONLOOKERS[-1] else Historian
        return kind(number, self.loop, self.instances, self.surroundings.documents, random, self.problem)

    def _keeper(self, number: int) -> Keeper:
        random = Random(f"keeper {self.plan.seed} {number}")
        return Keeper(
            number, self.loop, self.instances, self.surroundings, random, self.run.policies, self.plan.guarded,
            self.sign, self.tell, self.problem,
        )  # fmt: skip

    async def _faults(self) -> None:
        begun, seen = self.run.begun, set[int]()
        for step in self.plan.steps:
            await asyncio.sleep(max(0.0, begun + step.at - self.loop.now))
            self.tell("fault", step)
            self._perform(step)
            if step.fault not in seen:
                self.run.faults[step.kind] += 1
            seen.add(step.fault)

    def _perform(self, step: Step) -> None:
        own = getattr(self._processes, step.action, None)
        (own or getattr(self.surroundings, step.action))(*step.arguments)
