"""A run in words: who did what, when, and which promise broke. The same run gives the same bytes."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from consistency.core.events import BatchAnswered, ReadServed
from simulation.diary import Noted
from simulation.plan import KEYS, VISIBLE, Machine, Plan
from simulation.record import Run
from simulation.verdict import judge, newest
from torture.followed import Told
from torture.history import Operation
from torture.schedule import Step
from torture.violations import Violation, describe

Line = tuple[float, str, object]
"""When, who, and what: an event, an operation that has just been answered, a fault, a sentence."""

BEFORE = 3.0
"""Virtual seconds before the first of the offending operations from which on a story tells of everybody."""

_AT = re.compile(r"at ([\d.]+) s: ")
"""How a problem begins that was found while the run went on."""

LONGEST = 200
"""Lines of a story; faults are told, whatever else is left out."""


class Teller:
    """Keeps all that happens, for `story`."""

    def __init__(self) -> None:
        self.lines: list[Line] = []

    def __call__(self, now: float, who: str, what: object) -> None:
        self.lines.append((now, who, what))


def story(plan: Plan, play: Callable[[Plan, Teller], Run]) -> str:
    """Plays the plan again, and tells what happened around the first violation."""
    teller = Teller()
    run = play(plan, teller)
    violations = judge(run)
    return "\n".join(
        [*_opening(plan, len(run.history)), "", *_told(run, teller.lines, violations), "", *_broken(run, violations)]
    )


def _opening(plan: Plan, operations: int) -> list[str]:
    kinds = sorted({step.kind for step in plan.steps})
    return [
        f"seed {plan.seed}: {len(plan.machines)} instances, {plan.members} etcd members, bound {plan.bound:g} s,"
        f" {operations} operations in {plan.seconds:.1f} s",
        f"faults: {', '.join(kinds) or 'none'}",
        f"weather: {plan.weather}",
        *(f"instance {number}: {_machine(machine)}" for number, machine in enumerate(plan.machines)),
    ]


def _machine(machine: Machine) -> str:
    options = machine.options
    return (
        f"clock rate {machine.rate:.5f}, timeout {options.timeout:g} s, lease {options.lease_ttl} s,"
        f" at most {options.max_entries} entries of {options.max_bytes} bytes, age {options.max_age:g} s,"
        f" audit {options.audit_interval:g} s, slot {options.preferred_slot}"
    )


def _told(run: Run, lines: Sequence[Line], violations: Sequence[Violation]) -> list[str]:
    keys, first, last = _concerned(run, violations)
    told = []
    for now, who, what in lines:
        if isinstance(what, ReadServed) or (isinstance(what, BatchAnswered) and not what.wants):
            continue  # the first stands with its operation, the second is how an instance breathes
        if isinstance(what, Told):
            if first <= now <= last and (what.changes or what.reset or what.word != "told"):
                told.append(f"{now:10.4f}  {who}, at instance {what.instance}: {_heard(what)}")
        elif isinstance(what, Operation):
            concerns = not keys or keys & {*dict(what.changes), what.key}
            if concerns and first <= now and what.invoked <= last:  # one that is answered later may be the cause
                told.append(f"{what.invoked:10.4f} … {now:10.4f}  {describe(what)}")
        elif isinstance(what, Noted):
            if keys & (keys if what.keys is None else what.keys) and first <= now <= last:
                told.append(f"{now:10.4f}  {who}: {what}")
        elif isinstance(what, Step) or who == "fault" or first <= now <= last:
            told.append(f"{now:10.4f}  {who}: {what.kind + ': ' + _call(what) if isinstance(what, Step) else what}")
    return told if len(told) <= LONGEST else [f"({len(told) - LONGEST} lines before)", *told[-LONGEST:]]


def _concerned(run: Run, violations: Sequence[Violation]) -> tuple[set[str], float, float]:
    """The keys that the first violation is about, and from when to when a story tells of everybody."""
    operations = [operation for violation in violations[:1] for operation in violation.operations]
    claim = violations[0].claim if violations else ""
    moment = float(found[1]) if not operations and (found := _AT.match(claim)) else run.seconds
    keys = {key for operation in operations for key in (*dict(operation.changes), operation.key)}
    keys |= set() if operations else {key for key in (*KEYS, *VISIBLE) if f"{key} " in claim}
    first = min((operation.invoked for operation in operations), default=moment) - BEFORE
    return keys, first, max((operation.returned for operation in operations), default=moment)


def _heard(told: Told) -> str:
    if told.word != "told":
        return f"{told.word} {told.note}".rstrip()
    since = f"reset ({told.reset})" if told.reset else f"after {told.since}"
    changes = ", ".join(f"{key}={'deleted' if value is None else value} of {at}" for key, value, at in told.changes)
    return f"{since}, up to {told.to}{' in part' if told.part else ''}: {changes or 'nothing'}"


def _call(step: Step) -> str:
    return f"{step.action}({', '.join(map(repr, step.arguments))})"


def _broken(run: Run, violations: Sequence[Violation]) -> list[str]:
    if not violations:
        return ["every promise was kept"]
    first, *others = violations
    more = [f"and {len(others)} more"] if others else []
    return [f"broken: {first.excerpt(newest(run))}", *more]
