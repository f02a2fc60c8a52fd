"""What a run gave: all that clients were told, all that etcd committed, and what was wrong without a checker."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from consistency.core.model import Author
from simulation.plan import Plan
from torture.followed import Told
from torture.history import Operation
from torture.truth import Truth


@dataclass(frozen=True, slots=True)
class Order:
    """A write as it was sent: what its author says of himself, and each key's new value, None for a deletion."""

    author: Author
    changes: Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class PolicySent:
    """A policy that was sent. revision: at which it came into force, 0 if that is not known; done: None: not known.

    by: who put it, "" if he has not said.
    """

    text: str
    done: bool | None
    revision: int = 0
    by: str = ""


@dataclass
class Run:
    """What a run gave. problems: what needs no checker to be wrong. outside: reads of keys that others write.

    followed: what those were told who follow changes. orders: all writes that were sent, by the id of their request.
    policies: all that were sent. sent: each document that an instance has asked etcd to store, with its key.

    truth, truth_after: everything that was committed. split_at: when a backup was restored, so that another history
    began (`truth_after`); None: never. begun: when clients and faults did, virtual seconds. steps: callbacks.
    seconds: virtual, in all. guarded: as in the plan, once the policy was in force.
    """

    plan: Plan
    history: list[Operation] = field(default_factory=list)
    outside: list[Operation] = field(default_factory=list)
    followed: list[Told] = field(default_factory=list)
    orders: dict[str, Order] = field(default_factory=dict)
    policies: list[PolicySent] = field(default_factory=list)
    sent: set[tuple[str, bytes]] = field(default_factory=set)
    truth: Truth = field(default_factory=lambda: Truth(()))
    split_at: float | None = None
    truth_after: Truth = field(default_factory=lambda: Truth(()))
    problems: list[str] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    begun: float = 0.0
    steps: int = 0
    seconds: float = 0.0
    guarded: tuple[str, ...] = ()


def digest(run: Run) -> str:
    """A fingerprint of a run: everything that was asked, told and committed, and the number of steps."""
    committed = (run.truth.changes, run.truth_after.changes)
    told = (run.history, run.outside, run.followed, run.problems, committed, run.steps, run.seconds)
    return hashlib.sha256(repr(told).encode()).hexdigest()[:16]
