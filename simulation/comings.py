"""Who came and who went, as etcd's history has it (rule 9): what is written down of it is so, and stays. Pure.

A record says `left` of whoever was stopped in order, and `lost` of whoever has held a key in this history and holds
none any more. It stays for an hour, which is longer than a run. A lease holds one slot. When all have ended in order,
nobody holds anything, and each of those who were members last is written down.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence

from consistency.core.departures import MOST
from consistency.etcd.transactions import Layout
from simulation.etcd.mvcc import Kv
from simulation.etcd.records import Committed


class Comings:
    """Goes through one history. stopped: the processes that were told to end in order, and when, by their names.

    earlier: leases of another history that may be told of. ever: all that have held a key, and those.
    """

    def __init__(self, layout: Layout, stopped: Mapping[str, float], earlier: Collection[int] = ()) -> None:
        self._layout = layout
        self._stopped = stopped
        self._holders: dict[bytes, int] = {}  # the leases of slots and of places among those who wait
        self.ever = set[int](earlier)
        self._records = set[int]()

    def through(self, history: Sequence[Committed]) -> Iterator[str]:
        """What is wrong with it."""
        for committed in history:
            for kv in committed.changes:
                yield from self._hold(kv)
            for kv in committed.changes:
                if (lease := self._layout.departed_lease_of(kv.key)) is not None:
                    yield from self._write_down(lease, kv, committed.at)

    def at_the_end(self, last: Collection[int]) -> Iterator[str]:
        """What is wrong now that all have ended in order. last: the leases of those who were members until then."""
        for key, lease in self._holders.items():
            if lease:
                yield f"{key.decode()} is held, and everybody has ended in order"
        for lease in last:
            if lease not in self._records:
                yield f"the holder of lease {lease:x} has ended in order, and that is not written down"

    def _hold(self, kv: Kv) -> Iterator[str]:
        slot = self._layout.slot_of(kv.key)
        if slot is None and self._layout.waiting_lease_of(kv.key) is None:
            return
        if not kv.version:
            self._holders.pop(kv.key, None)
            return
        if slot is not None and kv.lease and kv.value != OTHERS:
            for other, lease in self._holders.items():
                if lease == kv.lease and other != kv.key and self._layout.slot_of(other) is not None:
                    yield f"lease {lease:x} holds {kv.key.decode()} and {other.decode()}"
        self._holders[kv.key] = kv.lease
        self.ever.add(kv.lease)

    def _write_down(self, lease: int, kv: Kv, at: float) -> Iterator[str]:
        if not kv.version:
            if len(self._records) <= MOST:
                yield f"the record of lease {lease:x}, which has gone, has gone, too"
            self._records.discard(lease)
            return
        self._records.add(lease)
        told = json.loads(kv.value)
        name = json.loads(told.get("description") or "{}").get("boot", "")
        if told["how"] == "left":
            if self._stopped.get(name, at + 1) > at:
                yield f"{name} is written down as having left, and nobody has stopped it"
        elif lease in self._holders.values():
            yield f"lease {lease:x} is written down as {told['how']}, and holds a key"
        elif lease not in self.ever:
            yield f"lease {lease:x} is written down as {told['how']}, and was never there"


OTHERS = b"{}"
"""What a slot says that outsiders hold: as many as they like by one lease."""
