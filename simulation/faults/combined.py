"""Several things that befall a fleet at the moments at which they hurt most."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from simulation.faults.kinds import Fault, Fleet
from simulation.way import Way
from torture.schedule import Beat


def _cut_off_and_compacted(random: Random, fleet: Fleet) -> Sequence[Beat]:
    """Its stream ends, and before it is back its horizon is forgotten."""
    who = random.randrange(fleet.instances)
    return (
        (0, "cut_off", (who,)),
        (0.01, "reset", (who, False)),
        (random.uniform(0.1, 2), "compact", ()),
        (random.uniform(2, 4), "heal_instance", (who,)),
    )


def _killed_while_writing(random: Random, fleet: Fleet) -> Sequence[Beat]:
    """Its writes reach etcd, the answers don't, and then there is nobody to receive them."""
    who = random.randrange(fleet.instances)
    return (
        (0, "cut_off", (who, Way.TO_CLIENT.value)),
        (random.uniform(0.05, 0.4), "kill_instance", (who,)),
        (0.5, "heal_instance", (who,)),
        (random.uniform(0.6, 3), "start_instance", (who,)),
    )


def _restored(random: Random, fleet: Fleet) -> Sequence[Beat]:
    """Some instances meet the other history late: they are cut off while it happens."""
    lost, away = random.uniform(0.3, 6), random.sample(range(fleet.instances), random.randrange(fleet.instances))
    compacted = random.choice(((), ((lost - 0.2, "compact", ()),), ((lost + random.uniform(0.1, 1), "compact", ()),)))
    return (
        (0, "save", ()),
        *compacted,
        *((lost - 0.1, "cut_off", (who,)) for who in away),
        (lost, "restore", (random.random() < 0.5, random.random() < 0.2)),
        *((lost + random.uniform(0.1, 5), "heal_instance", (who,)) for who in away),
    )


def _expelled(random: Random, fleet: Fleet) -> Sequence[Beat]:
    """Its slot goes, and its watch does not say so."""
    who = random.randrange(fleet.instances)
    return (
        (0, "stall_streams", (who,)),
        (0.01, random.choice(("revoke_lease", "delete_member_key_of")), (who,)),
        (random.uniform(1, 8), "heal_instance", (who,)),
    )


def _leaves_unseen(random: Random, fleet: Fleet) -> Sequence[Beat]:
    """Somebody goes while the streams of the others, who would be told, break."""
    who, *others = random.sample(range(fleet.instances), fleet.instances)
    harm = random.choice(("stop_instance", "kill_instance", "revoke_lease"))
    return (
        (0, harm, (who,)),
        *((random.uniform(0, 0.3), "reset", (other, True)) for other in others),
        (random.uniform(0.5, 3), "start_instance", (who,)),
    )


FAULTS: dict[str, Fault] = {
    "cut off, and compacted": _cut_off_and_compacted,
    "expelled unseen": _expelled,
    "leaves unseen": _leaves_unseen,
    "killed while writing": _killed_while_writing,
    "restored from a backup": _restored,
}
"""By name."""
