"""One of two endpoints is no etcd, or has a certificate that does not fit. Nobody notices but the operator."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc  # type: ignore[import-untyped]
import pytest

from tests.fault_matrix.scene import AMPLE, UNCACHED, always, is_hit, membership, metric, running, times_written, warm
from tests.support.certificates import Authority, Pair, TlsFiles
from tests.support.etcd import EtcdServer
from tests.support.instances import InstanceProcess, within
from tests.support.meanwhile import meanwhile
from tests.support.stranger import Stranger

pytestmark = pytest.mark.lasting

PATHS = ("/config/k", "/config/k?use_cache=false", "/config/k?consistency=linearizable", "/readyz", "/healthz")
OURS = Authority()

SAID = [
    ("UNAUTHENTICATED", "Jwt is missing"),
    ("PERMISSION_DENIED", "RBAC: access denied"),
    ("NOT_FOUND", "no such route"),
    ("INVALID_ARGUMENT", "bad request"),
    ("UNIMPLEMENTED", "unknown service etcdserverpb.KV"),
    ("OK", ""),
]


def goes_on(instance: InstanceProcess) -> None:
    """Reads of every kind, writes, health: none is refused, and the slot is kept."""
    warm(instance)
    before = membership(instance)
    with meanwhile([always(instance, path) for path in PATHS], pause=0.02):
        for number in range(20):
            assert instance.put("counted", b"%d" % number).ok
        assert instance.get("counted", params=UNCACHED).content == b"19"
        assert within(5.0, lambda: is_hit(instance))
    assert membership(instance) == before


def is_told(instance: InstanceProcess, endpoint: str, finding: str) -> None:
    """The operator finds which endpoint it is, and what it does."""
    assert metric(instance, "config_etcd_endpoint_up", endpoint=endpoint) == 0
    lines = [json.loads(line) for line in instance.printed().splitlines() if line.startswith("{")]
    told = [line for line in lines if line.get("endpoint") == endpoint and line["event"] == "an etcd endpoint fails"]
    assert told, instance.printed()
    assert finding in told[0]["detail"]


@pytest.mark.fault("one of two endpoints is no etcd, or has a wrong certificate")
@pytest.mark.parametrize(("code", "details"), SAID, ids=[code for code, _ in SAID])
def test_the_first_endpoint_is_no_etcd(tmp_path: Path, code: str, details: str) -> None:
    """From the start on: a wrong port, a proxy without a route, a gateway that wants a token."""
    with EtcdServer(tmp_path / "etcd") as etcd, Stranger() as stranger:
        stranger.will_say(code, details)
        with running(tmp_path / "instance", stranger.endpoint, etcd.endpoint, ETCD_TIMEOUT=AMPLE) as instance:
            goes_on(instance)
            is_told(instance, stranger.endpoint, details or "without the id of a cluster")
            assert metric(instance, "config_etcd_endpoint_up", endpoint=etcd.endpoint) == 1


@pytest.fixture(params=["no subjectAltName", "expired"])
def doubtful(request: pytest.FixtureRequest) -> Iterator[str]:
    """The endpoint of a gRPC server whose certificate does not fit."""
    makers: dict[str, Callable[[], Pair]] = {
        "no subjectAltName": lambda: OURS.issue_unnamed("127.0.0.1"),
        "expired": lambda: OURS.issue("127.0.0.1", expired=True),
    }
    pair = makers[request.param]()
    server = grpc.server(None)
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(pair.key, pair.cert)]))
    server.start()
    yield f"https://127.0.0.1:{port}"
    server.stop(0).wait(5)


@pytest.mark.fault("one of two endpoints is no etcd, or has a wrong certificate")
def test_the_first_endpoint_has_a_wrong_certificate(tmp_path: Path, doubtful: str) -> None:
    """One member's certificate was renewed without its name, or not at all."""
    files = TlsFiles.write(tmp_path / "tls", OURS.issue("127.0.0.1"))
    ca = {"ETCD_CA_CERT": OURS.pem.decode()}
    with (
        EtcdServer(tmp_path / "etcd", tls=files) as etcd,
        running(tmp_path / "instance", doubtful, etcd.endpoint, ETCD_TIMEOUT=AMPLE, **ca) as instance,
    ):
        goes_on(instance)
        is_told(instance, doubtful, "its TLS certificate")


@pytest.mark.fault("one of two endpoints is no etcd, or has a wrong certificate")
def test_a_proxy_that_begins_to_refuse_and_is_well_again(tmp_path: Path) -> None:
    """While clients are at work: no gap for reads, at most the write under way in doubt. Then it is used again."""
    with (
        EtcdServer(tmp_path / "etcd") as etcd,
        Stranger(etcd.endpoint.removeprefix("http://"), {"none"}) as proxy,
        running(tmp_path / "instance", proxy.endpoint, etcd.endpoint, ETCD_TIMEOUT=AMPLE) as instance,
    ):
        warm(instance)
        before = membership(instance)
        with meanwhile([always(instance, path) for path in PATHS], pause=0.02):
            proxy.code = grpc.StatusCode.UNAUTHENTICATED
            proxy.refuses = frozenset({"Range", "Txn", "LeaseKeepAlive", "Watch", "LeaseGrant"})
            statuses = [instance.put("counted", b"%d" % number).status_code for number in range(50)]
            assert [status for status in statuses if status not in (200, 201)] in ([], [504])
            assert times_written(etcd, "counted") >= 50 - statuses.count(504)
            assert within(5.0, lambda: is_hit(instance))
            is_told(instance, proxy.endpoint, "UNAUTHENTICATED")
            proxy.refuses = frozenset({"none"})
            asked = len(proxy.asked)
            assert within(35.0, lambda: metric(instance, "config_etcd_endpoint_up", endpoint=proxy.endpoint) == 1)
            assert within(5.0, lambda: len(proxy.asked) > asked + 1)
        assert membership(instance) == before
