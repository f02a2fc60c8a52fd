"""What one idle instance costs: memory, threads of nobody, and questions to etcd."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from consistency.instance import trimmer
from tests.support.etcd import EtcdServer
from tests.support.instances import PROJECT, InstanceProcess, within
from tools.as_deployed import as_deployed

pytestmark = pytest.mark.lasting

MB = 1024 * 1024
INSTANCE_MB = 75
TOGETHER_MB = 126
OWN_MB = 41
"""What is no file's: the part that the kernel can't take back."""

RPCS_PER_SECOND = 3.0
WATCHED_FOR = 5.0
"""Seconds: long against the proof interval and the renewal of the lease."""


def resident(pid: int, part: str = "VmRSS") -> float:
    """Megabytes in memory, what it shares with others included; or a part of them, as the kernel calls it."""
    status = Path(f"/proc/{pid}/status").read_text()
    kilobytes = next(line.split()[1] for line in status.splitlines() if line.startswith(f"{part}:"))
    return int(kilobytes) * 1024 / MB


def readiness(instance: InstanceProcess) -> dict[str, object]:
    """What /readyz tells."""
    found: dict[str, object] = instance.request("GET", "/readyz").json()
    return found


def children(pid: int) -> list[int]:
    """The processes that it started."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.parametrize(("package", "there"), [("granian", True), ("pydantic", True), ("pytest", False)])
def test_what_is_weighed_has_the_packages_of_its_requirements_alone(tmp_path: Path, package: str, there: bool) -> None:
    """Libraries load some of what else they find, and would be weighed with it."""
    environ = os.environ | as_deployed(tmp_path)
    command = [sys.executable, "-c", f"import service, {package}"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode == 0) is there, done.stderr
    assert ("not among the requirements" in done.stderr) is not there


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="measured where the kernel tells: on Linux")
def test_an_idle_instance_takes_less_than_75_mb_and_126_with_its_etcd(tmp_path: Path) -> None:
    """One process and its etcd; no copy of the interpreter stands by. At the second start, when all is compiled."""
    with InstanceProcess(tmp_path, **as_deployed(tmp_path)) as first:
        first.stop()
    with InstanceProcess(tmp_path, **as_deployed(tmp_path)) as instance:
        instance.wait_for_slot()
        instance.put("a", b"1")
        instance.get("a")
        instance.request("GET", "/members")
        instance.request("GET", "/metrics")
        started = children(instance.pid)
        assert started == [instance.embedded_etcd()["pid"]]
        assert resident(instance.pid, "RssAnon") < OWN_MB
        assert resident(instance.pid) < INSTANCE_MB
        assert resident(instance.pid) + sum(map(resident, started)) < TOGETHER_MB


OF_FLASK = "markupsafe"
"""A library in machine code that Flask needs, and nobody else."""


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="seen where the kernel tells: on Linux")
def test_flask_is_loaded_for_the_first_page_and_for_nothing_that_machines_ask(tmp_path: Path) -> None:
    """By load balancers, Prometheus, other instances, and clients."""
    with InstanceProcess(tmp_path) as instance:
        maps = Path(f"/proc/{instance.pid}/maps")
        instance.put("a", b"1")
        instance.wait_for_slot()
        assert within(10, lambda: instance.request("GET", "/members/targets").status_code == 200)
        for path in ("/healthz", "/readyz", "/metrics", "/members", "/members/me", "/members/states", "/config/a"):
            assert instance.request("GET", path).status_code == 200, path
        assert OF_FLASK not in maps.read_text()
        assert "text/html" in instance.request("GET", "/").headers["content-type"]
        assert OF_FLASK in maps.read_text()


def test_an_idle_instance_asks_etcd_at_most_three_times_a_second(tmp_path: Path) -> None:
    """Rules 4, 9 and 13: proofs, renewals of the lease, audits; once it has joined, and has looked once at all records
    of changes (rule 19). Counted by etcd itself."""
    with EtcdServer(tmp_path / "etcd") as etcd, InstanceProcess(tmp_path, ETCD_ENDPOINTS=etcd.endpoint) as instance:
        instance.wait_for_slot()
        assert within(10.0, lambda: {"watch_up": True, "fresh": True}.items() <= readiness(instance).items())
        time.sleep(2 * trimmer.INTERVAL)
        before, since = etcd.counter("grpc_server_started_total"), time.monotonic()
        time.sleep(WATCHED_FOR)
        asked = etcd.counter("grpc_server_started_total") - before
        assert 0 < asked / (time.monotonic() - since) <= RPCS_PER_SECOND


COUNTING = """
import gc, signal

def tell(*_):
    print("looked through:", len(gc.get_objects()), "spared:", gc.get_freeze_count(), flush=True)

signal.signal(signal.SIGUSR2, tell)
"""


def test_what_is_there_from_the_start_is_not_looked_through_for_cycles_again(tmp_path: Path) -> None:
    """A look at all of it held the loop for 27 ms, whatever else the instance was about."""
    (tmp_path / "sitecustomize.py").write_text(COUNTING)
    path = os.pathsep.join((str(tmp_path), str(PROJECT)))
    with InstanceProcess(tmp_path, PYTHONPATH=path) as instance:
        instance.put("a", b"1")
        for _ in range(3):
            instance.request("GET", "/metrics")
        os.kill(instance.pid, signal.SIGUSR2)
        assert within(5, lambda: "looked through" in instance.printed())
        looked_through, spared = map(int, re.findall(r"(?:through|spared): (\d+)", instance.printed()))
    assert spared > 50_000
    assert looked_through < spared / 5
