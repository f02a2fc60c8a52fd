"""Draws a plan from its seed: options, clocks, weather, faults, clients. Pure.

Each seed is another weather (swarm testing): it switches on some kinds of fault, at rates of its own, and draws the
options of the fleet, so that one run is all about lost answers, and another about compactions beside pauses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from random import Random

from consistency.core.options import CLOCK_RATE_ERROR, CacheOptions
from simulation.drift import drifting
from simulation.extras import enriched
from simulation.faults import APART, FAULTS, Fault, Fleet
from simulation.plan import SETTLING, Machine, Plan, Weather
from simulation.workload import asks
from torture.schedule import Beat, Step

MOST = (0, 2, 5, 10, 15)
MOST_APART = (0, 1, 2, 3)
"""Kinds of faults in a run: one of these."""

LATER = 1000
"""The number of the first fault that is drawn apart."""


def plan(seed: int, *, faults: Mapping[str, Fault] = FAULTS, drift: float = 0.0) -> Plan:
    """The run of a seed. `drift`: see `drifting`."""
    random = Random(f"plan {seed}")
    fleet = Fleet(instances=random.randint(2, 8), members=random.choice((1, 3, 3, 3)))
    seconds = random.uniform(12, 30)
    bound = random.choice((0.3, 1.0, 1.0, 1.0, 2.0))
    drawn = Plan(
        seed=seed,
        seconds=seconds,
        bound=bound,
        fifo=random.random() < 0.3,
        members=fleet.members,
        secured=random.random() < 0.2,
        weather=_weather(random),
        machines=tuple(_machine(random, bound) for _ in range(fleet.instances)),
        steps=_steps(random, {name: faults[name] for name in faults if name not in APART}, fleet, seconds, MOST),
        asks=asks(random, fleet, seconds),
    )
    apart = {name: faults[name] for name in faults if name in APART}
    more = _steps(Random(f"apart {seed}"), apart, fleet, seconds, MOST_APART, first=LATER)
    drawn = replace(drawn, steps=tuple(sorted((*drawn.steps, *more), key=lambda step: (step.at, step.fault))))
    return drifting(drawn, drift) if drift else enriched(drawn)


def _machine(random: Random, bound: float) -> Machine:
    half = CLOCK_RATE_ERROR / 2 * 0.99  # of two machines one is faster than the other by the rate error at most
    options = CacheOptions(
        staleness_bound=bound,
        timeout=random.choice((1.0, 3.0, 3.0)),
        lease_ttl=random.choice((3, 4, 10)),
        max_entries=random.choice((3, 20, 1000)),
        max_bytes=random.choice((2_000, 64 * 1024 * 1024)),
        max_age=random.choice((2.0, 300.0)),
        audit_interval=random.choice((1.0, 2.0, 5.0)),
        preferred_slot=random.choice((None, None, 0, 7)),
    )
    rate = random.choice((random.uniform(-half, half), half, -half))
    return Machine(1 + rate, random.uniform(0, 1e6), options)


def _weather(random: Random) -> Weather:
    calm = random.random() < 0.4
    return Weather(
        latency=random.choice(((0.0005, 0.004), (0.001, 0.03), (0.002, 0.2))),
        lost_before=0.0 if calm else random.choice((0.0, 0.002, 0.03)),
        lost_after=0.0 if calm else random.choice((0.0, 0.002, 0.03)),
        slow_watches=0.0 if calm else random.choice((0.0, 0.02, 0.2)),
    )


def _steps(
    random: Random, faults: Mapping[str, Fault], fleet: Fleet, seconds: float, most: Sequence[int], first: int = 1
) -> tuple[Step, ...]:
    """most: how many kinds there may be, one of these. first: the number of the first fault."""
    names = sorted(faults)
    chosen = random.sample(names, min(random.choice(most), len(names)))
    begun: list[tuple[float, str, Sequence[Beat]]] = []
    for kind in chosen:
        pause = random.choice((3.0, 5.0, 10.0))
        moment = SETTLING + random.expovariate(1 / pause)
        while moment < seconds:
            begun.append((moment, kind, faults[kind](random, fleet)))
            moment += random.expovariate(1 / pause)
    begun.sort(key=lambda fault: fault[:2])
    steps = [
        Step(round(begin + after, 4), number, kind, action, arguments)
        for number, (begin, kind, beats) in enumerate(begun, start=first)
        for after, action, arguments in beats
        if begin + after < seconds
    ]
    return tuple(sorted(steps, key=lambda step: (step.at, step.fault)))
