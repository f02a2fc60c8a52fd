"""Which faults come when: decided up front from one seed, so that a failing run can be had again. Pure.

Owns the catalogue of faults. Two lanes run beside one another: what befalls etcd, and what befalls instances and their
network. Within a lane one fault follows the other; each kind occurs once before any occurs twice.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from random import Random
from typing import Any

SETTLING = 3.0
"""Seconds at the beginning and at the end without a fault."""

BREATH = (0.5, 2.5)
"""Seconds between two faults of a lane."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that is done, `at` seconds after the start: `World.<action>(*arguments)`. A fault is several steps."""

    at: float
    fault: int
    kind: str
    action: str
    arguments: tuple[Any, ...] = ()

    def __str__(self) -> str:
        return f"{self.at:7.2f} s  #{self.fault:<3d} {self.kind:24s} {self.action}{self.arguments!r}"

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: str) -> Step:
        """The inverse of `to_json`."""
        found = json.loads(line)
        return cls(**{**found, "arguments": tuple(found["arguments"])})


Beat = tuple[float, str, tuple[Any, ...]]
"""Seconds after the fault's beginning, the action and its arguments."""

Fault = Callable[[Random, int], Sequence[Beat]]
"""From a random number generator and the number of instances to what happens."""


def _member(harm: str, low: float, high: float) -> Fault:
    def fault(random: Random, instances: int) -> Sequence[Beat]:
        del instances
        return ((0, harm, (random.choice(("leader", "follower")), 1)), (random.uniform(low, high), "revive", ()))

    return fault


def _quorum_lost(random: Random, instances: int) -> Sequence[Beat]:
    del instances
    harm = random.choice(("kill_members", "pause_members"))
    return ((0, harm, (random.choice(("leader", "follower")), 2)), (5, "revive", ()))


def _at_once(action: str) -> Fault:
    def fault(random: Random, instances: int) -> Sequence[Beat]:
        del random, instances
        return ((0, action, ()),)

    return fault


def _revoked(random: Random, instances: int) -> Sequence[Beat]:
    return ((0, "revoke_lease", (random.randrange(instances),)),)


def _instance(harm: str, cure: str, low: float, high: float, *arguments: Any) -> Fault:
    def fault(random: Random, instances: int) -> Sequence[Beat]:
        who = random.randrange(instances)
        return ((0, harm, (who, *arguments)), (random.uniform(low, high), cure, (who,)))

    return fault


def _reset(random: Random, instances: int) -> Sequence[Beat]:
    who = random.randrange(instances)
    times = sorted(random.uniform(0, 2) for _ in range(5))
    return tuple((time, "reset", (who,)) for time in times)


def _killed_while_writing(random: Random, instances: int) -> Sequence[Beat]:
    """Its writes reach etcd, the answers don't, and then there is nobody to receive them."""
    who = random.randrange(instances)
    return (
        (0, "hold", (who, "data", "answers")),
        (random.uniform(0.05, 0.4), "kill_instance", (who,)),
        (0.5, "heal", (who,)),
        (random.uniform(0.6, 3), "start_instance", (who,)),
    )


def _cut_off_and_compacted(random: Random, instances: int) -> Sequence[Beat]:
    who = random.randrange(instances)
    return (
        (0, "hold", (who, "", "requests", "answers")),
        (0.1, "reset", (who,)),
        (random.uniform(1.2, 2), "compact", ()),
        (random.uniform(2.2, 4), "heal", (who,)),
    )


def _rolling_restart(random: Random, instances: int) -> Sequence[Beat]:
    order = random.sample(range(instances), instances)
    stops = [(2.5 * place, "stop_instance", (who,)) for place, who in enumerate(order)]
    return [beat for stop in stops for beat in (stop, (stop[0] + 1.5, "start_instance", stop[2]))]


ETCD: dict[str, Fault] = {
    "member killed": _member("kill_members", 0.5, 4),
    "member paused": _member("pause_members", 1, 10),
    "quorum lost": _quorum_lost,
    "leader moved": _at_once("move_leader"),
    "compaction": _at_once("compact"),
    "version key deleted": _at_once("delete_version"),
    "version key overwritten": _at_once("overwrite_version"),
    "outside writes": _at_once("write_outside"),
}

INSTANCES: dict[str, Fault] = {
    "instance paused": _instance("pause_instance", "resume_instance", 1.1, 3),
    "instance paused past its lease": _instance("pause_instance", "resume_instance", 8, 10),
    "instance killed while writing": _killed_while_writing,
    "requests held": _instance("hold", "heal", 1, 12, "", "requests"),
    "answers held": _instance("hold", "heal", 1, 12, "", "answers"),
    "cut off": _instance("hold", "heal", 1, 12, "", "requests", "answers"),
    "bytes lost": _instance("lose", "heal", 1, 5, "requests", "answers"),
    "watch held": _instance("hold", "heal", 2, 12, "streams", "requests", "answers"),
    "watch answers held": _instance("hold", "heal", 2, 7, "streams", "answers"),
    "reads held": _instance("hold", "heal", 1, 4, "data", "answers"),
    "delay": _instance("delay", "heal", 2, 4, 0.3),
    "connections refused": _instance("refuse", "heal", 1, 4),
    "connections reset": _reset,
    "half open at the client": _instance("half_open", "heal", 1, 2, "requests"),
    "half open at etcd": _instance("half_open", "heal", 1, 2, "answers"),
    "cut off, and compacted": _cut_off_and_compacted,
    "lease revoked": _revoked,
    "rolling restart": _rolling_restart,
}


def plan(seed: int, seconds: float, instances: int) -> list[Step]:
    """The steps of a run, by time. The same arguments give the same steps."""
    random = Random(seed)
    lanes = [list(_lane(random, faults, seconds, instances)) for faults in (ETCD, INSTANCES)]
    faults = sorted((fault for lane in lanes for fault in lane), key=lambda fault: fault[0])
    steps = [
        Step(round(begin + after, 3), number, kind, action, arguments)
        for number, (begin, kind, beats) in enumerate(faults, start=1)
        for after, action, arguments in beats
    ]
    return sorted(steps, key=lambda step: step.at)


def _lane(
    random: Random, catalogue: dict[str, Fault], seconds: float, instances: int
) -> Iterator[tuple[float, str, Sequence[Beat]]]:
    begin, deck = SETTLING, list[str]()
    while True:
        deck = deck or random.sample(list(catalogue), len(catalogue))
        kind = deck.pop()
        beats = catalogue[kind](random, instances)
        end = begin + max(after for after, _, _ in beats)
        if end > seconds - SETTLING:
            return
        yield begin, kind, beats
        begin = end + random.uniform(*BREATH)
