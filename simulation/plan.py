"""What happens in a run, decided up front by its seed: the fleet, the faults, and what clients ask for. Pure.

A plan is data: a part of it can be left out, and the rest played again (`shrink`). What it does not hold is drawn while
it is played, from the same seed: the order of callbacks, delays and losses of single messages.

Each seed is another weather (swarm testing): it switches on some kinds of fault, at rates of its own, and draws the
options of the fleet, so that one run is all about lost answers, and another about compactions beside pauses.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import repeat
from random import Random
from typing import Any

from consistency.core.options import CLOCK_RATE_ERROR, CacheOptions
from torture.history import CHECKED, Kind, Level
from torture.schedule import Beat, Step

FOLLOWERS = (0, 1, 2, 3)
"""Who follows changes: the even ones poll, the odd ones stream."""

SETTLING = 3.0
"""Virtual seconds at the beginning without a fault."""

OUTSIDE = "outside/"
"""Keys that somebody writes past the service, and nobody else."""

KEYS = tuple(
    f"{CHECKED}{sort}-{number}" for sort, many in (("hot", 3), ("warm", 7), ("cold", 40)) for number in range(many)
)
_KEYS_UP_TO = tuple(itertools.accumulate((8.0,) * 3 + (3.0,) * 7 + (0.4,) * 40))

VISIBLE = tuple(f"{OUTSIDE}{number}" for number in range(4))
"""The keys beneath OUTSIDE."""


@dataclass(frozen=True, slots=True)
class Machine:
    """One instance's: `rate` is how fast its clock runs, `booted` what it showed at the beginning."""

    rate: float
    booted: float
    options: CacheOptions


@dataclass(frozen=True, slots=True)
class Weather:
    """How single messages fare between instances and etcd; what is not here is the same for all runs.

    latency: seconds that one takes, at least and at most (mostly near the least). Chances: lost_before, lost_after:
    of a call, that it fails before or after it was executed; slow_watches: of a watch, that it falls behind a while.
    """

    latency: tuple[float, float] = (0.0005, 0.01)
    lost_before: float = 0.0
    lost_after: float = 0.0
    slow_watches: float = 0.0


@dataclass(frozen=True, slots=True)
class Ask:
    """One operation of a client. `at`: seconds after the beginning, unless the one before has taken longer.

    deletes, conditions: of a write, one for each key. A condition: "", "absent", "exists", or "known": at the
    mod_revision that this client saw last. asked: of a STALE read, the seconds that it allows; of one of the PAST, how
    many revisions before what the client has seen. patience: seconds until the client goes away; 0: as long as any.
    """

    client: int
    at: float
    instance: int
    kind: Kind
    level: Level
    keys: tuple[str, ...]
    deletes: tuple[bool, ...] = ()
    conditions: tuple[str, ...] = ()
    asked: int = 0
    patience: float = 0.0


@dataclass(frozen=True, slots=True)
class Plan:
    """A run. steps: of the faults, by time. asks: of each client in its order, all of them by `client`.

    followers: the numbers of those who follow changes; what each does is decided by the seed and its number.
    cut_short: it ends with its last operation; nobody is asked to recover, and nothing is looked at.
    """

    seed: int
    seconds: float
    bound: float
    fifo: bool
    members: int
    secured: bool
    weather: Weather
    machines: tuple[Machine, ...]
    steps: tuple[Step, ...]
    asks: tuple[Ask, ...]
    followers: tuple[int, ...] = FOLLOWERS
    cut_short: bool = False


Fault = Callable[[Random, "Fleet"], Sequence[Beat]]


@dataclass(frozen=True, slots=True)
class Fleet:
    """What a fault may befall."""

    instances: int
    members: int


def instance(harm: str, cure: str, low: float, high: float, *arguments: Any) -> Fault:
    """Something befalls an instance, and ends."""

    def fault(random: Random, fleet: Fleet) -> Sequence[Beat]:
        who = random.randrange(fleet.instances)
        return ((0, harm, (who, *arguments)), (random.uniform(low, high), cure, (who,)))

    return fault


def member(harm: str, cure: str, low: float, high: float, most: int = 1) -> Fault:
    """Something befalls `most` members of etcd, and ends."""

    def fault(random: Random, fleet: Fleet) -> Sequence[Beat]:
        whom = random.sample(range(fleet.members), min(most, fleet.members))
        end = random.uniform(low, high)
        return [beat for who in whom for beat in ((0.0, harm, (who,)), (end, cure, (who,)))]

    return fault


def at_once(action: str, *arguments: Any) -> Fault:
    """Something happens, and is over."""

    def fault(random: Random, fleet: Fleet) -> Sequence[Beat]:
        del random, fleet
        return ((0, action, arguments),)

    return fault


def some_instance(action: str, *arguments: Any) -> Fault:
    """Something happens to an instance, and is over."""

    def fault(random: Random, fleet: Fleet) -> Sequence[Beat]:
        return ((0, action, (random.randrange(fleet.instances), *arguments)),)

    return fault


def switched(action: str, low: float, high: float) -> Fault:
    """Something is switched on, and off."""

    def fault(random: Random, fleet: Fleet) -> Sequence[Beat]:
        del fleet
        return ((0, action, (True,)), (random.uniform(low, high), action, (False,)))

    return fault


def _stalls(random: Random, fleet: Fleet) -> Sequence[Beat]:
    """A loop that something holds now and then."""
    who = random.randrange(fleet.instances)
    times = sorted(random.uniform(0, 3) for _ in range(random.randrange(1, 12)))
    return [(time, "stall_instance", (who, random.uniform(0.005, 0.4))) for time in times]


def _rolling_restart(random: Random, fleet: Fleet) -> Sequence[Beat]:
    order = random.sample(range(fleet.instances), fleet.instances)
    return [
        beat
        for place, who in enumerate(order)
        for beat in ((2.0 * place, "stop_instance", (who,)), (2.0 * place + 1.5, "start_instance", (who,)))
    ]


FAULTS: dict[str, Fault] = {
    "instance paused": instance("pause_instance", "resume_instance", 0.3, 3),
    "instance paused past its lease": instance("pause_instance", "resume_instance", 5, 12),
    "instance killed": instance("kill_instance", "start_instance", 0.01, 5),
    "instance stopped": instance("stop_instance", "start_instance", 0.5, 4),
    "instance stalls": _stalls,
    "rolling restart": _rolling_restart,
}
"""By name; the rest is added by those who can do it."""


def plan(seed: int, *, faults: dict[str, Fault] = FAULTS, drift: float = 0.0) -> Plan:
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
        steps=_steps(random, faults, fleet, seconds),
        asks=_asks(random, fleet, seconds),
    )
    return drifting(drawn, drift) if drift else drawn


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
    return Machine(random.uniform(1 - half, 1 + half), random.uniform(0, 1e6), options)


def _weather(random: Random) -> Weather:
    calm = random.random() < 0.4
    return Weather(
        latency=random.choice(((0.0005, 0.004), (0.001, 0.03), (0.002, 0.2))),
        lost_before=0.0 if calm else random.choice((0.0, 0.002, 0.03)),
        lost_after=0.0 if calm else random.choice((0.0, 0.002, 0.03)),
        slow_watches=0.0 if calm else random.choice((0.0, 0.02, 0.2)),
    )


def _steps(random: Random, faults: dict[str, Fault], fleet: Fleet, seconds: float) -> tuple[Step, ...]:
    names = sorted(faults)
    chosen = random.sample(names, min(random.choice((0, 2, 5, 10, 15)), len(names)))
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
        for number, (begin, kind, beats) in enumerate(begun, start=1)
        for after, action, arguments in beats
        if begin + after < seconds
    ]
    return tuple(sorted(steps, key=lambda step: (step.at, step.fault)))


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


def _asks(random: Random, fleet: Fleet, seconds: float) -> tuple[Ask, ...]:
    clients = random.randint(2, 20)
    pause = random.choice((0.05, 0.15, 0.4))
    loyal = random.random() < 0.3  # each client has an instance of its own
    hasty = random.choice((0.0, 0.0, 0.02, 0.6))
    asks = []
    for client in range(clients):
        now, mine = 0.0, random.randrange(fleet.instances)
        while now < seconds:
            now += 0.0 if random.random() < 0.2 else random.expovariate(1 / pause)
            where = mine if loyal else random.randrange(fleet.instances)
            patience = random.uniform(0, 0.05) if random.random() < hasty else 0.0
            asks.append(_ask(random, client, round(now, 4), where, patience))
    return tuple(asks)


def _ask(random: Random, client: int, at: float, instance: int, patience: float) -> Ask:
    act, level, _ = random.choices(_ACTS, cum_weights=_ACTS_UP_TO)[0]
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
