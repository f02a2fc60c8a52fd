"""A fleet of real processes carries the load without a failure, and leaves nothing behind when it stops."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.load.locust_run import ROOT, run
from tests.load.requirements import need_haproxy
from tests.load.running_fleet import STOP_WITHIN, WITHOUT_HAPROXY, RunningFleet, alive, running, running_fleet, sample

pytestmark = pytest.mark.alone

SIZE = 3


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningFleet]:
    """One fleet behind HAProxy for the tests that only use it."""
    need_haproxy()
    with running_fleet(tmp_path_factory.mktemp("fleet"), SIZE) as running:
        yield running


def test_load_passes_without_a_failure_and_from_the_cache(fleet: RunningFleet, tmp_path: Path) -> None:
    """Each user reads on other instances what it just wrote, by nothing but its cookie (rule 10); 0 failures."""
    result = run(fleet.address, tmp_path, users=20, seconds=10, pause=0.1)
    assert result.exit_code == 0, result.output
    assert result.rows["PUT"].requests >= 20
    assert sum(row.failures for row in result.rows.values()) == 0
    assert "HIT" in result.output.partition("X-Cache of GET use_cache=true:")[2].splitlines()[0]
    assert requests.get(f"{fleet.address}/config/?prefix=performance_tests/", timeout=5).json()["keys"] == []


def test_users_of_every_guarantee_pass(fleet: RunningFleet, tmp_path: Path) -> None:
    """Bounded, monotonic, linearizable, conditional and synchronous, and told, by instances that take turns."""
    users = ("ConditionalUser", "FollowingUser", "HotKeyUser", "LinearizableUser", "SynchronousUser")
    result = run(fleet.address, tmp_path, *users, users=20, seconds=5, pause=0.1)
    assert result.exit_code == 0, result.output
    names = ("GET hot", "GET hot min_revision", "PUT if-match", "GET consistency=linearizable", "GET after sync=true",
             "GET changes")  # fmt: skip
    assert all(result.rows[name].requests > 10 for name in names), result.output
    assert requests.get(f"{fleet.address}/config/?prefix=performance_tests/", timeout=5).json()["keys"] == []


def test_requests_of_one_connection_go_round_all_instances(fleet: RunningFleet) -> None:
    """Round robin without stickiness, even for a client with a cookie and one kept-alive connection."""
    name, labels = "config_http_requests_total", {"method": "PUT", "status": "200"}
    with requests.Session() as client:
        client.put(f"{fleet.address}/config/round", data=b"0", timeout=5)
        before = [sample(address, name, **labels) for address in fleet.instances()]
        for number in range(4 * SIZE):
            assert client.put(f"{fleet.address}/config/round", data=str(number), timeout=5).status_code == 200
    after = [sample(address, name, **labels) for address in fleet.instances()]
    assert [b - a for a, b in zip(before, after, strict=True)] == [4.0] * SIZE


def test_value_written_through_one_instance_is_read_through_each(fleet: RunningFleet) -> None:
    """Read-your-writes on every instance with a cookie, at once."""
    instances = fleet.instances()
    for number in range(20):
        with requests.Session() as client:
            url = "/config/own/write"
            client.put(instances[number % SIZE] + url, data=str(number), timeout=5)
            assert [client.get(address + url, timeout=5).text for address in instances] == [str(number)] * SIZE


def test_each_instance_has_a_slot_of_its_own(fleet: RunningFleet) -> None:
    """Rule 9, with the preferred slots from CF_INSTANCE_INDEX."""
    assert [sample(address, "config_member_slot") for address in fleet.instances()] == [0.0, 1.0, 2.0]
    assert sample(fleet.address, "config_members") == SIZE


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_fleet_stops_in_time_and_leaves_no_process(tmp_path: Path, how: signal.Signals) -> None:
    """Balancer, instances, etcd: all gone within 15 s, exit code 0, nothing killed."""
    need_haproxy()
    with running_fleet(tmp_path, 2) as fleet:
        pids = {name: pid for name, (_, pid) in fleet.rows().items()}
        assert set(pids) == {"etcd", "instance 0", "instance 1", "balancer"}
        with requests.Session() as idle:  # a kept-alive connection must not hold the balancer up
            assert idle.get(f"{fleet.address}/healthz", timeout=5).status_code == 200
            code, seconds = fleet.stop(how)
        assert (code, [name for name, pid in pids.items() if alive(pid)]) == (0, []), fleet.printed
        assert seconds < STOP_WITHIN
        assert "killed" not in fleet.printed


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children of their parent's end")
def test_fleet_that_is_killed_takes_its_processes_with_it(tmp_path: Path) -> None:
    """kill -9 of the fleet itself: nobody is left to stop the others, so the kernel asks them to."""
    need_haproxy()
    with running_fleet(tmp_path, 2) as fleet:
        pids = {name: pid for name, (_, pid) in fleet.rows().items()}
        fleet.process.kill()
        fleet.process.wait(5)
        deadline = time.monotonic() + STOP_WITHIN
        while left := [name for name, pid in pids.items() if running(pid)]:
            assert time.monotonic() < deadline, left
            time.sleep(0.05)


def test_instance_that_dies_is_reported_and_the_others_go_on(tmp_path: Path) -> None:
    """kill -9 of one: the report names it, requests are answered by the other, and the exit code is not 0."""
    need_haproxy()
    with running_fleet(tmp_path, 2) as fleet:
        pid = fleet.rows()["instance 1"][1]
        os.kill(pid, signal.SIGKILL)
        fleet.wait_until(f"instance 1 (process {pid}) has ended with -9", within=5)
        answers = [requests.put(f"{fleet.address}/config/x", data=b"1", timeout=5).status_code for _ in range(10)]
        assert set(answers) <= {200, 201}
        assert fleet.stop()[0] == 1


def test_without_haproxy_the_instances_are_reached_one_by_one(tmp_path: Path) -> None:
    """The first one gets the port asked for, and the ports are printed."""
    with running_fleet(tmp_path, 2, WITHOUT_HAPROXY) as fleet:
        assert "HAProxy is not installed" in fleet.printed
        first, second = fleet.instances()
        assert first == fleet.address
        assert requests.put(f"{first}/config/x", data=b"1", timeout=5).status_code == 201
        assert requests.get(f"{second}/config/x?use_cache=false", timeout=5).text == "1"
        assert fleet.stop()[0] == 0, fleet.printed


def test_port_that_is_taken_is_one_clear_message(tmp_path: Path) -> None:
    """No traceback, an exit code, and no process left."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-m", "tools.fleet", "-n", "1", "--host", "127.0.0.1", "--port", str(port)],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT), "ETCD_ENDPOINTS": "http://127.0.0.1:1"},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    assert done.returncode == 1
    assert f"--port {port}: something else listens on 127.0.0.1:{port}. Expected a free port" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_stop_during_the_start_is_obeyed(tmp_path: Path) -> None:
    """Ctrl-C right after the first line: all that was started is stopped again."""
    fleet = RunningFleet(tmp_path, 4)
    fleet.wait_until("etcd ")
    code, seconds = fleet.stop(signal.SIGINT)
    assert code == 0, fleet.printed
    assert seconds < STOP_WITHIN
    assert not any(alive(pid) for _, pid in fleet.rows().values())
