"""When which keys were guarded in a run, so that each read of them had to be linearizable (rules 15 to 17). Pure.

A policy of the service that guards other keys than the one before has had every key held, so all that it guards is
guarded from its commit on. One that guards the same leaves it at that. One that somebody has put by hand guards nothing
more, whatever it says: nobody has held anything for it. While nobody can read the policy nothing is written.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict

from consistency.core.policy import Policy
from simulation.demanded import POLICY
from torture.history import Operation
from torture.truth import Change, Truth

EVER = float("inf")


class Guarded:
    """Whether a read had to be linearizable since its key was guarded all the while: call it."""

    def __init__(self, truth: Truth) -> None:
        self._spans: dict[str, list[tuple[float, float]]] = defaultdict(list)  # by prefix, in seconds of the run
        since: dict[str, float] = {}
        before = frozenset[str]()
        for change in truth.changes:
            if change.key != POLICY:
                continue
            record = truth.record(change.revision)
            named, readable = _named(change)
            if record is None or not record.policy:
                still = since if not readable else {prefix: since[prefix] for prefix in since if prefix in named}
            elif named == before:
                still = {prefix: since[prefix] for prefix in since if prefix in named}
            else:
                still = {prefix: since.get(prefix, change.seen) for prefix in named}
            self._end(since.keys() - still.keys(), since, change.seen)
            since, before = still, named
        self._end(set(since), since, EVER)
        self._prefixes = tuple(self._spans)

    def _end(self, prefixes: set[str], since: dict[str, float], at: float) -> None:
        for prefix in prefixes:
            self._spans[prefix].append((since[prefix], at))

    def __call__(self, read: Operation) -> bool:
        return read.key.startswith(self._prefixes) and any(
            self._throughout(prefix, read) for prefix in self._prefixes if read.key.startswith(prefix)
        )

    def _throughout(self, prefix: str, read: Operation) -> bool:
        spans = self._spans[prefix]
        place = bisect_right(spans, (read.invoked, EVER))
        return place > 0 and read.returned <= spans[place - 1][1]


def _named(change: Change) -> tuple[frozenset[str], bool]:
    """The prefixes that a policy guards, as the service reads it, and whether it can be read."""
    if change.value is None:
        return frozenset(), True
    policy = Policy.read(change.value.encode(), change.revision)
    return frozenset(policy.guarded), not policy.fault
