"""The app as `cf push` has it, scaled and renewed under load behind the platform's router: no request fails."""

from __future__ import annotations

import base64
import itertools
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.guarantees.user import User, users
from tests.load.requirements import need_haproxy
from tests.platform.apps import SERVICE
from tests.platform.foundry import Foundry
from tests.platform.gorouter import Router
from tests.support.certificates import Authority, TlsFiles
from tests.support.etcd import EtcdServer
from tests.support.meanwhile import meanwhile
from torture.world import quiet_ports

pytestmark = pytest.mark.alone

PREFIX = str(SERVICE["env"]["USER_KEY_PREFIX"])
USERS = 6
PAUSE = 0.02


@pytest.fixture
def authority() -> Authority:
    return Authority()


@pytest.fixture
def etcd(tmp_path: Path, authority: Authority) -> Iterator[EtcdServer]:
    """Over TLS, with a user who may use the app's prefix and nothing else."""
    tls = TlsFiles.write(tmp_path / "tls", authority.issue("127.0.0.1"))
    with EtcdServer(tmp_path / "etcd", tls=tls) as etcd:
        etcd.enable_auth(root="root-pw", user="config", password="correct-horse", prefix=f"{PREFIX}/")
        yield etcd


@pytest.fixture
def credentials(etcd: EtcdServer, authority: Authority) -> object:
    """Of the user-provided service, as `cf create-user-provided-service` takes them."""
    grpc = {
        "hosts": [{"hostname": "127.0.0.1", "port": etcd.client_port}],
        "authentication": {"username": "config", "password": "correct-horse"},
        "certificate": {"name": "ca", "certificate_base64": base64.b64encode(authority.pem).decode()},
    }
    return {"connection": {"grpc": grpc}}


@pytest.fixture
def router(tmp_path: Path) -> Iterator[Router]:
    need_haproxy()
    with Router(tmp_path, next(quiet_ports())) as router:
        yield router


@pytest.fixture
def clients(router: Router) -> Iterator[list[User]]:
    with users(USERS, router.port) as clients:
        yield clients


@pytest.mark.timeout(420)  # seconds; a minute, more on a busy machine
def test_no_request_fails_while_the_app_is_scaled_and_renewed(
    tmp_path: Path, router: Router, clients: list[User], credentials: object
) -> None:
    """1 to 8 to 3 instances, then a rolling update with one more than these. Every answer is right; everybody ends by
    itself in ten seconds and within the manifest's memory (the foundry asserts that); all new instances are used."""
    began = time.monotonic()

    def say(line: str) -> None:
        answered = sum(client.requests for client in clients)
        sys.stdout.write(f"{time.monotonic() - began:6.1f} s {answered:7} requests  {line}\n")

    ports = itertools.islice(quiet_ports(), 1, None)
    with Foundry(SERVICE, router, ports, tmp_path, credentials, say) as foundry:
        foundry.scale(1)
        with meanwhile(clients, pause=PAUSE):
            foundry.scale(8)
            foundry.scale(3)
            foundry.roll()
            foundry.stay(2.0)
        served = [router.served(container.port) for container in foundry.running]
        failures = router.total("hrsp_5xx", "eresp")
        say(f"the new ones have served {served}; {failures}; {router.total('wretr', 'wredis')}")
        assert len(served) == 3
        assert all(served)
        assert failures == {"hrsp_5xx": 0, "eresp": 0}
