"""etcd stops answering without closing a connection (SIGSTOP): the worst an instance can meet.

Reads from memory go on while the last proof is younger than the bound, and not a moment longer; nothing stale is
served at any time; nothing hangs beyond its deadline; everything recovers by itself.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import requests

from tests.support.etcd import EtcdServer
from tests.support.instances import InstanceProcess, within

pytestmark = [pytest.mark.secured, pytest.mark.alone]

BOUND = 1.0
TIMEOUT = 2.0
PREFIX = "/paused"
SLACK = 1.0
"""Seconds granted to a loaded machine on top of what is promised."""


@pytest.fixture
def etcd(new_etcd: type[EtcdServer], tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdServer]:
    with new_etcd(tmp_path_factory.mktemp("etcd")) as server:
        yield server


@pytest.fixture
def instance(etcd: EtcdServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[InstanceProcess]:
    settings = {
        **etcd.settings(PREFIX),
        "CACHE_STALENESS_BOUND": str(BOUND),
        "ETCD_TIMEOUT": str(TIMEOUT),
    }
    with InstanceProcess(tmp_path_factory.mktemp("instance"), **settings) as process:
        process.wait_for_slot()
        yield process


def warm(instance: InstanceProcess) -> None:
    instance.put("k", b"1")
    assert within(5.0, lambda: instance.get("k").headers["X-Cache"] == "HIT")


@pytest.mark.fault("etcd paused 20 s")
def test_reads_end_after_the_bound_and_return_with_etcd(etcd: EtcdServer, instance: InstanceProcess) -> None:
    """Fault matrix, etcd paused: default reads <= B, then 503; health 200; readiness 503; recovery within seconds."""
    warm(instance)
    etcd.pause()
    paused = time.monotonic()
    hits = 0
    while (read := instance.get("k")).status_code == 200:
        hits += 1
        assert read.content == b"1"
        # A read is as of its request; one that began before the bound may end a little after it.
        assert time.monotonic() - paused < BOUND + TIMEOUT + SLACK
    assert hits > 0, "what is proven goes on being served"
    assert (read.status_code, read.headers["Content-Type"]) == (503, "application/problem+json")
    assert int(read.headers["Retry-After"]) > 0

    started = time.monotonic()
    assert instance.get("k").status_code == 503
    assert time.monotonic() - started < TIMEOUT + SLACK
    assert instance.answers(200, "/healthz")
    ready = instance.request("GET", "/readyz")
    assert ready.status_code == 503
    assert "etcd" in ready.text

    etcd.resume()
    assert within(5.0, lambda: instance.get("k").status_code == 200)
    assert within(5.0, lambda: instance.get("k").headers["X-Cache"] == "HIT")
    assert within(5.0, lambda: instance.answers(200, "/readyz"))


@pytest.mark.fault("etcd paused 20 s")
def test_writes_say_what_is_known_of_them(etcd: EtcdServer, instance: InstanceProcess) -> None:
    """The first is in flight, so nobody knows (504); once the connection is known to be dead it is not done (503)."""
    warm(instance)
    etcd.pause()
    started = time.monotonic()
    first = instance.put("k", b"2")
    assert first.status_code in (503, 504)
    assert time.monotonic() - started < TIMEOUT + SLACK
    assert "application/problem+json" in first.headers["Content-Type"]
    etcd.resume()
    assert within(5.0, lambda: instance.get("k", params={"use_cache": "false"}).status_code == 200)
    kept = instance.get("k", params={"use_cache": "false"}).content
    assert kept == b"1" if first.status_code == 503 else kept in (b"1", b"2")
    assert within(5.0, lambda: instance.put("k", b"3").status_code == 200)
    assert instance.get("k", params={"use_cache": "false"}).content == b"3"


@pytest.mark.fault("own process paused 20 s, TTL 10")
def test_a_write_by_another_during_the_pause_of_the_instance_is_seen_by_its_first_hit(
    etcd: EtcdServer, instance: InstanceProcess, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Own process paused longer than the bound: it proves anew before it serves anything from memory."""
    warm(instance)
    with InstanceProcess(tmp_path_factory.mktemp("other"), **etcd.settings(PREFIX)) as other:
        instance.pause()
        assert other.put("k", b"2").status_code == 200
        written = time.monotonic()
        assert within(BOUND * 3, lambda: time.monotonic() > written + BOUND)
        instance.resume()
        read = instance.get("k")
        assert read.content == b"2"
        other.stop()


@pytest.mark.fault("etcd killed for 75 s")
def test_an_etcd_that_is_gone_refuses_writes_at_once_and_comes_back(
    etcd: EtcdServer, instance: InstanceProcess
) -> None:
    """Fault matrix, etcd killed: writes in flight unknown, then 503; back within seconds of etcd."""
    warm(instance)
    etcd.kill()

    def refused() -> bool:
        try:
            return instance.put("k", b"2").status_code == 503
        except requests.RequestException:
            return False

    assert within(5.0, refused)
    assert within(5.0, lambda: instance.get("k").status_code == 503)
    etcd.restart()
    assert within(10.0, lambda: instance.get("k").status_code == 200)
    assert within(10.0, lambda: instance.put("k", b"4").status_code == 200)
    assert within(5.0, lambda: instance.get("k").headers["X-Cache"] == "HIT")
    assert instance.get("k").content == b"4"
