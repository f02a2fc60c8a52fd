"""What clients ask for, drawn from a plan's seed: which operations, which keys, where, how long they wait. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from random import Random

from simulation.faults import Fleet
from simulation.plan import KEYS, VISIBLE, Ask
from torture.history import Kind, Level

HOT = 3
"""The first so many keys are those that most ask for."""

_KEYS_UP_TO = tuple(itertools.accumulate((8.0,) * 3 + (3.0,) * 7 + (0.4,) * 40))

_ACTS = (
    ("read", Level.DEFAULT, 56),
    ("read", Level.UNCACHED, 6),
    ("read", Level.LINEARIZABLE, 8),
    ("read", Level.STALE, 5),
    ("read", Level.PAST, 2),
    ("put", Level.DEFAULT, 9),
    ("put", Level.SYNC, 3),
    ("delete", Level.DEFAULT, 2),
    ("delete", Level.SYNC, 1),
    ("conditional", Level.DEFAULT, 4),
    ("batch", Level.DEFAULT, 3),
    ("batch", Level.SYNC, 1),
)
_ACTS_UP_TO = tuple(itertools.accumulate(weight for *_, weight in _ACTS))


HURRY = 0.02
"""Seconds for which those wait who look at what is in memory, and at nothing else."""


def asks(random: Random, fleet: Fleet, seconds: float) -> tuple[Ask, ...]:
    """Of 2 to 20 clients, each in its order, of some who glance (faults can't hold them up), and of some who echo."""
    drawn = _busy(random, fleet, seconds)
    first = drawn[-1].client + 1 if drawn else 0
    echoes = first + random.choice((0, 1, 3))
    glances = tuple(_glances(random, fleet, seconds, range(first, echoes)))
    return (*drawn, *glances, *_echoes(random, fleet, seconds, range(echoes, echoes + random.choice((0, 1, 2)))))


def _glances(random: Random, fleet: Fleet, seconds: float, clients: range) -> Iterator[Ask]:
    """Default reads of few keys everywhere: what an instance serves from memory while it can't ask."""
    pause = random.choice((0.03, 0.1))
    for client in clients:
        now = random.expovariate(1 / pause)
        while now < seconds:
            where, key = random.randrange(fleet.instances), random.choice(KEYS[:HOT])
            yield Ask(client, round(now, 4), where, Kind.READ, Level.DEFAULT, (key,), (False,), ("",), patience=HURRY)
            now += random.expovariate(1 / pause)


def _echoes(random: Random, fleet: Fleet, seconds: float, clients: range) -> Iterator[Ask]:
    """A write, and as soon as it has returned a look at the key everywhere: what somebody may still serve then."""
    pause = random.choice((0.1, 0.4))
    for client in clients:
        now = random.expovariate(1 / pause)
        while now < seconds:
            at, key = round(now, 4), _key(random)
            level = random.choice((Level.SYNC, Level.SYNC, Level.DEFAULT))
            everywhere = random.sample(range(fleet.instances), fleet.instances)
            kind = random.choice((Kind.PUT, Kind.PUT, Kind.PUT, Kind.DELETE))
            yield Ask(client, at, everywhere[-1], kind, level, (key,), (kind is Kind.DELETE,), ("",))
            for where in everywhere:
                yield Ask(client, at, where, Kind.READ, Level.DEFAULT, (key,), (False,), ("",), patience=HURRY)
            now += random.expovariate(1 / pause)


def _busy(random: Random, fleet: Fleet, seconds: float) -> tuple[Ask, ...]:
    clients = random.randint(2, 20)
    pause = random.choice((0.05, 0.15, 0.4))
    loyal = random.random() < 0.3  # each client has an instance of its own
    hasty = random.choice((0.0, 0.0, 0.02, 0.6))
    quiet = random.random() < 0.3  # few write, and most of them wait for everybody
    drawn = []
    for client in range(clients):
        now, mine = 0.0, random.randrange(fleet.instances)
        while now < seconds:
            now += 0.0 if random.random() < 0.2 else random.expovariate(1 / pause)
            where = mine if loyal else random.randrange(fleet.instances)
            patience = random.uniform(0, 0.05) if random.random() < hasty else 0.0
            drawn.append(_ask(random, client, round(now, 4), where, patience, quiet))
    return tuple(drawn)


def _ask(random: Random, client: int, at: float, instance: int, patience: float, quiet: bool) -> Ask:
    act, level, _ = random.choices(_ACTS, cum_weights=_ACTS_UP_TO)[0]
    if quiet and act != "read":
        act, level = random.choices((("read", Level.DEFAULT), ("put", Level.SYNC), (act, level)), (90, 7, 3))[0]
    keys: tuple[str, ...] = (_key(random),)
    deletes: tuple[bool, ...] = (False,)
    conditions: tuple[str, ...] = ("",)
    asked = 0
    kind = Kind(act) if act != "conditional" else random.choice((Kind.PUT, Kind.PUT, Kind.DELETE))
    if kind is Kind.READ:
        asked = {Level.STALE: random.choice((2, 10)), Level.PAST: random.randrange(1, 60)}.get(level, 0)
        if level is not Level.PAST and random.random() < 0.05:
            keys = (random.choice(VISIBLE),)
    elif kind is Kind.DELETE:
        deletes = (True,)
    elif kind is Kind.BATCH:
        keys = tuple(dict.fromkeys(_key(random) for _ in range(random.randrange(2, 6))))
        deletes = tuple(random.random() < 0.2 for _ in keys)
        conditions = tuple(_condition(random, delete) for delete in deletes)
    if act == "conditional":
        conditions = (random.choice(("known", "known", "exists", "absent")),)
        if deletes[0] and conditions[0] == "absent":
            conditions = ("exists",)
    return Ask(client, at, instance, kind, level, keys, deletes, conditions, asked, patience)


def _key(random: Random) -> str:
    return random.choices(KEYS, cum_weights=_KEYS_UP_TO)[0]


def _condition(random: Random, delete: bool) -> str:
    chosen = random.choice(("", "", "", "", "", "exists", "absent", "known"))
    return "" if delete and chosen == "absent" else chosen
