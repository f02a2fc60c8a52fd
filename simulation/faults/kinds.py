"""What a fault is: steps at seconds after its beginning, drawn for one fleet. Owns the usual shapes; names none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from torture.schedule import Beat

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
