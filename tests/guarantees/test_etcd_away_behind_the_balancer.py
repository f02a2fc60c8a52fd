"""etcd is away from all instances at once, and clients come through HAProxy: everything that can be said is said.

Hazard: a balancer that routes by a strict readiness finds nobody, and answers with a page of its own, just when what
was last known, an honest refusal and the diagnosis are wanted.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.fault_matrix.scene import BOUND, SLACK, TIMEOUT, is_hit, is_not_done, membership, running, warm
from tests.load.requirements import need_haproxy
from tests.support.balancer import Balancer
from tests.support.etcd import EtcdServer, wait_for
from tests.support.instances import InstanceProcess, within
from torture.world import quiet_ports

pytestmark = [pytest.mark.secured, pytest.mark.lasting]

SIZE = 2
LONG = {"stale_if_error": "3600"}


@pytest.fixture
def etcd(tmp_path: Path) -> Iterator[EtcdServer]:
    need_haproxy()
    with EtcdServer(tmp_path / "etcd", durable=True) as server:
        yield server


@pytest.fixture
def fleet(etcd: EtcdServer, tmp_path: Path) -> Iterator[list[InstanceProcess]]:
    """Each has read the document."""
    with ExitStack() as stack:
        fleet = [
            stack.enter_context(running(tmp_path / str(number), etcd.endpoint, LEASE_TTL="60"))
            for number in range(SIZE)
        ]
        warm(fleet[0])
        for instance in fleet:
            wait_for(lambda: is_hit(instance), what="the document is in memory")  # noqa: B023  # at once
        yield fleet


class Users(Balancer):
    """A client that comes through the balancer."""

    def ask(self, method: str, path: str, **more: Any) -> requests.Response:
        """One request on a connection of its own."""
        with requests.Session() as session:
            session.trust_env = False
            return session.request(method, f"http://127.0.0.1:{self.port}{path}", timeout=10, **more)

    def ask_all(self, method: str, path: str, **more: Any) -> list[requests.Response]:
        """As `ask`, as many times as there are instances."""
        return [self.ask(method, path, **more) for _ in range(SIZE)]


@pytest.fixture
def users(tmp_path: Path, fleet: list[InstanceProcess]) -> Iterator[Users]:
    port, statistics_port = itertools.islice(quiet_ports(), 2)
    with Users(tmp_path, port, statistics_port, [instance.port for instance in fleet]) as users:
        wait_for(lambda: all(users.sends_to(number) for number in range(SIZE)), what="all instances are used")
        yield users


def the_rest_is_said(users: Users) -> None:
    """By each instance: the balancer takes them in turns."""
    for answer in users.ask_all("GET", "/config/k", params=LONG):
        assert (answer.status_code, answer.content, answer.headers.get("X-Cache")) == (200, b"1", "STALE")
        assert int(answer.headers["Age"]) >= BOUND
    for query in ("", "?use_cache=false", "?consistency=linearizable"):
        for answer in users.ask_all("GET", f"/config/k{query}"):
            is_not_done(answer)
    for answer in users.ask_all("PUT", "/config/k", data=b"2"):
        is_not_done(answer)
    assert [answer.status_code for answer in users.ask_all("GET", "/healthz")] == [200] * SIZE
    assert [answer.json()["ready"] for answer in users.ask_all("GET", "/readyz")] == [False] * SIZE
    assert all(answer.headers["Content-Type"].startswith("text/html") for answer in users.ask_all("GET", "/"))
    assert all("etcd" in answer.json()["why_not"] for answer in users.ask_all("GET", "/members/me"))
    assert [answer.status_code for answer in users.ask_all("GET", "/members/states")] == [200] * SIZE


def nobody_is_ready(users: Users) -> bool:
    return not any(users.sends_to(number) for number in range(SIZE))


@pytest.mark.timeout(180)
@pytest.mark.fault("etcd away, all behind the balancer")
@pytest.mark.usefixtures("fleet")
@pytest.mark.parametrize("go", [EtcdServer.kill, EtcdServer.pause], ids=["killed", "paused"])
def test_what_can_still_be_said_is_said_through_the_balancer(
    etcd: EtcdServer, users: Users, go: Callable[[EtcdServer], None]
) -> None:
    """Nobody is ready; all are asked. When etcd is back, the ready ones are preferred again."""
    go(etcd)
    wait_for(lambda: nobody_is_ready(users), BOUND + TIMEOUT + SLACK, "the balancer finds nobody ready")
    assert within(TIMEOUT + SLACK, lambda: users.ask("PUT", "/config/k", data=b"1").status_code == 503)
    the_rest_is_said(users)
    etcd.restart() if go is EtcdServer.kill else etcd.resume()
    wait_for(lambda: all(users.sends_to(number) for number in range(SIZE)), 20, "all are ready again")
    assert within(SLACK, lambda: users.ask("PUT", "/config/k", data=b"2").ok)
    assert users.ask("GET", "/config/k", params={"consistency": "linearizable"}).content == b"2"


@pytest.mark.timeout(180)
@pytest.mark.fault("etcd away, all behind the balancer")
def test_what_was_last_known_is_found_after_a_slot_was_lost(
    etcd: EtcdServer, fleet: list[InstanceProcess], users: Users
) -> None:
    """1. a lease is revoked; 2. its owner notices, and what it holds is to be validated; 3. etcd is killed before that.

    Not the lease of the lowest slot, whose owner audits: its successor's first look says that all may have changed.
    """
    second = next(instance for instance in fleet if slot_of(instance) == 1)
    then = membership(second)
    assert then is not None
    etcd.etcdctl("lease", "revoke", then.lease)
    wait_for(lambda: membership(second) != then, 20, "the slot was lost")
    etcd.kill()
    wait_for(lambda: nobody_is_ready(users), BOUND + TIMEOUT + SLACK, "the balancer finds nobody ready")
    the_rest_is_said(users)


def slot_of(instance: InstanceProcess) -> int:
    """Which it holds."""
    found = membership(instance)
    assert found is not None
    return found.slot


@pytest.mark.timeout(120)
@pytest.mark.fault("etcd away, all behind the balancer")
def test_a_balancer_without_any_instance_says_so_in_a_problem_document(
    fleet: list[InstanceProcess], users: Users
) -> None:
    """Not a page of HTML that no client understands."""
    for instance in fleet:
        instance.kill()
    for method in ("GET", "PUT"):
        is_not_done(users.ask(method, "/config/k", data=b"1" if method == "PUT" else None))
    wait_for(lambda: nobody_is_ready(users), what="the balancer has lost all")
    is_not_done(users.ask("GET", "/config/k"))
