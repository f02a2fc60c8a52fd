"""How long and how much is measured. Two sizes: one whose figures count, and one that shows that everything runs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Effort:
    """rounds: of each row; in each, ours and the peer are measured once. seconds: of one measurement (whole ones).

    hot: documents that are read or written in turn where one would not be honest: readers of one key share more.
    documents: in etcd, for the rows that need many. instances: in the fleet of the row that needs one.
    """

    rounds: int = 5
    seconds: int = 2
    hot: int = 1_000
    documents: int = 100_000
    instances: int = 8

    def __str__(self) -> str:
        return f"{self.rounds} rounds of {self.seconds} s, {self.documents:,} documents, fleet of {self.instances}"


SMOKE = Effort(rounds=1, seconds=1, hot=100, documents=4_000, instances=2)
"""Says nothing about speed."""
