"""One run: the fleet, its clients and its faults in one loop, from the plan to what is to be judged.

Owns the order of things: a fleet that has come up, clients and faults beside one another, everything healed and
recovered, a last look at every key, an orderly end. What etcd and the network can do is in `surroundings`.
"""

from __future__ import annotations

import asyncio
import gc
import hashlib
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Protocol

from consistency.core.events import StoreCalled
from consistency.core.store import Store
from simulation.client import LAST_LOOK, LAST_WORD, Client
from simulation.follower import Follower
from simulation.instance import Clock, Instance
from simulation.invariants import Invariants
from simulation.loop import Endless, Loop, Stuck
from simulation.plan import KEYS, VISIBLE, Ask, Plan
from simulation.real import refused
from torture.followed import Told
from torture.history import Kind, Level, Operation
from torture.schedule import Step
from torture.truth import Change, Truth

READY_WITHIN = 30.0
"""Virtual seconds in which a fleet has to come up."""

RECOVERED_WITHIN = 20.0
"""Virtual seconds after the last fault in which every instance has to be ready again, and a member."""

PLAYED_WITHIN = 15.0
"""Virtual seconds that the last operations may take: a stream lives for 6, and is waited for for 5 more."""

Tell = Callable[[float, str, object], None]


class Restored(Protocol):
    """A restored backup."""

    @property
    def at(self) -> float:
        """When, virtual seconds."""


class Surroundings(Protocol):
    """Etcd and the network, as a run needs them. The actions of a plan's steps that no instance can do are theirs."""

    def connect(self, number: int, clock: Clock) -> Store:
        """The store of a new process of that instance."""

    def lost(self, number: int) -> None:
        """The process of that instance has died: its connections end."""

    def begin(self) -> None:
        """The weather of the plan, from now on."""

    def heal(self) -> None:
        """End every fault, and the weather."""

    def revoke(self, lease: int) -> None:
        """End a lease."""

    def write_outside(self, many: int, deletes: int) -> None:
        """Write so many documents past the service, and delete so many."""

    def delete_member_key(self, slot: int) -> None:
        """As somebody does by hand."""

    @property
    def restored(self) -> Restored | None:
        """When a backup was restored, if one was."""

    def changes(self, timeline: int) -> Iterable[Change]:
        """Everything that was committed, with the moment of its commit. timeline: how many backups were restored."""


@dataclass
class Run:
    """What a run gave. problems: what needs no checker to be wrong. outside: reads of keys that others write.

    followed: what those were told who follow changes.

    truth, truth_after: everything that was committed. split_at: when a backup was restored, so that another history
    began (`truth_after`); None: never. begun: when clients and faults did, virtual seconds. steps: callbacks.
    seconds: virtual, in all.
    """

    plan: Plan
    history: list[Operation] = field(default_factory=list)
    outside: list[Operation] = field(default_factory=list)
    followed: list[Told] = field(default_factory=list)
    truth: Truth = field(default_factory=lambda: Truth(()))
    split_at: float | None = None
    truth_after: Truth = field(default_factory=lambda: Truth(()))
    problems: list[str] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    begun: float = 0.0
    steps: int = 0
    seconds: float = 0.0


def digest(run: Run) -> str:
    """What tells a run from every other: all that was asked, told and committed, and how many steps that took."""
    committed = (run.truth.changes, run.truth_after.changes)
    told = (run.history, run.outside, run.followed, run.problems, committed, run.steps, run.seconds)
    return hashlib.sha256(repr(told).encode()).hexdigest()[:16]


Surround = Callable[[Plan, Loop, Random], Surroundings]


def play(plan: Plan, surround: Surround, tell: Tell | None = None) -> Run:
    """The run of a plan. `tell`: is told what happens; it must not touch anything."""
    loop = Loop(Random(f"order {plan.seed}"), fifo=plan.fifo)  # type: ignore[abstract]  # the rest would be I/O
    run = Run(plan)
    gc.collect()
    gc.disable()  # when it would come is nobody's affair
    try:
        with refused(f"chance {plan.seed}", loop.time) as asked:
            world = loop.run_until_complete(_made(lambda: World(plan, loop, run, surround, tell)))
            try:
                loop.run_until_complete(world.play())
            except (Endless, Stuck) as error:
                run.problems.append(f"{type(error).__name__}: {error}")
            finally:
                world.over = True
                loop.tasks()
                gc.collect()
                loop.close()
            run.truth = Truth(world.surroundings.changes(0))
            if restored := world.surroundings.restored:
                run.split_at, run.truth_after = restored.at, Truth(world.surroundings.changes(1))
        run.problems += [f"asyncio complained: {said}" for said in loop.complaints]
        run.problems += [f"something real was asked for: {what}" for what in asked]
    finally:
        gc.enable()
    run.steps, run.seconds = loop.steps, loop.now
    return run


async def _made(make: Callable[[], World]) -> World:
    """On the loop, which etcd's simulation looks for."""
    return make()


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
        self._numbers = itertools.count(1)
        self._invariants = Invariants(self.instances, self.problem)

    def tell(self, who: str, what: object) -> None:
        """For the story."""
        if not self.over and self._told is not None and not isinstance(what, StoreCalled):
            self._told(self.loop.now, who, what)

    def problem(self, what: str) -> None:
        """Something that must not happen has happened."""
        if self.over:
            return
        self.run.problems.append(f"at {self.loop.now:.6f} s: {what}")
        self.tell("PROBLEM", what)

    def record(self, operation: Operation) -> None:
        """One more."""
        (self.run.outside if operation.key in VISIBLE else self.run.history).append(operation)
        if self._told is not None:
            self._told(self.loop.now, f"client {operation.client}", operation)

    def follow(self, told: Told) -> None:
        """One more word to a follower."""
        self.run.followed.append(told)
        if self._told is not None:
            self._told(self.loop.now, f"follower {told.follower}", told)

    async def play(self) -> None:
        """All of it."""
        for instance in self.instances:
            instance.start()
        await self._recovered("come up", READY_WITHIN)
        watch = self.loop.create_task(self._invariants.watch(), name="invariants")
        await self._suffer()
        if self.plan.cut_short:
            return
        self._heal()
        await self._recovered("recovered", RECOVERED_WITHIN)
        await self._look_at_everything()
        watch.cancel()
        await self._end()
        mine = asyncio.current_task()
        for task in self.loop.tasks():
            if task is not mine and not (task.owner and task.owner.dead) and task is not watch:
                self.problem(f"a task is left: {task.get_name()}")

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
            follower = Follower(number, self.loop, self.instances, random, self.follow, self.problem)
            players.append(self.loop.create_task(follower.play(until), name=f"follower {number}"))
        players.append(self.loop.create_task(self._faults(), name="faults"))
        done, late = await asyncio.wait(players, timeout=self.plan.seconds + PLAYED_WITHIN)
        for task in sorted(late, key=hash):
            self.problem(f"{task.get_name()} has not come to its end")
            task.cancel()
        for task in sorted(done, key=hash):
            task.result()

    def _client(self, number: int) -> Client:
        return Client(number, self.loop, self.instances, self._numbers, self.record, self.problem)

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
        own = getattr(self, step.action, None)
        (own or getattr(self.surroundings, step.action))(*step.arguments)

    # --- what a plan may ask for; the rest is asked of the surroundings

    def pause_instance(self, who: int) -> None:
        """SIGSTOP."""
        self.instances[who].pause()

    def resume_instance(self, who: int) -> None:
        """SIGCONT."""
        self.instances[who].resume()

    def stall_instance(self, who: int, seconds: float) -> None:
        """Something holds its loop for so long."""
        self.instances[who].stall(seconds)

    def kill_instance(self, who: int) -> None:
        """SIGKILL."""
        self.instances[who].kill()
        self.surroundings.lost(who)

    def stop_instance(self, who: int) -> None:
        """SIGTERM; does not wait."""
        self.instances[who].stop()

    def start_instance(self, who: int) -> None:
        """A new process, unless one is there."""
        self.instances[who].start()

    def revoke_lease(self, who: int) -> None:
        """The lease of a living instance ends."""
        if (life := self.instances[who].alive) and (lease := life.cache.status().lease):
            self.surroundings.revoke(lease)

    def delete_member_key_of(self, who: int) -> None:
        """Somebody deletes its member key by hand."""
        if (life := self.instances[who].alive) and (slot := life.cache.status().slot) is not None:
            self.surroundings.delete_member_key(slot)

    # --- the end

    def _heal(self) -> None:
        self.tell("fault", "all faults end")
        self.surroundings.heal()
        for instance in self.instances:
            while instance.alive and instance.alive.owner.held is not None:
                instance.resume()

    async def _recovered(self, what: str, within: float) -> None:
        """Each of them, at some moment from now on."""
        deadline, late = self.loop.now + within, list(self.instances)
        while late := [instance for instance in late if not self._is_well(instance)]:
            if self.loop.now >= deadline:
                for instance in late:
                    self.problem(f"instance {instance.number} has not {what} within {within:g} s: {_how(instance)}")
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

    async def _look_at_everything(self) -> None:
        """Every key as every instance has it, long after the last write; then what is written past the service."""
        await asyncio.sleep(self.plan.bound + 0.1)
        clients = [self._client(LAST_LOOK + instance.number) for instance in self.instances]
        await self._look(clients, KEYS)
        # Nobody audits while the lowest slot is held by the lease of somebody dead: a backup brings such leases back.
        await asyncio.sleep(max(machine.options.lease_ttl for machine in self.plan.machines) + 1.0)
        for many, deletes in ((2, 0), (1, 2)):
            await self._look(clients, VISIBLE)
            self.surroundings.write_outside(many, deletes)
            await asyncio.sleep(2 * max(machine.options.audit_interval for machine in self.plan.machines) + 1.0)
            await self._look([self._client(LAST_WORD + client.number) for client in clients], VISIBLE)
        for instance in self.instances:
            self._invariants.at_rest(instance)

    async def _look(self, clients: Sequence[Client], keys: Sequence[str]) -> None:
        looks = (self._look_at(*each, keys) for each in zip(self.instances, clients, strict=True))
        await asyncio.gather(*looks)

    async def _look_at(self, instance: Instance, client: Client, keys: Sequence[str]) -> None:
        for key in keys:
            await client.do(Ask(client.number, 0.0, instance.number, Kind.READ, Level.DEFAULT, (key,)))

    async def _end(self) -> None:
        ends = [instance.stop() for instance in self.instances]
        for end in ends:
            if end is not None:
                await asyncio.wait((end,))


def _how(instance: Instance) -> str:
    life = instance.alive
    if life is None:
        return "it is dead"
    status = life.cache.status()
    return f"slot {status.slot}, fresh {status.fresh}, watch up {status.watch_up}, {status.why_not_ready or 'ready'}"
