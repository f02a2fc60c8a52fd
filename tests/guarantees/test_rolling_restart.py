"""A fleet behind HAProxy is renewed, instance by instance, and no client notices.

What makes that so is the order at the end of each: readiness off, wait until the balancer has seen it, finish what is
under way, give the slot back. The balancer's own means against a refused connection are not needed, and counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.guarantees.renewed import balanced, running
from tests.guarantees.user import User, users
from tests.load.requirements import need_haproxy
from tests.support.balancer import Balancer
from tests.support.etcd import EtcdServer, wait_for
from tests.support.instances import InstanceProcess
from tests.support.meanwhile import meanwhile

pytestmark = [pytest.mark.secured, pytest.mark.alone]

SIZE = 4
CLIENTS = 6
DRAIN_WAIT = 4.0
"""Seconds: far above the 0.7 in which the balancer's checks notice."""

PAUSE = 0.01
PREFIX = "/rolling"
FAILURES = ("wretr", "wredis", "econ", "eresp", "srv_abrt", "hrsp_5xx")
"""HAProxy's counters: connections tried again, requests sent elsewhere, failed connections, answers, transfers, 5xx."""


@pytest.fixture
def etcd(new_etcd: type[EtcdServer], tmp_path: Path) -> Iterator[EtcdServer]:
    """One of its own, and nothing at all where there is no balancer."""
    need_haproxy()
    with new_etcd(tmp_path / "etcd") as etcd:
        yield etcd


@pytest.fixture
def fleet(tmp_path: Path, etcd: EtcdServer) -> Iterator[list[InstanceProcess]]:
    with running(tmp_path / "fleet", SIZE, **etcd.settings(PREFIX), DRAIN_WAIT=str(DRAIN_WAIT)) as fleet:
        yield fleet


@pytest.fixture
def clients(balancer: Balancer) -> Iterator[list[User]]:
    with users(CLIENTS, balancer.port) as clients:
        yield clients


@pytest.fixture
def balancer(tmp_path: Path, fleet: list[InstanceProcess]) -> Iterator[Balancer]:
    with balanced(tmp_path, fleet) as balancer:
        yield balancer


@pytest.mark.timeout(300)  # seconds; half a minute, more on a busy machine
@pytest.mark.fault("rolling restart under load")
def test_no_request_fails_while_every_instance_is_restarted(
    etcd: EtcdServer, fleet: list[InstanceProcess], balancer: Balancer, clients: list[User]
) -> None:
    """Fault matrix. No 5xx, no reset, no refused connection, no wrong value; and none that HAProxy had to make good:
    it never met a connection that was refused or cut. Each new process then serves its share."""
    with meanwhile(clients, pause=PAUSE):
        for number, instance in enumerate(fleet):
            restart(etcd, instance, balancer, number)
            await_share(balancer, number)
    assert balancer.total(*FAILURES) == dict.fromkeys(FAILURES, 0)
    assert all(client.requests > 10 * SIZE for client in clients)


def restart(etcd: EtcdServer, instance: InstanceProcess, balancer: Balancer, number: int) -> None:
    """SIGTERM, then a new process. The old one serves and is a member until the balancer sends it nothing more."""
    slot = f"{PREFIX}/members/{instance.wait_for_slot():02}"
    instance.ask_to_stop()
    wait_for(lambda: not balancer.sends_to(number), DRAIN_WAIT, f"HAProxy has left instance {number}")
    assert instance.answers(503, "/readyz")
    assert instance.get("nothing").status_code == 404
    assert slot in members(etcd)
    assert instance.wait() == 0, instance.printed()
    assert slot not in members(etcd)
    instance.start().wait_until_ready().wait_for_slot()


def await_share(balancer: Balancer, number: int) -> None:
    """Until the balancer has sent the new process requests again."""
    before = balancer.served(number)
    wait_for(lambda: balancer.served(number) > before, what=f"instance {number} is used again")


def members(etcd: EtcdServer) -> list[str]:
    """The member keys in etcd, acknowledgements among them."""
    return etcd.etcdctl("get", "--prefix", "--keys-only", f"{PREFIX}/members/").split()
