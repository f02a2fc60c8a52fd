"""What etcd's history tells of the fleet, held against what is promised, when all is over."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from consistency.etcd.transactions import Layout
from simulation.comings import Comings
from simulation.etcd.records import Committed
from simulation.instance import Instance
from simulation.untold import Untold

ENOUGH = 2**20
"""Bytes of versions that nobody forgets in a run."""


class Books:
    """histories: the one that was lost, if a backup was restored, and the one that stands at the end."""

    def __init__(self, layout: Layout, histories: Sequence[Sequence[Committed]]) -> None:
        self._layout = layout
        self._histories = histories

    def wrong(self, instances: Sequence[Instance], last: Collection[int]) -> Iterator[str]:
        """All that is. last: the leases of those who were members when they were told to end."""
        stopped = {name: at for instance in instances for name, at in instance.stopped.items()}
        # 1. An instance has forgotten its versions. 2. A backup is restored. 3. It can't tell that history from its own
        # (rule 6), so whom it has seen there counts as lost.
        forgetful = any(each.machine.options.history_bytes < ENOUGH for each in instances)
        earlier: Collection[int] = ()
        for history in self._histories:
            comings = Comings(self._layout, stopped, earlier)
            yield from comings.through(history)
            earlier = comings.ever if forgetful else ()
        yield from comings.at_the_end(last)

    def untold(self) -> Iterator[str]:
        """What was written past the service, and nobody has told of it until now."""
        return Untold(self._layout).through(self._histories[-1]).problems()
