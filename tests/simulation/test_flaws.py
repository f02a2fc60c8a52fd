"""What releases of etcd get wrong, switched on: the checks find what the protocol can't make up for, and only that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest

from simulation.drawing import plan
from simulation.etcd import Flaws
from simulation.faults import FAULTS
from simulation.loop import Loop
from simulation.plan import Ask, Plan, Weather
from simulation.play import play
from simulation.surroundings import SimulatedEtcd
from simulation.verdict import judge
from torture.history import Kind, Level
from torture.schedule import Step

pytestmark = pytest.mark.lasting

SECONDS = 22.0
KEY = "t/hot-0"


def with_flaws(**flaws: float) -> Callable[[Plan, Loop, Random], SimulatedEtcd]:
    """An etcd of a release that has them."""

    def surround(plan: Plan, loop: Loop, random: Random) -> SimulatedEtcd:
        made = SimulatedEtcd(plan, loop, random)
        made.cluster.flaws = Flaws(**flaws)  # type: ignore[arg-type]
        return made

    return surround


def broken(plan: Plan, **flaws: float) -> list[str]:
    """The checks that find something, of a run with these flaws."""
    return [violation.check for violation in judge(play(plan, with_flaws(**flaws)))]


def paused_and_asked(seed: int) -> Plan:
    """Instance 0 reaches only the member that is paused again and again, while the others elect a leader and go on.

    Somebody writes at instance 1, which never reaches that member; somebody reads at instance 0, and waits for nothing.
    """
    beats = (
        (-1.0, "move_leader", ()),  # of three, one at least leaves another than the member that is paused
        (0.0, "cut_off_from", (0, 1)),
        (0.0, "cut_off_from", (0, 2)),
        (0.3, "pause_member", (0,)),
        (1.1, "resume_member", (0,)),
        (4.5, "heal_instance", (0,)),
    )
    steps = [
        Step(0.5, 0, "cut off", "cut_off_from", (1, 0)),
        *(
            Step(begin + after, number, "paused", action, arguments)
            for number, begin in enumerate((4.0, 10.0, 16.0), start=1)
            for after, action, arguments in beats
        ),
    ]
    drawn = plan(seed, faults={})
    machines = [replace(each, options=replace(each.options, timeout=3.0)) for each in drawn.machines]
    return replace(
        drawn,
        seconds=min(drawn.seconds, SECONDS),
        members=3,
        secured=False,
        weather=Weather(latency=(0.0005, 0.004)),
        machines=tuple(machines),
        steps=tuple(steps),
        asks=(*asks(0, 1, Kind.PUT, Level.DEFAULT, 0.0), *asks(1, 0, Kind.READ, Level.UNCACHED, 0.1)),
        followers=(),
    )


def asks(client: int, instance: int, kind: Kind, level: Level, patience: float) -> list[Ask]:
    """Twenty a second."""
    once = Ask(client, 0.0, instance, kind, level, (KEY,), (False,), ("",), patience=patience)
    return [replace(once, at=number / 20) for number in range(int(SECONDS * 20))]


def test_old_reads_after_a_pause_are_found() -> None:
    """HAZARDS: etcd #20418. No client of an etcd that does so can be linearizable; without it the same runs are."""
    plans = [paused_and_asked(seed) for seed in (1, 2, 3)]
    assert all(broken(each, stale_reads_after_pause=0.5) for each in plans)
    assert not any(broken(each) for each in plans)


def test_a_renewal_of_a_lease_that_is_gone_does_no_harm() -> None:
    """Rule 4: every proof reads the member key."""
    faults = {name: FAULTS[name] for name in ("lease revoked", "instance paused past its lease", "cut off")}
    plans = [replace(plan(seed, faults=faults), members=3) for seed in (2, 4)]
    assert all(each.steps for each in plans)
    assert [broken(each, renews_dead_leases=True) for each in plans] == [[], []]
