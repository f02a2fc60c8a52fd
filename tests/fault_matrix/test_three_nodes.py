"""Faults that a cluster of three is there to survive: nobody who reads notices, and writes never lie."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fault_matrix.scene import TIMEOUT, UNCACHED, always, membership, running, warm
from tests.support.etcd import EtcdCluster, EtcdServer, wait_for
from tests.support.instances import InstanceProcess, within
from tests.support.meanwhile import meanwhile

pytestmark = pytest.mark.alone

PATHS = ("/config/k", "/config/k?use_cache=false", "/config/k?consistency=linearizable", "/readyz", "/healthz")
DEADLINE = 10.0
ELECTION = 5.0
"""Seconds: longer than etcd needs to find a new leader. The bound is set to it, so that proofs live so long."""


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[EtcdCluster]:
    with EtcdCluster(tmp_path / "cluster") as cluster:
        yield cluster


@pytest.fixture
def instance(cluster: EtcdCluster, tmp_path: Path) -> Iterator[InstanceProcess]:
    settings = {"CACHE_STALENESS_BOUND": str(ELECTION), "ETCD_TIMEOUT": str(DEADLINE), "LEASE_TTL": "20"}
    with running(tmp_path / "instance", *cluster.endpoints, **settings) as instance:
        warm(instance)
        yield instance


class Writer:
    """Counts up in one key; 504 is an answer, but what was acknowledged must be there."""

    def __init__(self, instance: InstanceProcess) -> None:
        self._instance = instance
        self._next = 1
        self.acknowledged = 0

    def __call__(self) -> None:
        self._next += 1
        status = self._instance.put("counted", b"%d" % self._next).status_code
        assert status in (200, 201, 504)
        if status != 504:
            self.acknowledged = self._next

    def saw(self, more: int) -> Callable[[], bool]:
        """Whether so many more writes have been acknowledged since now."""
        wanted = self._next + more
        return lambda: self.acknowledged > wanted


def goes_on(instance: InstanceProcess, fault: Callable[[], None]) -> None:
    """While clients of every kind are at work the fault happens, and work goes on; not one of them is refused."""
    before = membership(instance)
    writer = Writer(instance)
    with meanwhile([writer, *(always(instance, path) for path in PATHS)], pause=0.02):
        assert within(DEADLINE, writer.saw(5))
        fault()
        assert within(DEADLINE + TIMEOUT, writer.saw(20))
    assert int(instance.get("counted", params=UNCACHED).content) >= writer.acknowledged
    assert membership(instance) == before


@pytest.mark.fault("leader change (3 nodes)")
def test_leader_change(cluster: EtcdCluster, instance: InstanceProcess) -> None:
    """In order, as for maintenance."""

    def move() -> None:
        leader = cluster.leader()
        listed = json.loads(leader.etcdctl("member", "list", "--write-out=json"))
        other = next(member for member in listed["members"] if member["name"] != leader.name)
        leader.etcdctl("move-leader", f"{other['ID']:x}")
        wait_for(lambda: bool(named(cluster, other["name"]).counter("etcd_server_is_leader")), what="another leads")

    goes_on(instance, move)


@pytest.mark.fault("one of three nodes killed")
@pytest.mark.parametrize("leads", [False, True], ids=["a follower", "the leader"])
def test_one_of_three_nodes_killed(cluster: EtcdCluster, instance: InstanceProcess, leads: bool) -> None:
    """Memory serves while etcd elects; reads that have to ask wait for it, within the deadline."""

    def kill() -> None:
        leader = cluster.leader()
        (leader if leads else next(each for each in cluster.servers if each is not leader)).kill()
        killed = time.monotonic()
        assert within(ELECTION, lambda: elected(cluster) or time.monotonic() > killed + ELECTION)

    goes_on(instance, kill)


def named(cluster: EtcdCluster, name: str) -> EtcdServer:
    return next(server for server in cluster.servers if server.name == name)


def elected(cluster: EtcdCluster) -> bool:
    return any(server.healthy() and server.counter("etcd_server_is_leader") for server in cluster.servers)
