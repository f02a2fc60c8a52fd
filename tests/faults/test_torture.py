"""A short run of the whole machine: real etcd, real instances, real faults, and no broken promise."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from tests.faults.history import Outcome
from tests.faults.report import report
from tests.faults.run import run
from tests.faults.schedule import plan

SEED, SECONDS, INSTANCES, RATE = 4, 30.0, 4, 300.0

KINDS = 10
"""Kinds of fault that must really have happened; the schedule has 13, but a leader that is away can't be moved."""


def test_no_promise_is_broken_while_etcd_instances_and_the_network_fail(tmp_path: Path) -> None:
    """See `schedule` for the faults and `checker` for the promises; `make torture` does this for longer."""
    said: list[str] = []
    steps = plan(SEED, SECONDS, INSTANCES)
    result = run(tmp_path, steps, seed=SEED, seconds=SECONDS, instances=INSTANCES, rate=RATE, say=said.append)
    told = "\n".join((*said, report(result)))
    assert not result.violations, told
    assert len(result.faults) >= KINDS, told
    outcomes = Counter(operation.outcome for operation in result.history)
    assert outcomes[Outcome.OK] > SECONDS * RATE / 4, told
    served = {operation.cache for operation in result.history if operation.outcome is Outcome.OK}
    assert {"HIT", "MISS", "BYPASS", "REVALIDATED"} <= served, told
