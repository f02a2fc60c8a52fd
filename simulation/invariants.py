"""What holds of an instance at every moment, and of one at rest. Looks into its parts, and changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from simulation.instance import Instance
from simulation.life import Life

LOOKS_EVERY = 0.1
"""Virtual seconds."""


class Invariants:
    """`problem` is told of each that is broken."""

    def __init__(self, instances: Sequence[Instance], problem: Callable[[str], None]) -> None:
        self._instances = instances
        self._problem = problem

    async def watch(self) -> None:
        """Look at all of them, over and over."""
        while True:
            for instance in self._instances:
                if (life := instance.alive) is not None:
                    self._look(instance, life)
            await asyncio.sleep(LOOKS_EVERY)

    def _look(self, instance: Instance, life: Life) -> None:
        state = life.cache._state
        fresh, entries, options = state._fresh, state._entries, instance.machine.options
        if any(entry.validated_at > fresh.horizon for entry in entries.values()):
            self._broken(instance, "an entry is validated beyond the horizon")
        if fresh.floor > fresh.horizon and fresh.fresh_until and fresh.lease:
            self._broken(
                instance, f"hits are allowed although the floor {fresh.floor} is above the horizon {fresh.horizon}"
            )
        if fresh.fresh_until and not fresh.lease:
            self._broken(instance, "hits are allowed without a slot")
        if fresh.fresh_until > life.cache._clock() + options.staleness_bound:
            self._broken(instance, "hits are allowed beyond the bound")
        if state._window != fresh.window():
            self._broken(instance, "the window that hits go by is not the present one")
        if len(entries) > options.max_entries or entries.bytes > options.max_bytes:
            self._broken(instance, f"{len(entries)} entries of {entries.bytes} bytes are held")
        most = 2 * options.names_remembered  # as much again for a past that was read
        if fresh.history._weight > most and len(fresh.history._events) > 1:
            self._broken(instance, f"{fresh.history._weight} names are remembered")

    def at_rest(self, instance: Instance) -> None:
        """Nobody asks for anything: nothing waits, nothing is under way that should have ended."""
        life = instance.alive
        if life is None:
            return
        queues = (life.cache._reads._batches._calls, life.cache._writes._group._calls)
        if any(calls.queue for calls in queues):
            self._broken(instance, "a call waits in a queue, and nobody waits for it")
        if life.requests:
            self._broken(instance, f"{life.requests} requests have not ended")
        if life.cache._state._moved.waiting:
            self._broken(instance, "somebody waits for a change of the state")

    def _broken(self, instance: Instance, what: str) -> None:
        self._problem(f"instance {instance.number}: {what}")
