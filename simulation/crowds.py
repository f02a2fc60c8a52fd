"""Clients that come at the same time: writers who crowd at one instance, and seekers, who look for what they have just
written where somebody is reading it. Pure; drawn apart from the rest of a plan, so that it stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from simulation.plan import KEYS, Ask, Plan
from simulation.workload import HURRY
from torture.history import Kind, Level

WRITTEN = (*KEYS[:6], "t/cold-1")
"""The keys that crowds write: hot ones, and those of which policies demand something."""


def crowds(plan: Plan, random: Random) -> Iterator[Ask]:
    """Of 0 to 6 writers, and of 0 to 2 pairs of a seeker and somebody who reads; numbered after all others."""
    first = max((ask.client for ask in plan.asks), default=-1) + 1
    many = random.choice((0, 0, 4, 6))
    for client in range(first, first + many):
        yield from _crowding(plan, Random(f"crowd {plan.seed}"), random, client)
    for pair in range(random.choice((0, 1, 2))):
        seeker = first + many + 2 * pair
        moments = tuple(_moments(plan, random, random.choice((0.1, 0.3))))
        places = [random.choices(range(len(plan.machines)), k=2) for _ in moments]
        keys = [random.sample(KEYS, 2) for _ in moments]
        for at, (here, there), named in zip(moments, places, keys, strict=True):
            yield from _seeking(plan, random, seeker, at, here, there, named)
        for at, (_, there), named in zip(moments, places, keys, strict=True):
            late = round(at + random.uniform(0, 0.01), 4)
            yield Ask(seeker + 1, late, there, Kind.READ, Level.DEFAULT, (named[0],), (False,), ("",))


def _moments(plan: Plan, random: Random, pause: float) -> Iterator[float]:
    now = random.expovariate(1 / pause)
    while now < plan.seconds:
        yield round(now, 4)
        now += random.expovariate(1 / pause)


def _crowding(plan: Plan, shared: Random, random: Random, client: int) -> Iterator[Ask]:
    """A put of one of a few keys, when and where all the others put, too. shared: draws the same for all of them."""
    for at in _moments(plan, shared, 0.5):
        where, level = shared.randrange(len(plan.machines)), shared.choice((Level.DEFAULT, Level.DEFAULT, Level.SYNC))
        patience = random.uniform(0, 0.05) if random.random() < 0.2 else 0.0
        late = round(at + random.choice((0.0, 0.0, random.uniform(0, 0.3))), 4)
        key = random.choice(WRITTEN)
        kind = Kind.READ if random.random() < 0.2 else Kind.PUT
        level = Level.DEFAULT if kind is Kind.READ else level
        yield Ask(client, late, where, kind, level, (key,), (False,), ("",), patience=patience)


def _seeking(
    plan: Plan, random: Random, client: int, at: float, here: int, there: int, keys: list[str]
) -> Iterator[Ask]:
    """A write here, and then a look there; or a look, a write and a look here; or two keys at once, so that nobody
    serves the old values, and then a look everywhere."""
    how = random.random()
    if how < 0.4:
        level = random.choice((Level.DEFAULT, Level.LINEARIZABLE))
        if random.random() < 0.5:  # else it is mostly unknown there
            yield Ask(client, at, there, Kind.READ, Level.DEFAULT, (keys[0],), (False,), ("",))
        yield Ask(client, at, here, Kind.PUT, Level.DEFAULT, (keys[0],), (False,), ("",))
        yield Ask(client, at, there, Kind.READ, level, (keys[0],), (False,), ("",))
        return
    if how < 0.8:
        key, condition = random.choice(WRITTEN), random.choice(("", "known"))
        yield Ask(client, at, here, Kind.READ, Level.DEFAULT, (key,), (False,), ("",))
        yield Ask(client, at, here, Kind.PUT, Level.DEFAULT, (key,), (False,), (condition,))
        yield Ask(client, at, here, Kind.READ, Level.DEFAULT, (key,), (False,), ("",))
        return
    both = random.choice(WRITTEN[:2]), random.choice(WRITTEN[3:])  # in most seeds the first alone is guarded
    everywhere = random.sample(range(len(plan.machines)), len(plan.machines))
    for where in everywhere:
        yield Ask(client, at, where, Kind.READ, Level.DEFAULT, both[1:], (False,), ("",), patience=HURRY)
    yield Ask(client, at, here, Kind.BATCH, Level.SYNC, both, (False, False), ("", ""))
    for where in everywhere:
        for key in both[::-1]:
            yield Ask(client, at, where, Kind.READ, Level.DEFAULT, (key,), (False,), ("",), patience=HURRY)
