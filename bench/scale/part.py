"""What one part of the work has cost. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from bench.scale.counts import Counts


@dataclass(frozen=True, slots=True)
class Part:
    """What etcd did in `seconds`, in which clients made `reads` and `writes`; how often a document was asked for."""

    counts: Counts
    seconds: float
    reads: int
    writes: int
    loads: float

    def beyond(self, idle: Part) -> Counts:
        """Without what the fleet would have cost in that time anyway."""
        return self.counts - idle.per_second.scaled(self.seconds)

    @property
    def per_second(self) -> Counts:
        """On average."""
        return self.counts.scaled(1 / self.seconds)
