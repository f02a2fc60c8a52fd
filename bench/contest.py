"""Two sides measured in turns, and targets that what came of it is held against.

Pure but for calling what it is given. Another one begins each round: whatever slows the machine slows both, and a
machine that tires or warms favours neither. Each round gives a ratio; the median of the ratios counts.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

S = TypeVar("S")
T = TypeVar("T")

Figures = Mapping[str, float]
"""What one measurement found, by name: `requests/s`; `p50`, `p99`, `p99.9` in ms; or what else was measured."""

Measure = Callable[[S, int], Figures]
"""From whatever everything runs in, and the number of the round, to what was found."""

PERCENTILES = ("p50", "p99", "p99.9")


@dataclass(frozen=True, slots=True)
class Target:
    """At least, or at most, so much; the figure itself is good enough."""

    bound: float
    least: bool

    def met_by(self, figure: float) -> bool:
        """Whether it is reached, or not passed."""
        return figure >= self.bound if self.least else figure <= self.bound

    def __str__(self) -> str:
        return f"{'≥' if self.least else '≤'} {self.bound:g}"


def at_least(bound: float) -> Target:
    """What is measured should reach this."""
    return Target(bound, least=True)


def at_most(bound: float) -> Target:
    """What is measured should not pass this."""
    return Target(bound, least=False)


@dataclass(frozen=True, slots=True)
class Contest(Generic[S]):
    """Two sides, and what should come of them: for figures by name, a target of their ratio. Without a peer the figures
    themselves count, they are taken once, and how processes are grouped makes no difference to them."""

    what: str
    against: str
    ours: Measure[S]
    peer: Measure[S] | None
    targets: Mapping[str, Target] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """As the tables have it."""
        return f"{self.what} ÷ {self.against}" if self.against else self.what


@dataclass(frozen=True, slots=True)
class Rounds:
    """What a contest found, round by round. `peer` is empty where there is none."""

    ours: tuple[Figures, ...]
    peer: tuple[Figures, ...] = ()

    def outcomes(self, figure: str) -> tuple[float, ...]:
        """The ratio of each round; the figures themselves where there is no peer."""
        if not self.peer:
            return tuple(each[figure] for each in self.ours)
        return tuple(mine[figure] / theirs[figure] for mine, theirs in zip(self.ours, self.peer, strict=True))

    def outcome(self, figure: str) -> float:
        """What counts: the median."""
        return statistics.median(self.outcomes(figure))


def hold(contest: Contest[S], stage: S, rounds: int) -> Rounds:
    """Measures both sides so many times, or ours once where there is no peer."""
    if contest.peer is None:
        return Rounds((contest.ours(stage, 0),))
    ours: list[Figures] = []
    peer: list[Figures] = []
    for number in range(rounds):
        for measure, found in turned([(contest.ours, ours), (contest.peer, peer)], number):
            found.append(measure(stage, number))
    return Rounds(tuple(ours), tuple(peer))


def turned(sides: Sequence[T], number: int) -> Sequence[T]:
    """All of them; another one begins each round."""
    first = number % len(sides)
    return [*sides[first:], *sides[:first]]


def percentiles(milliseconds: Sequence[float]) -> Figures:
    """Of delays that were measured one by one: the least that so many don't exceed; nothing is interpolated."""
    ordered = sorted(milliseconds)
    shares = (float(name.removeprefix("p")) for name in PERCENTILES)
    places = (max(1, -int(-share * len(ordered) // 100)) for share in shares)
    return dict(zip(PERCENTILES, (ordered[place - 1] for place in places), strict=True))
