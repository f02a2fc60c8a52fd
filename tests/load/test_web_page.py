"""Locust's own page, as people use it: users are chosen, a run is started, watched and stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.load.locust_run import ROOT
from tests.support.etcd import EtcdServer, free_ports
from tests.support.instances import InstanceProcess, within

TOKEN = "load-0123456789-load"
TOKENS = f'[{{"name": "load", "token": "{TOKEN}", "scopes": ["read", "write"]}}]'


@pytest.fixture
def instance(etcd: EtcdServer, tmp_path: Path) -> Iterator[InstanceProcess]:
    """With tokens: the load has to bear one."""
    with InstanceProcess(tmp_path / "instance", **etcd.settings("/locust-page"), API_TOKENS=TOKENS) as process:
        yield process


@pytest.fixture
def page(instance: InstanceProcess, tmp_path: Path) -> Iterator[str]:
    """The address of locust's page."""
    (port,) = free_ports(1)
    log = tmp_path / "locust.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "locust", "--class-picker", "--web-host", "127.0.0.1", "--web-port", str(port)],
            cwd=ROOT,
            env={**os.environ, "HOST": instance.url, "LOAD_PAUSE": "0.05", "LOAD_TOKEN": TOKEN},
            stdout=output,
            stderr=output,
        )
    try:
        address = f"http://127.0.0.1:{port}"
        assert within(20, lambda: answers(address)), log.read_text()
        yield address
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0, log.read_text()
        assert TOKEN not in log.read_text()
    finally:
        process.kill()
        process.wait(5)


def answers(address: str) -> bool:
    try:
        return requests.get(address, timeout=2).ok
    except requests.ConnectionError:
        return False


@pytest.mark.parametrize(
    ("chosen", "named"),
    [
        (["ConfigUser"], {"PUT", "GET use_cache=true", "GET use_cache=false"}),
        (["LinearizableUser", "ConditionalUser"], {"PUT", "GET ?consistency=linearizable", "PUT if-match"}),
    ],
)
def test_users_are_chosen_and_a_run_is_started_and_stopped(page: str, chosen: list[str], named: set[str]) -> None:
    """0 failures."""
    assert all(name in requests.get(page, timeout=5).text for name in (*chosen, "BoundedUser"))
    form = {"user_count": "6", "spawn_rate": "6", "user_classes": chosen}
    started = requests.post(f"{page}/swarm", data=form, timeout=10).json()
    assert (started["success"], started["user_classes"]) == (True, sorted(chosen))

    def stats() -> dict[str, int]:
        told = requests.get(f"{page}/stats/requests", timeout=5).json()
        assert told["errors"] == []
        return {row["name"]: row["num_requests"] for row in told["stats"]}

    assert within(20, lambda: all(stats().get(name, 0) > 5 for name in named)), stats()
    assert requests.post(f"{page}/stop", timeout=20).json()["success"] is True
    assert within(20, lambda: requests.get(f"{page}/stats/requests", timeout=5).json()["state"] == "stopped")
