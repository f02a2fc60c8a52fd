"""What the doctor says of etcd's own gRPC proxy: that it is one, what it can't reach, and why users can't use it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.doctor import Level
from tests.doctor.conftest import PREFIX, Examine
from tests.doctor.test_rights_and_room import PASSWORD
from tests.support.etcd import EtcdServer
from tests.support.grpc_proxy import GrpcProxy


@pytest.fixture
def proxy(etcd: EtcdServer, tmp_path: Path) -> Iterator[GrpcProxy]:
    with GrpcProxy(etcd, tmp_path / "proxy") as proxy:
        yield proxy


def test_a_proxy_is_told_and_nothing_is_wrong_with_it(proxy: GrpcProxy, etcd: EtcdServer, examined: Examine) -> None:
    """An etcd beside it is none."""
    found = examined(ETCD_ENDPOINTS=f"{proxy.endpoint},{etcd.endpoint}")
    assert found.not_ok() == {}
    through, direct = (finding.found for finding in found.of("endpoint"))
    assert through.startswith(f"{proxy.endpoint}: etcd ")
    assert through.endswith("through etcd's gRPC proxy")
    assert "proxy" not in direct


def test_an_etcd_away_behind_its_proxy_is_told(tmp_path: Path, examined: Examine) -> None:
    """The proxy is there; what it says of its own connections is not about the way to it."""
    with EtcdServer(tmp_path / "etcd") as etcd, GrpcProxy(etcd, tmp_path / "proxy") as proxy:
        etcd.kill()
        finding = examined(ETCD_ENDPOINTS=proxy.endpoint).one("endpoint")
    assert finding.level is Level.WRONG
    assert finding.found.startswith(f"{proxy.endpoint}: it is a proxy, and can't reach the etcd behind it")
    assert finding.remedy.startswith(f"Start the etcd behind the proxy at {proxy.endpoint}")


def users_behind_a_proxy(tmp_path: Path, program: Path, examined: Examine) -> dict[str, tuple[Level, str]]:
    """Each finding that is not well, by its check."""
    with EtcdServer(tmp_path / "etcd", program=program) as etcd:
        etcd.enable_auth(root="root-pw", user="app", password=PASSWORD, prefix=f"{PREFIX}/")
        with GrpcProxy(etcd, tmp_path / "proxy") as proxy:
            found = examined(ETCD_ENDPOINTS=proxy.endpoint, ETCD_USER="app", ETCD_PASSWORD=PASSWORD)
    return {each.check: (each.level, f"{each.found} {each.remedy}") for each in found.report.findings}


def test_users_behind_a_proxy_are_a_warning(tmp_path: Path, etcd_351: Path, examined: Examine) -> None:
    """It may work, until a token ends (etcd #16112, #19296) or etcd is upgraded."""
    found = users_behind_a_proxy(tmp_path, etcd_351, examined)
    assert found["endpoint"][0] is Level.WARNING
    assert "Name the members of etcd themselves" in found["endpoint"][1]
    assert found["permissions"][0] is Level.OK


def test_an_etcd_that_renews_no_lease_in_nobodys_name_is_told(
    tmp_path: Path, etcd_recent: Path, examined: Examine
) -> None:
    """Instances would join, and lose their slot when the lease ends."""
    found = users_behind_a_proxy(tmp_path, etcd_recent, examined)
    assert found["endpoint"][0] is Level.WARNING
    level, said = found["permissions"]
    assert level is Level.WRONG
    assert said.startswith("can't renew a lease: ")
