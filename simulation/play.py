"""Plays a plan: its loop, with what is real refused, from the first callback to the last; what it gave is a `Run`."""

from __future__ import annotations

import gc
from collections.abc import Callable
from random import Random

from simulation.loop import Endless, Loop, Stuck
from simulation.plan import Plan
from simulation.real import refused
from simulation.record import Run
from simulation.world import Surround, Tell, World
from torture.truth import Truth


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
