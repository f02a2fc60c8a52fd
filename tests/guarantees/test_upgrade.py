"""A fleet is upgraded under load, one instance after the other, and downgraded again: both versions side by side.

The clients are those of `torture`, behind HAProxy. What they were answered is held against what happened in etcd.
"""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.guarantees.renewed import balanced
from tests.load.requirements import need_haproxy
from tests.support.balancer import Balancer
from tests.support.earlier import Earlier, earlier
from tests.support.etcd import EtcdServer, wait_for
from tests.support.instances import InstanceProcess
from torture.case import Case
from torture.checker import CHECKS
from torture.client import offers
from torture.control import Control
from torture.followed import read_followed
from torture.history import Outcome, read_history
from torture.recency import instances_know_their_own_writes
from torture.run import SLACK, working
from torture.truth import Truth
from torture.workload import Load
from torture.world import BOUND, quiet_ports

pytestmark = pytest.mark.alone

SIZE, CLIENTS, FOLLOWERS, RATE = 3, 12, 4, 150.0
PREFIX = "/upgraded"
DRAIN_WAIT = 2.0
"""Seconds: above the 0.7 in which the balancer's checks notice."""

MIXED = 2.0
"""Seconds for which the fleet stays as it is after each step."""

Make = Callable[[int], InstanceProcess]

# The clients see one address, behind which whoever answers changes.
PROMISES = [check for check in CHECKS if check is not instances_know_their_own_writes]


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Earlier:
    need_haproxy()
    return earlier(tmp_path_factory.mktemp("git"))


@pytest.mark.timeout(300)  # seconds; half a minute, more on a busy machine
@pytest.mark.parametrize("way", ["upgrade", "downgrade"])
def test_no_request_fails_and_no_promise_is_broken(
    before: Earlier, etcd_recent: Path, tmp_path: Path, way: str
) -> None:
    """From the earlier version to this one, and back."""
    with EtcdServer(tmp_path / "etcd", program=etcd_recent) as etcd:
        settings = {**etcd.settings(PREFIX), "DRAIN_WAIT": str(DRAIN_WAIT), "CACHE_STALENESS_BOUND": str(BOUND)}

        def old(port: int) -> InstanceProcess:
            return before.instance(tmp_path / "old", PORT=str(port), **settings)

        def new(port: int) -> InstanceProcess:
            return InstanceProcess(tmp_path / "new", PORT=str(port), **settings)

        both = (old, new) if way == "upgrade" else (new, old)
        truth = renewed(tmp_path, etcd, *both)
    history = list(read_history(tmp_path / "history.jsonl"))
    followed = list(read_followed(tmp_path / "followed.jsonl"))
    outcomes = Counter(operation.outcome for operation in history)
    wrong = [each for each in history if each.outcome not in (Outcome.OK, Outcome.REFUSED)]
    assert not wrong, (before.name, outcomes, wrong[:3])
    assert outcomes[Outcome.OK] > 500, (before.name, outcomes)
    assert {operation.cache for operation in history} >= {"HIT", "MISS", "BYPASS", "REVALIDATED"}
    case = Case(history, truth, BOUND, SLACK, followed)
    broken = [violation.excerpt(truth) for check in PROMISES for violation in check(case)]
    assert not broken, (before.name, broken[:3])


def renewed(directory: Path, etcd: EtcdServer, first: Make, second: Make) -> Truth:
    """Load on a fleet of the first kind, each of which gives way to one of the second; what etcd saw of it."""
    ports = list(itertools.islice(quiet_ports(), SIZE))
    fleet = [first(port) for port in ports]
    history, followed, held = (str(directory / f"{name}.jsonl") for name in ("history", "followed", "held"))
    try:
        for each in fleet:
            each.start()
        for each in fleet:
            each.wait_until_ready()
        offered = tuple(set(offers(ports[0])))
        with balanced(directory, fleet) as balancer, Control([etcd.endpoint], PREFIX) as control:
            load = Load(7, CLIENTS, RATE, (balancer.port,), offered, history, followed, held, FOLLOWERS, 0)
            with working("workload", load, directory):
                for number, port in enumerate(ports):
                    time.sleep(MIXED)
                    fleet[number] = replaced(balancer, number, fleet[number], second(port))
                time.sleep(MIXED)
            control.catch_up()
            assert not control.failure
            return Truth(control.changes())
    finally:
        for each in fleet:
            each.kill()


def replaced(balancer: Balancer, number: int, old: InstanceProcess, new: InstanceProcess) -> InstanceProcess:
    """SIGTERM to the one, then the other at its address; the other, once the balancer has sent it something."""
    old.ask_to_stop()
    assert old.wait() == 0, old.printed()
    served = balancer.served(number)
    new.start().wait_until_ready()
    wait_for(lambda: balancer.served(number) > served, what=f"instance {number} is used again")
    return new
