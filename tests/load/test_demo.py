"""`make demo`: a fleet, its page, load and a writer; one Ctrl-C ends all of it."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import requests

from tests.load.requirements import need_haproxy
from tests.load.running_fleet import RunningFleet, running, running_fleet, sample
from tests.support.etcd import free_ports
from tests.support.instances import within

pytestmark = pytest.mark.alone

LOAD = "performance_tests/"


def changes(fleet: RunningFleet) -> int:
    """How often the writer has changed a document."""
    answer = requests.get(f"{fleet.address}/config/demo/limits", timeout=5)
    return int(answer.json()["change"]) if answer.ok else 0


def test_there_is_something_to_see_until_ctrl_c(tmp_path: Path) -> None:
    need_haproxy()
    (load_port,) = free_ports(1)
    with running_fleet(tmp_path, 4, ("-m", "tools.demo", "--load-port", str(load_port))) as fleet:
        assert requests.get(fleet.address, timeout=5).headers["Content-Type"] == "text/html; charset=utf-8"
        assert within(20, lambda: changes(fleet) > 3)
        hits = "config_cache_reads_total"
        assert within(20, lambda: all(sample(each, hits, source="hit") > 0 for each in fleet.instances()))
        stats = requests.get(f"http://127.0.0.1:{load_port}/stats/requests", timeout=5).json()
        assert (stats["state"], stats["user_count"] > 0, stats["errors"]) == ("running", True, [])
        everyone = [pid for _, pid in fleet.rows().values()]
        assert len(everyone) == 8  # etcd, four instances, the balancer, load, the writer
        code, _ = fleet.stop(signal.SIGINT)
    assert code == 0, fleet.printed
    assert [pid for pid in everyone if running(pid)] == []
    assert "starting etcd, 4 instances" in fleet.printed
    assert left_in(tmp_path) == []
    assert [file.name for file in tmp_path.iterdir() if file.name != "fleet.out"] == ["instance"]


def test_what_was_killed_is_cleared_away_by_the_next_one(tmp_path: Path) -> None:
    """kill -9 of the demonstration takes all with it, at once; there is something left, and then there isn't."""
    need_haproxy()
    (load_port,) = free_ports(1)
    program = ("-m", "tools.demo", "--load-port", str(load_port))
    with running_fleet(tmp_path, 1, program) as fleet:
        assert within(20, lambda: changes(fleet) > 0 and load_has_written(fleet))
        everyone = [pid for _, pid in fleet.rows().values()]
        for name in ("load", "writer"):
            os.kill(fleet.rows()[name][1], signal.SIGKILL)
        fleet.process.kill()
        fleet.process.wait(5)
        assert within(20, lambda: not any(running(pid) for pid in everyone))
    killed = [key for key in left_in(tmp_path) if key.startswith(LOAD)]
    assert killed != []
    with running_fleet(tmp_path, 1, program) as fleet:
        assert within(20, lambda: load_has_written(fleet) and not {*killed} & {*keys(fleet.address, LOAD)})
        assert fleet.stop(signal.SIGTERM)[0] == 0, fleet.printed
    assert left_in(tmp_path) == []
    assert [*(tmp_path / "instance" / "load-runs").iterdir()] == []


def load_has_written(fleet: RunningFleet) -> bool:
    """Whether one of its users has."""
    return bool(keys(fleet.address, LOAD))


def keys(address: str, prefix: str = "") -> list[str]:
    """Those that there are."""
    answer = requests.get(f"{address}/config/", params={"prefix": prefix}, timeout=5)
    return [each["key"] for each in answer.json()["keys"]]


def left_in(directory: Path) -> list[str]:
    """The keys in the etcd of a fleet that has ended."""
    with running_fleet(directory, 1) as fleet:
        return keys(fleet.address)
