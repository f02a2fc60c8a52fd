"""What befalls the process of an instance: it is paused, killed, stopped, or something holds its loop."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from simulation.faults.kinds import Fault, Fleet, instance
from torture.schedule import Beat


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
"""By name."""
