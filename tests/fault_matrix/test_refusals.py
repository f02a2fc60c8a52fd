"""etcd is there and refuses: no space, another password, a certificate that does not fit."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.fault_matrix.scene import (
    AMPLE,
    BOUND,
    PREFIX,
    SLACK,
    UNCACHED,
    always,
    hits_end,
    is_back,
    is_hit,
    is_not_done,
    membership,
    running,
    warm,
)
from tests.support.certificates import Authority, Pair, TlsFiles
from tests.support.etcd import EtcdServer
from tests.support.instances import InstanceProcess, within
from tests.support.meanwhile import meanwhile

pytestmark = pytest.mark.lasting

OURS = Authority()
THEIRS = Authority()


@pytest.mark.fault("NOSPACE")
def test_nospace(tmp_path: Path) -> None:
    """Earlier instances go on caching and stay members; a later one serves uncached, and is as ready."""
    body = b'"' + b"x" * 20_000 + b'"'
    with (
        EtcdServer(tmp_path / "etcd", arguments=("--quota-backend-bytes=200000",)) as etcd,
        running(tmp_path / "old", etcd.endpoint) as old,
    ):
        warm(old, value=body)
        before = membership(old)
        assert within(10.0, lambda: old.put("k", body).status_code == 507)
        with (
            meanwhile([always(old, "/config/k", "/config/k?use_cache=false", "/readyz", "/healthz")], pause=0.02),
            InstanceProcess(tmp_path / "new", ETCD_ENDPOINTS=etcd.endpoint, USER_KEY_PREFIX=PREFIX) as new,
        ):
            for _ in range(3):
                answer = new.get("k")
                assert (answer.content, answer.headers["X-Cache"]) == (body, "BYPASS")
            assert new.request("GET", "/readyz").json()["member"] is False
            assert new.answers(200, "/healthz")
            assert new.put("k", b"1").status_code == 507
        assert is_hit(old)
        assert membership(old) == before


@pytest.mark.fault("auth enabled, token expired, password changed")
def test_auth_enabled_token_expired_password_changed(tmp_path: Path) -> None:
    """All three under a running instance, in that order. Only the last is noticed, and its reason told."""
    login = {"ETCD_USER": "app", "ETCD_PASSWORD": "old-password", "LEASE_TTL": "60", "ETCD_TIMEOUT": AMPLE}
    with (
        EtcdServer(tmp_path / "etcd", durable=True) as etcd,
        running(tmp_path / "instance", etcd.endpoint, **login) as instance,
    ):
        warm(instance)
        before = membership(instance)
        with meanwhile([always(instance, "/config/k", "/config/k?use_cache=false", "/readyz", "/healthz")], pause=0.02):
            etcd.enable_auth("root-password", "app", "old-password", f"{PREFIX}/")
            assert instance.put("k", b"2").ok
            change_password(etcd, "old-password")  # every token is void
            assert instance.put("k", b"3").ok
        assert within(5.0, lambda: is_hit(instance))
        change_password(etcd, "new-password")
        changed = time.monotonic()
        hits_end(instance, changed, b"3")
        is_refused_with(instance, "password")
        change_password(etcd, "old-password")
        is_back(instance, 3.0)
        assert instance.get("k").content == b"3"
        assert membership(instance) == before


def change_password(etcd: EtcdServer, password: str) -> None:
    etcd.etcdctl("user", "passwd", "--interactive=false", "app", user="root:root-password", stdin=f"{password}\n")


@pytest.mark.fault("wrong CA, wrong name, expired certificate")
@pytest.mark.parametrize(
    ("bad", "told"),
    [
        (THEIRS.issue("127.0.0.1"), "none of the authorities trusted"),
        (OURS.issue("etcd.example.org"), "for another name"),
        (OURS.issue("127.0.0.1", expired=True), "has expired"),
    ],
    ids=["wrong CA", "wrong name", "expired"],
)
def test_wrong_ca_wrong_name_expired_certificate(tmp_path: Path, bad: Pair, told: str) -> None:
    """etcd comes back from maintenance with a certificate that does not fit; and then with the right one."""
    good = OURS.issue("127.0.0.1")
    files = TlsFiles.write(tmp_path / "tls", good)
    (tmp_path / "ca.pem").write_bytes(OURS.pem)
    with (
        EtcdServer(tmp_path / "etcd", tls=files, durable=True) as etcd,
        running(tmp_path / "instance", etcd.endpoint, ETCD_CA_CERT=str(tmp_path / "ca.pem")) as instance,
    ):
        warm(instance)
        TlsFiles.write(tmp_path / "tls", bad)
        etcd.stop()
        stopped = time.monotonic()
        etcd.restart()
        hits_end(instance, stopped)
        is_refused_with(instance, told)
        TlsFiles.write(tmp_path / "tls", good)
        etcd.restart()
        is_back(instance, 3.0)
        assert instance.get("k").content == b"1"


def is_refused_with(instance: InstanceProcess, reason: str) -> None:
    """503 for everybody, alive, and the reason is where an operator looks for it."""
    assert within(
        5 * BOUND + 2 * SLACK,
        lambda: reason in instance.request("GET", "/readyz").text and instance.answers(503, "/readyz"),
    ), instance.request("GET", "/readyz").text
    is_not_done(instance.get("k", params=UNCACHED))
    is_not_done(instance.get("k"))
    is_not_done(instance.put("k", b"4"))
    assert instance.answers(200, "/healthz")
