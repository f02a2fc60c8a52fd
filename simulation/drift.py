"""A clock that runs slower than the protocol allows: the plan in which a promise has to break. Pure."""

from __future__ import annotations

from dataclasses import replace
from itertools import repeat

from simulation.plan import KEYS, SETTLING, Ask, Plan, Weather
from torture.history import Kind, Level
from torture.schedule import Step


def drifting(plan: Plan, drift: float) -> Plan:
    """The first instance's clock is slower than allowed, by that much, and it is cut off from etcd again and again.

    It serves what it has until its own clock says that the bound is over. So a promise has to break.
    """
    times = [SETTLING + 6.0 * number for number in range(int((plan.seconds - SETTLING) / 6.0))]
    steps = [
        Step(at + after, number, "cut off", action, (0,))
        for number, at in enumerate(times, start=1)
        for after, action in ((0.0, "cut_off"), (3.0, "heal_instance"))
    ]
    slow = replace(plan.machines[0], rate=1 - drift)
    roomy = replace(slow, options=replace(slow.options, max_entries=1000, max_bytes=1 << 26, max_age=300.0))
    return replace(
        plan,
        machines=(roomy, *plan.machines[1:]),
        weather=Weather(),
        keepers=(),
        steps=tuple(steps),
        asks=tuple(ask for asks in map(_pressing, range(3), repeat(plan.seconds)) for ask in asks),
    )


def _pressing(client: int, seconds: float) -> list[Ask]:
    """What the first client writes by the second instance the others read, all the time, from the first.

    They don't wait long for an answer: what is in memory comes at once.
    """
    kind, instance, patience = (Kind.PUT, 1, 0.0) if client == 0 else (Kind.READ, 0, 0.02)
    return [
        Ask(client, turn * 0.02, instance, kind, Level.DEFAULT, (KEYS[turn % 3],), (False,), ("",), 0, patience)
        for turn in range(int(seconds / 0.02))
    ]
