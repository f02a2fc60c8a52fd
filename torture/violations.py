"""A promise found broken, as a value, and the excerpt that lets a reader see it. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torture.history import Kind, Operation, Outcome
from torture.truth import Change, Truth

_NEIGHBOURS = 5
"""Changes of the key that an excerpt shows, from the one before those in question."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken promise: `check` names it, `claim` says what was found, the operations are the offenders."""

    check: str
    claim: str
    operations: tuple[Operation, ...] = ()
    changes: tuple[Change, ...] = ()

    def excerpt(self, truth: Truth) -> str:
        """A few lines: the claim, the operations in order of time, and what etcd had."""
        return "\n".join((f"{self.check}: {self.claim}", *self._operations(), *self._etcd(truth)))

    def _operations(self) -> Iterator[str]:
        start = min((operation.invoked for operation in self.operations), default=0.0)
        for operation in sorted(self.operations, key=lambda operation: operation.invoked):
            yield f"    {_span(operation, start)}  {describe(operation)}"

    def _etcd(self, truth: Truth) -> Iterator[str]:
        yield from (f"    in etcd: {_shown(change)}" for change in self.changes)
        for key in dict.fromkeys(key for operation in self.operations for key in _keys(operation)):
            first = min(mark for operation in self.operations for mark in _marks(operation, truth))
            before = truth.at(key, first - 1)
            around = [change for change in truth.of(key) if change.revision >= (before.revision if before else 0)]
            shown = ", ".join(_shown(change, named=False) for change in around[:_NEIGHBOURS])
            yield f"    in etcd: {key}: {shown or 'nothing'}"


def describe(operation: Operation) -> str:
    """The client, the instance, the question and the answer."""
    asked = f"#{operation.number} client {operation.client} -> instance {operation.instance}: {operation.kind}"
    what = " ".join(f"{key}={value}" for key, value in operation.changes) or operation.key
    held = ", ".join(f"{key} {condition}" for key, condition in operation.preconditions)
    condition = f" if {held}" if held else ""
    token = f" token {operation.token}" if operation.token else ""
    return f"{asked} ({operation.level}) {what}{condition}{token} => {_answer(operation)}"


def _answer(operation: Operation) -> str:
    if operation.outcome is not Outcome.OK:
        why = f" for {operation.refusing} of {operation.modified}" if operation.refusing else ""
        return f"{operation.outcome} {operation.status or operation.note}{why}"
    if operation.kind is not Kind.READ:
        return f"{operation.status} at {operation.revision}"
    found = f"{operation.value} of {operation.modified}" if operation.modified else "absent"
    return f"{operation.status} {operation.cache} {found}, holds at {operation.revision}"


def _span(operation: Operation, start: float) -> str:
    return f"+{operation.invoked - start:8.4f} … +{operation.returned - start:8.4f} s"


def _keys(operation: Operation) -> tuple[str, ...]:
    return tuple(key for key, _ in operation.changes) or (operation.key,)


def _marks(operation: Operation, truth: Truth) -> tuple[int, ...]:
    """The revisions that an operation names."""
    return tuple(mark for mark in (operation.modified, operation.revision) if mark) or (truth.last,)


def _shown(change: Change, *, named: bool = True) -> str:
    name = f"{change.key} " if named else ""
    return f"{name}{change.revision} {'deleted' if change.value is None else change.value[:120]}"
