"""Several things that befall a fleet at the moments at which they hurt most."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from simulation.faults.kinds import Fault, Fleet
from simulation.plan import VISIBLE
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


def _unaudited(random: Random, fleet: Fleet) -> Sequence[Beat]:
    """Whoever audits goes, and somebody writes past the service before the next one looks for the first time."""
    del fleet
    return (
        (0, "end_auditor", (random.choice(("kill", "stop")),)),
        (random.uniform(0, 1), "write_outside", _many(random)),
        (random.uniform(1, 6), "start_everybody", ()),
    )


def _all_gone(random: Random, fleet: Fleet) -> Sequence[Beat]:
    """Nobody is there for a while, perhaps until all leases have ended, and somebody writes past the service."""
    harm, away = random.choice(("kill_instance", "stop_instance", "stop_instance")), random.uniform(1, 12)
    return (
        *((random.uniform(0, 0.5), harm, (who,)) for who in range(fleet.instances)),
        (random.uniform(0.3, away), "write_outside", _many(random)),
        *((away + random.uniform(0, 0.5), "start_instance", (who,)) for who in range(fleet.instances)),
    )


def _forgotten_before_it_is_told(random: Random, fleet: Fleet) -> Sequence[Beat]:
    """Somebody writes past the service, and etcd forgets what was before, while the next audit is due."""
    del fleet
    forgotten = [(random.uniform(0, 4), "compact", ()) for _ in range(random.randrange(1, 5))]
    return (*((random.uniform(0, 3), "write_outside", _many(random)) for _ in range(2)), *forgotten)


def _leaves_and_hears_nothing(random: Random, fleet: Fleet) -> Sequence[Beat]:
    """It writes down that it leaves, and the answers don't reach it."""
    who = random.randrange(fleet.instances)
    return (
        (0, "stop_instance", (who,)),
        (random.uniform(0, 0.1), "cut_off", (who, Way.TO_CLIENT.value)),
        (random.uniform(2, 4), "heal_instance", (who,)),
        (random.uniform(2, 6), "start_instance", (who,)),
    )


def _many(random: Random) -> tuple[int, int]:
    """How many documents are put, and how many deleted."""
    many = random.randrange(len(VISIBLE) + 1)
    return many, random.randrange(len(VISIBLE) + 1 - many)


def _unknown_and_untold(random: Random, fleet: Fleet) -> Sequence[Beat]:
    """Writes are done, and nobody is told so, neither by their answers nor by the watches."""
    chance, end = random.choice((0.3, 0.6, 0.9)), random.uniform(0.3, 1.5)
    return [
        beat
        for who in range(fleet.instances)
        for beat in (
            (0.0, "stall_streams", (who,)),
            (0.001, "break_answers", (who, chance)),
            (end, "break_answers", (who, 0.0)),
            (end + random.uniform(0, 0.5), "heal_instance", (who,)),
        )
    ]


def _paused_while_writing(random: Random, fleet: Fleet) -> Sequence[Beat]:
    """Its writes reach etcd, and all its deadlines have passed when it goes on."""
    who, paused = random.randrange(fleet.instances), random.uniform(0.02, 0.4)
    resumed = paused + random.uniform(1, 4)
    return (
        (0, "cut_off", (who, Way.TO_CLIENT.value)),
        (paused, "pause_instance", (who,)),
        (resumed, "resume_instance", (who,)),
        (resumed + random.choice((0.0, 0.5)), "heal_instance", (who,)),
    )


def _answered_late(random: Random, fleet: Fleet) -> Sequence[Beat]:
    """What it has asked is answered late, and its watch does not tell what has happened since."""
    who = random.randrange(fleet.instances)
    return (
        (0, "mute_streams", (who,)),
        (random.uniform(0.01, 0.1), "cut_off", (who, Way.TO_CLIENT.value)),
        (random.uniform(0.3, 1.5), "heal_instance", (who,)),
    )


FAULTS: dict[str, Fault] = {
    "all gone": _all_gone,
    "leaves and hears nothing": _leaves_and_hears_nothing,
    "forgotten before it is told": _forgotten_before_it_is_told,
    "unaudited": _unaudited,
    "answered late, and untold": _answered_late,
    "cut off, and compacted": _cut_off_and_compacted,
    "expelled unseen": _expelled,
    "leaves unseen": _leaves_unseen,
    "killed while writing": _killed_while_writing,
    "paused while writing": _paused_while_writing,
    "restored from a backup": _restored,
    "unknown and untold": _unknown_and_untold,
}
"""By name."""
