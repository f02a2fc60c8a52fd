"""The fault matrix: instances that go. All that are here tell lost instances from those that left, for an hour."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.fault_matrix.scene import SLACK, TTL, always, membership, metric, running
from tests.support.etcd import EtcdServer
from tests.support.instances import InstanceProcess, within
from tests.support.meanwhile import meanwhile

pytestmark = pytest.mark.lasting

SIZE = 4


@pytest.fixture
def etcd(tmp_path: Path) -> Iterator[EtcdServer]:
    """One that no other fleet has been in."""
    with EtcdServer(tmp_path / "etcd") as server:
        yield server


@pytest.fixture
def fleet(etcd: EtcdServer, tmp_path: Path) -> Iterator[list[InstanceProcess]]:
    with ExitStack() as stack:
        instances = [
            stack.enter_context(running(tmp_path / str(number), etcd.endpoint, EXPECTED_INSTANCES=f"{SIZE}"))
            for number in range(SIZE)
        ]
        assert all(within(SLACK, lambda each=each: len(members(each)) == SIZE) for each in instances)  # type: ignore[misc]
        yield instances


def members(instance: InstanceProcess) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = instance.request("GET", "/members").json()["members"]
    return found


def gone(instance: InstanceProcess) -> dict[str, str]:
    """How each has gone, by its address, as that instance tells it."""
    departed = instance.request("GET", "/members").json()["departed"]
    return {each["address"]: each["how"] for each in departed}


def address(instance: InstanceProcess) -> str:
    return f"127.0.0.1:{instance.port}"


@pytest.mark.fault("3 of 4 instances killed")
def test_three_of_four_are_killed_and_the_last_one_says_so(
    etcd: EtcdServer, fleet: list[InstanceProcess], tmp_path: Path
) -> None:
    """It answers all the time; and who comes later knows as much."""
    last, *dead = fleet
    assert last.put("k", b"1").ok
    lost = {address(instance): "lost" for instance in dead}
    with meanwhile([always(last, "/config/k", "/config/k?use_cache=false", "/readyz", "/healthz")], pause=0.02):
        killed = time.time()
        for instance in dead:
            instance.kill()
        assert within(4 * TTL + SLACK, lambda: gone(last) == lost)
        assert last.put("k", b"2").ok
    for each in last.request("GET", "/members").json()["departed"]:
        assert killed - 1 < time.time() - each["seconds_ago"] < killed + 4 * TTL + 2 * SLACK
    readiness = last.request("GET", "/readyz")
    assert (readiness.status_code, readiness.json()["warning"]) == (200, f"1 of {SIZE} expected instances are here")
    assert metric(last, "config_fleet_instances") == 1
    assert metric(last, "config_fleet_expected_instances") == SIZE
    assert metric(last, "config_fleet_departed", how="lost") == len(dead)
    with running(tmp_path / "late", etcd.endpoint) as late:
        assert gone(late) == lost
        assert late.stop() == 0
        assert within(SLACK, lambda: gone(last) == {**lost, address(late): "left"})
        assert metric(last, "config_fleet_departed", how="left") == 1


def test_an_orderly_end_is_no_loss_however_many_go(fleet: list[InstanceProcess]) -> None:
    """A rolling restart, or a platform that scales down: SIGTERM to each."""
    last, *leaving = fleet
    for instance in leaving:
        assert instance.stop() == 0
    assert within(SLACK, lambda: gone(last) == {address(instance): "left" for instance in leaving})
    assert metric(last, "config_fleet_departed", how="lost") == 0


def test_who_hung_for_longer_than_its_lease_is_lost_and_then_back(fleet: list[InstanceProcess]) -> None:
    last, hung, *_ = fleet
    before = membership(hung)
    hung.pause()
    try:
        assert within(4 * TTL + SLACK, lambda: gone(last) == {address(hung): "lost"})
    finally:
        hung.resume()
    assert within(2 * TTL + SLACK, lambda: membership(hung) not in (before, None))
    for instance in fleet:
        assert within(SLACK, lambda instance=instance: gone(instance) == {address(hung): "back"})  # type: ignore[misc]
