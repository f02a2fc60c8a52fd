"""What the doctor says of endpoints: reached or not and why, their certificates, their releases, their leader."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from consistency.etcd.config import EtcdConfig
from consistency.etcd.probe import MemberStatus
from service.doctor import Level
from service.doctor.cluster import identity, leadership, space
from service.doctor.endpoints import Look, versions
from service.doctor.glimpse import Glimpse, glimpse
from service.doctor.pace import clocks
from service.doctor.report import ok
from tests.doctor.conftest import Examine
from tests.support.certificates import Authority, Pair, TlsFiles
from tests.support.etcd import EtcdCluster, EtcdServer, free_ports

OURS = Authority()
THEIRS = Authority()


def test_a_healthy_etcd_has_nothing_wrong(etcd: EtcdServer, examined: Examine) -> None:
    """Every check is made; only the release of the etcd that tests have may be warned about."""
    found = examined(ETCD_ENDPOINTS=etcd.endpoint)
    assert found.not_ok() == {}
    assert found.report.healthy
    checks = [finding.check for finding in found.report.findings]
    assert checks == [
        "tokens", "endpoint", "version", "cluster", "leader", "auth", "space", "permissions", "latency", "latency",
        "fleet", "changes", "policy", "history", "keys", "clock",
    ]  # fmt: skip


def test_an_etcd_that_is_stopped_is_told(examined: Examine) -> None:
    endpoint = f"http://127.0.0.1:{free_ports(1)[0]}"
    found = examined(ETCD_ENDPOINTS=endpoint)
    assert found.not_ok() == {"endpoint": Level.WRONG}
    assert found.one("endpoint").found == f"{endpoint}: connection refused"
    assert f"Start the etcd at {endpoint}" in found.one("endpoint").remedy
    assert not found.report.healthy


@contextmanager
def black_hole() -> Iterator[str]:
    """An endpoint that no packet comes back from: a listener whose backlog is full."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(3):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_packets_that_are_dropped_are_told_from_a_refusal_and_cost_seconds(etcd: EtcdServer, examined: Examine) -> None:
    """A firewall, or a wrong address: nothing says no. The others are examined all the same."""
    with black_hole() as endpoint:
        started = time.monotonic()
        found = examined(ETCD_ENDPOINTS=f"{endpoint},{etcd.endpoint}")
        assert time.monotonic() - started < 20  # three seconds, on a machine that has nothing else to do
    assert found.not_ok() == {"endpoint": Level.WARNING}
    assert (
        found.of("endpoint")[0].found == f"{endpoint}: nothing comes back from there: are packets dropped on the way?"
    )
    assert f"Open the way to {endpoint}" in found.of("endpoint")[0].remedy


def test_an_etcd_that_hangs_is_told(tmp_path: Path, examined: Examine) -> None:
    with EtcdServer(tmp_path / "etcd") as server:
        server.pause()
        found = examined(ETCD_ENDPOINTS=server.endpoint)
        assert found.one("endpoint").found.endswith("it takes connections but says nothing: does it hang?")
        assert not found.report.healthy


def test_a_name_that_nobody_knows_is_told(examined: Examine) -> None:
    found = examined(ETCD_ENDPOINTS="http://no.such.host.invalid:2379")
    assert found.one("endpoint").found.endswith("host name not found")


def test_the_faults_of_a_release_are_told(tmp_path: Path, etcd_351: Path, examined: Examine) -> None:
    """They keep nothing from working today: a warning."""
    with EtcdServer(tmp_path / "etcd", program=etcd_351) as server:
        found = examined(ETCD_ENDPOINTS=server.endpoint)
    version = found.one("version")
    assert version.level is Level.WARNING
    for fault in ("different data after a crash", "notifications of a watch may overtake", "a lease may be revoked"):
        assert fault in version.found
    assert "use etcd ≥ 3.5.22 or ≥ 3.6.5" in version.remedy
    assert found.report.healthy


# --- several members


def test_one_of_three_members_down_is_a_warning_and_two_are_wrong(tmp_path: Path, examined: Examine) -> None:
    """The service goes on with a majority, and not without."""
    with EtcdCluster(tmp_path / "etcd") as cluster:
        endpoints = ",".join(cluster.endpoints)
        assert examined(ETCD_ENDPOINTS=endpoints).not_ok() == {}
        cluster.servers[1].kill()
        found = examined(ETCD_ENDPOINTS=endpoints)
        assert found.not_ok() == {"endpoint": Level.WARNING}
        assert [each.level for each in found.of("endpoint")] == [Level.OK, Level.WARNING, Level.OK]
        cluster.servers[2].kill()
        found = examined(ETCD_ENDPOINTS=endpoints, ETCD_TIMEOUT="1")
        assert not found.report.healthy
        # Whether it has noticed yet that its leader is gone, or not.
        (wrong,) = [each for each in found.report.findings if each.level is Level.WRONG and each.check != "leader"]
        assert wrong.check == "read"
        assert "Bring back a majority" in wrong.remedy


def test_endpoints_of_two_clusters_are_wrong(etcd: EtcdServer, tmp_path: Path, examined: Examine) -> None:
    """The service would take each change of endpoint for a restore (rule 8)."""
    with EtcdServer(tmp_path / "etcd", name="other") as other:
        found = examined(ETCD_ENDPOINTS=f"{etcd.endpoint},{other.endpoint}")
    assert found.one("cluster").level is Level.WRONG
    assert etcd.endpoint in found.one("cluster").found
    assert other.endpoint in found.one("cluster").found


def test_what_etcd_tells_root_alone_is_no_fault_and_no_praise() -> None:
    """3.5.28 tells no other user; what others of its members tell is told, and worse than nothing is still told."""
    silent, leaderless = MemberStatus("http://a:2379"), MemberStatus("http://b:2379", "3.5.30", cluster=7, leader=0)
    assert leadership([silent]) == ok("leader", "etcd tells root alone which member leads")
    assert leadership([silent, leaderless]).level is Level.WRONG
    assert identity([silent]) == ok("cluster", "etcd tells which it is to those alone who may read there")
    assert identity([silent, leaderless]) == ok("cluster", "the endpoint belongs to cluster 7")
    (room,) = space([Look("http://a:2379", silent)], (), "etcdctl")
    assert room == ok("space", "no alarm; etcd tells root alone how full it is")
    [version] = versions([Look("http://a:2379", silent)], users=True)
    assert (version.level, "tells root alone which release" in version.found) == (Level.WARNING, True)


# --- TLS


@contextmanager
def secure(directory: Path, pair: Pair, client_ca: Authority | None = None) -> Iterator[EtcdServer]:
    with EtcdServer(directory, tls=TlsFiles.write(directory / "tls", pair, client_ca)) as server:
        yield server


def test_a_certificate_that_fits_is_told_with_its_end(tmp_path: Path, examined: Examine) -> None:
    with secure(tmp_path / "etcd", OURS.issue("127.0.0.1")) as server:
        found = examined(ETCD_ENDPOINTS=server.endpoint, ETCD_CA_CERT=OURS.pem.decode())
    assert found.not_ok() == {}
    assert [each.found.partition(": valid until ")[0] for each in found.of("tls")] == [
        f"certificate of {server.endpoint}",
        "authority (ETCD_CA_CERT)",
    ]


@pytest.mark.parametrize(
    ("pair", "authority", "told"),
    [
        (OURS.issue("127.0.0.1"), THEIRS, "its TLS certificate is signed by none of the authorities trusted"),
        (OURS.issue("etcd.example.org"), OURS, "its TLS certificate is for another name"),
        (OURS.issue("127.0.0.1", expired=True), OURS, "its TLS certificate has expired"),
    ],
    ids=["wrong authority", "wrong name", "expired"],
)
def test_a_certificate_that_does_not_fit_is_told(
    tmp_path: Path, examined: Examine, pair: Pair, authority: Authority, told: str
) -> None:
    with secure(tmp_path / "etcd", pair) as server:
        found = examined(ETCD_ENDPOINTS=server.endpoint, ETCD_CA_CERT=authority.pem.decode())
    assert found.one("endpoint").level is Level.WRONG
    assert found.one("endpoint").found == f"{server.endpoint}: {told}"
    assert server.endpoint in found.one("endpoint").remedy
    expired = [each for each in found.of("tls") if each.level is Level.WRONG]
    assert bool(expired) == ("expired" in told)


def test_a_missing_client_certificate_is_told_and_a_fitting_one_is_accepted(tmp_path: Path, examined: Examine) -> None:
    with secure(tmp_path / "etcd", OURS.issue("127.0.0.1"), OURS) as server:
        settings = {"ETCD_ENDPOINTS": server.endpoint, "ETCD_CA_CERT": OURS.pem.decode()}
        found = examined(**settings)
        assert found.one("endpoint").found.endswith("it refused our TLS client certificate, or demands one")
        assert "ETCD_CERT and ETCD_KEY" in found.one("endpoint").remedy
        ours = OURS.issue("client")
        found = examined(**settings, ETCD_CERT=ours.cert.decode(), ETCD_KEY=ours.key.decode())
        assert found.not_ok() == {}
        shown = [each.found.partition(": valid until ")[0] for each in found.of("tls")]
        assert shown == [
            f"certificate of {server.endpoint}", "client certificate (ETCD_CERT)", "authority (ETCD_CA_CERT)"
        ]  # fmt: skip


def test_http_where_https_is_expected_is_told(tmp_path: Path, examined: Examine) -> None:
    with secure(tmp_path / "etcd", OURS.issue("127.0.0.1")) as server:
        found = examined(ETCD_ENDPOINTS=server.endpoint.replace("https", "http"))
    assert "Write https instead of http" in found.one("endpoint").remedy


@pytest.mark.parametrize(("hours", "level"), [(0, Level.OK), (1, Level.WARNING), (-1, Level.WARNING)])
def test_a_wall_clock_that_is_off_is_a_warning(hours: int, level: Level) -> None:
    """Nothing rests on it but certificates, and the times in logs."""
    look = Look("http://a:1", seen=Glimpse(ahead=hours * 3600.0))
    found = clocks([look])
    assert found.level is level
    assert ("3600 s ahead" in found.found, "3600 s behind" in found.found) == (hours > 0, hours < 0)


def test_the_wall_clock_of_an_etcd_is_seen(etcd: EtcdServer) -> None:
    """The same machine's, by its Date header, which has whole seconds."""
    seen = glimpse(etcd.endpoint, EtcdConfig((etcd.endpoint,), "/x"), 5.0)
    assert seen.ahead is not None
    assert abs(seen.ahead) < 2
    assert seen.quota_bytes == 2 * 1024**3
