"""What befalls the way between an instance and etcd. Nobody is told, but where connections break."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from simulation.faults.kinds import Fault, Fleet, instance, some_instance
from simulation.way import Way
from torture.schedule import Beat


def _one_member_away(random: Random, fleet: Fleet) -> Sequence[Beat]:
    who, number = random.randrange(fleet.instances), random.randrange(fleet.members)
    return ((0, "cut_off_from", (who, number)), (random.uniform(1, 8), "heal_instance", (who,)))


def _resets(random: Random, fleet: Fleet) -> Sequence[Beat]:
    """Its connections break, some times in a row."""
    who = random.randrange(fleet.instances)
    return [(random.uniform(0, 2), "reset", (who, random.random() < 0.5)) for _ in range(random.randrange(1, 6))]


FAULTS: dict[str, Fault] = {
    "cut off": instance("cut_off", "heal_instance", 0.3, 12),
    "requests held": instance("cut_off", "heal_instance", 0.3, 12, Way.TO_SERVER.value),
    "answers held": instance("cut_off", "heal_instance", 0.3, 12, Way.TO_CLIENT.value),
    "cut off from a member": _one_member_away,
    "watch stalled": instance("stall_streams", "heal_instance", 0.5, 8),
    "watch muted": some_instance("mute_streams"),
    "half open": instance("half_open", "heal_instance", 0.5, 8),
    "connections reset": _resets,
}
"""By name."""
