"""Plays a plan: its loop, with what is real refused, from the first callback to the last; what it gave is a `Run`."""

from __future__ import annotations

import gc
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from types import FrameType

from simulation.loop import Endless, Loop, Stuck
from simulation.plan import Plan
from simulation.real import refused
from simulation.record import Run
from simulation.world import Surround, Tell, World
from torture.truth import Truth


def play(plan: Plan, surround: Surround, tell: Tell | None = None) -> Run:
    """The run of a plan. `tell`: is told what happens; it must not touch anything. Raises Interrupted."""
    loop = Loop(Random(f"order {plan.seed}"), fifo=plan.fifo)  # type: ignore[abstract]  # the rest would be I/O
    run = Run(plan)
    gc.collect()
    gc.disable()  # when it would come is nobody's affair
    try:
        with refused(f"chance {plan.seed}", loop.time) as asked, told_apart(loop), steps_end(loop):
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
            run.sent = world.surroundings.sent
            run.truth = Truth(world.surroundings.changes(0))
            if restored := world.surroundings.restored:
                run.split_at, run.truth_after = restored.at, Truth(world.surroundings.changes(1))
        run.problems += [f"asyncio complained: {said}" for said in loop.complaints]
        run.problems += [f"something real was asked for: {what}" for what in asked]
    finally:
        gc.enable()
    run.steps, run.seconds = loop.steps, loop.now
    return run


A_STEP = 20.0
"""Seconds of the processor within which something has to end: a run takes some, a step a thousandth of one."""


@contextmanager
def steps_end(loop: Loop) -> Iterator[None]:
    """A step that never ends is a break of its own: no other step is counted, and no time passes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    seen = (-1.0, -1)

    def looked_at(number: int, frame: FrameType | None) -> None:
        del number, frame
        nonlocal seen
        if seen == (now := (loop.now, loop.steps)):
            loop.interrupted = Endless(f"a step has not ended in {A_STEP:g} s of the processor, at {loop.now:.6f} s")
            raise loop.interrupted
        seen = now

    before = signal.signal(signal.SIGVTALRM, looked_at)
    signal.setitimer(signal.ITIMER_VIRTUAL, A_STEP, A_STEP)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0.0)
        signal.signal(signal.SIGVTALRM, before)


@contextmanager
def told_apart(loop: Loop) -> Iterator[None]:
    """What an alarm of the machine raises ends the run as what it is: it comes in the middle of some callback.

    1. A test's time is over while a task of an instance runs. 2. The handler raises; asyncio takes that for the task's
    own end. 3. An instance seems to have failed, and a promise to be broken.
    """
    before = signal.getsignal(signal.SIGALRM)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return
    handle = before

    def alarmed(number: int, frame: FrameType | None) -> None:
        try:
            handle(number, frame)
        except BaseException as error:
            loop.interrupted = error
            raise

    signal.signal(signal.SIGALRM, alarmed)
    try:
        yield
    finally:
        signal.signal(signal.SIGALRM, before)


async def _made(make: Callable[[], World]) -> World:
    """On the loop, which etcd's simulation looks for."""
    return make()
