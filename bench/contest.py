"""One row of the table, measured: ours and the peer in turns, so that what slows the machine slows both.

Pure but for calling what it is given. Each round gives a pair; each pair a ratio; the median of the ratios counts.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

S = TypeVar("S")

Measure = Callable[[S, int], float]
"""From whatever everything runs in, and the number of the round, to a figure."""


@dataclass(frozen=True, slots=True)
class AtLeast:
    """What is measured should reach this."""

    figure: float

    def met_by(self, figure: float) -> bool:
        """Whether it does."""
        return figure >= self.figure

    def __str__(self) -> str:
        return f"≥ {self.figure:g}"


@dataclass(frozen=True, slots=True)
class AtMost:
    """What is measured should not pass this."""

    figure: float

    def met_by(self, figure: float) -> bool:
        """Whether it doesn't."""
        return figure <= self.figure

    def __str__(self) -> str:
        return f"≤ {self.figure:g}"


@dataclass(frozen=True, slots=True)
class Row(Generic[S]):
    """What is compared with what. Without a peer the figure itself counts, and it is taken once.

    target: None where nothing is asked, and the ratio is there to understand others by.

    unit: of the two figures. programs: what must be installed besides Python packages.
    """

    what: str
    peer: str
    target: AtLeast | AtMost | None
    unit: str
    measure_ours: Measure[S]
    measure_peer: Measure[S] | None = None
    programs: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """As the table has it."""
        return f"{self.what} ÷ {self.peer}" if self.peer else self.what


@dataclass(frozen=True, slots=True)
class Result:
    """The figures of one row, round by round. `peer` is empty where there is none; `met` is None without a target."""

    name: str
    unit: str
    target: str | None
    ours: tuple[float, ...]
    peer: tuple[float, ...]
    met: bool | None

    @property
    def outcomes(self) -> tuple[float, ...]:
        """What is held against the target: the ratio of each round, or the figure."""
        return outcomes(self.ours, self.peer)


def outcomes(ours: tuple[float, ...], peer: tuple[float, ...]) -> tuple[float, ...]:
    """The ratio of each round; the figures themselves where there is no peer."""
    return tuple(mine / theirs for mine, theirs in zip(ours, peer, strict=True)) if peer else ours


def hold(row: Row[S], stage: S, rounds: int) -> Result:
    """Measures a row. Who begins changes from round to round: a machine that tires or warms favours neither."""
    ours: list[float] = []
    peer: list[float] = []
    for number in range(rounds if row.measure_peer else 1):
        turns = [(row.measure_ours, ours)] + ([(row.measure_peer, peer)] if row.measure_peer else [])
        for measure, figures in turns if number % 2 == 0 else reversed(turns):
            figures.append(measure(stage, number))
    return judge(row, tuple(ours), tuple(peer))


def judge(row: Row[S], ours: tuple[float, ...], peer: tuple[float, ...]) -> Result:
    """Holds the median of what was measured against the row's target."""
    if row.target is None:
        return Result(row.name, row.unit, None, ours, peer, None)
    median = statistics.median(outcomes(ours, peer))
    return Result(row.name, row.unit, str(row.target), ours, peer, row.target.met_by(median))
