"""What everybody holds at the moment at which a write has returned that nobody may miss (rule 12).

Nobody has to ask. A read that is invoked now, at whichever instance, also one that is held up and goes on in time, is
answered from memory if that is allowed there and then. So it is looked at whether that would be an older document.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from consistency.core.model import Revision
from simulation.instance import Instance
from simulation.invariants import Current
from simulation.life import Life
from torture.history import Kind, Level, Operation, Outcome


class Witness:
    """See the module's opening. `problem` is told of what is found."""

    def __init__(self, instances: Sequence[Instance], current: Current, problem: Callable[[str], None]) -> None:
        self._instances = instances
        self._current = current
        self._problem = problem

    def look(self, operation: Operation) -> None:
        """It has just returned."""
        if operation.level is not Level.SYNC or operation.kind is Kind.READ or operation.outcome is not Outcome.OK:
            return
        keys = tuple(key for key, _ in operation.batch) or (operation.key,)
        for instance in self._instances:
            if (life := instance.alive) is not None:
                for what in self._older(life, keys, operation.revision):
                    self._problem(f"instance {instance.number} may serve {what}; a synchronous write has returned")

    def _older(self, life: Life, keys: Sequence[str], revision: Revision) -> Iterator[str]:
        state = life.cache._state
        fresh, held = state._fresh, state._holds.keys
        if not fresh.lease or fresh.fresh_until <= life.cache._clock():
            return
        for key in keys:
            entry = state._entries._entries.get(key)
            if entry is None or (held is not None and key in held):
                continue
            _, mod_revision, validated_at, _, stale = entry
            if stale or validated_at < fresh.floor or validated_at >= revision:
                continue
            if (newer := self._current(key, revision)) not in (None, mod_revision):
                yield f"{key} of {mod_revision}, not of {newer}"
