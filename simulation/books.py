"""What etcd's history tells of the fleet, held against what is promised, when all is over."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from consistency.etcd.layout import Layout
from simulation.comings import Comings
from simulation.etcd.records import Committed
from simulation.instance import Instance
from simulation.untold import Untold


class Books:
    """histories: the one that was lost, if a backup was restored, and the one that stands at the end."""

    def __init__(self, layout: Layout, histories: Sequence[Sequence[Committed]]) -> None:
        self._layout = layout
        self._histories = histories

    def wrong(self, instances: Sequence[Instance], last: Collection[int]) -> Iterator[str]:
        """All that is. last: the leases of those who were members when they were told to end."""
        stopped = {name: at for instance in instances for name, at in instance.stopped.items()}
        for history in self._histories:
            comings = Comings(self._layout, stopped)
            yield from comings.through(history)
        yield from comings.at_the_end(last)

    def untold(self) -> Iterator[str]:
        """What was written past the service, and nobody has told of it until now."""
        return Untold(self._layout).through(self._histories[-1]).problems()
