"""What a plan has besides, drawn apart from the rest: writes at their bounds, memories that are short, keys that are
guarded, clients that come together. Pure."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from consistency.core.versions import MOST_NAMES
from simulation.crowds import crowds
from simulation.plan import Ask, Machine, Plan
from torture.history import CHECKED, Kind

MANY = tuple(f"{CHECKED}many-{number:03}" for number in range(120))
"""Keys that batches at their bound alone write."""

SHORT_MEMORY = 3_200
"""Bytes of an instance that remembers few versions."""

LARGE = 2_500
"""Bytes of a document that the least memory of an instance does not take."""


def enriched(plan: Plan) -> Plan:
    """The plan, with its extras."""
    random = Random(f"extras {plan.seed}")
    machines = tuple(_forgetful(machine, random) for machine in plan.machines)
    at_bounds = tuple(_at_its_bound(ask, random) for ask in plan.asks)
    return replace(
        plan,
        machines=machines,
        asks=(*at_bounds, *crowds(plan, Random(f"crowds {plan.seed}"))),
        guarded=_guarded(Random(f"guarded {plan.seed}")),
    )


def _guarded(random: Random) -> tuple[str, ...]:
    """Nothing, some of the keys that most ask for, or every key."""
    some = (f"{CHECKED}hot-0", f"{CHECKED}hot-1", f"{CHECKED}warm-1", f"{CHECKED}cold-1")
    return random.choice(((), some, some, some[:1], (CHECKED,)))


def _forgetful(machine: Machine, random: Random) -> Machine:
    bytes_ = random.choice((SHORT_MEMORY, 32_000, machine.options.history_bytes, machine.options.history_bytes))
    return replace(machine, options=replace(machine.options, history_bytes=bytes_))


def _at_its_bound(ask: Ask, random: Random) -> Ask:
    chance = random.random()
    if ask.kind is Kind.PUT and chance < 0.05:
        return replace(ask, size=LARGE)
    if ask.kind is Kind.BATCH and chance < 0.08:
        many = random.choice((63, MOST_NAMES, MOST_NAMES, MOST_NAMES + 1))
        return replace(ask, keys=MANY[:many], deletes=(False,) * many, conditions=("",) * many)
    return ask
