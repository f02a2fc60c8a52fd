"""What a plan has besides, drawn apart from the rest: writes at their bounds, memories that are short, keys that are
guarded, clients that come together. Pure."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from consistency.core.records import MOST_NAMES
from simulation.crowds import crowds
from simulation.plan import AFTERWARDS, Ask, Machine, Plan
from torture.history import CHECKED, Kind, Level

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
        asks=(*at_bounds, *_bursts(plan), *crowds(plan, Random(f"crowds {plan.seed}"))),
        afterwards=AFTERWARDS if Random(f"afterwards {plan.seed}").random() < 0.35 else AFTERWARDS[:1],
        guarded=_guarded(Random(f"guarded {plan.seed}")),
    )


def _bursts(plan: Plan) -> tuple[Ask, ...]:
    """One more client: writes so many keys one after the other that nobody can be told of all of them at once.

    Some come while something keeps versions from instances: then those who follow changes are told of them afterwards.
    """
    random = Random(f"bursts {plan.seed}")
    client, instances = max((ask.client for ask in plan.asks), default=0) + 1, len(plan.machines)
    moments = [random.uniform(1.0, plan.seconds) for _ in range(random.choice((0, 1, 1)))]
    hidden = [step.at + random.uniform(0.1, 0.6) for step in plan.steps if step.action in HIDING]
    moments += random.sample(hidden, min(len(hidden), random.choice((0, 1, 2))))
    asks = list[Ask]()
    for moment in sorted(moments):
        for number in range(random.choice((2, 3))):
            first, many = random.randrange(len(MANY)), random.choice((60, 80, MOST_NAMES))
            keys = (*MANY[first:], *MANY[:first])[:many]
            for some in (keys, random.choice((keys[:1], (f"{CHECKED}hot-{number}",)))):
                asks.append(_put(client, round(moment, 4), random.randrange(instances), some))
    return tuple(asks)


def _put(client: int, at: float, instance: int, keys: tuple[str, ...]) -> Ask:
    kind = Kind.BATCH if len(keys) > 1 else Kind.PUT
    many = len(keys)
    return Ask(client, at, instance, kind, Level.DEFAULT, keys, (False,) * many, ("",) * many)


HIDING = ("lose_events", "stall_streams", "cut_off", "pause_instance", "reset")
"""What a fault does that keeps versions from an instance."""


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
