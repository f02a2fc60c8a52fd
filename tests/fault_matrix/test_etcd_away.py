"""etcd killed, and etcd paused: nothing older than the bound, honest answers, and back without anybody's help."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fault_matrix.scene import (
    BOUND,
    SLACK,
    TIMEOUT,
    TTL,
    UNCACHED,
    hits_end,
    is_back,
    nothing_can_be_asked,
    running,
    times_written,
    warm,
)
from tests.support.etcd import EtcdServer
from tests.support.instances import InstanceProcess, within

pytestmark = pytest.mark.lasting

SILENT = 10.0
"""Seconds: longer than the bound, the lease, and the 8 s after which gRPC gives a peer up that does not answer."""


@pytest.fixture
def etcd(tmp_path: Path) -> Iterator[EtcdServer]:
    with EtcdServer(tmp_path / "etcd", durable=True) as server:
        yield server


@pytest.fixture
def instance(etcd: EtcdServer, tmp_path: Path) -> Iterator[InstanceProcess]:
    with running(tmp_path / "instance", etcd.endpoint) as instance:
        yield instance


@pytest.mark.fault("etcd killed for 75 s")
def test_etcd_killed(etcd: EtcdServer, instance: InstanceProcess) -> None:
    """Until the lease would have run out twice over. A write is unknown at most, as long as it may have been sent."""
    warm(instance)
    etcd.kill()
    killed = time.monotonic()
    hits_end(instance, killed)
    assert within(TIMEOUT + SLACK, lambda: instance.put("k", b"2").status_code == 503)
    while time.monotonic() < killed + 2 * TTL:
        nothing_can_be_asked(instance)
        assert instance.put("k", b"2").status_code == 503
    etcd.restart()
    is_back(instance, 3.0)
    assert instance.get("k").content == b"1"
    assert times_written(etcd, "k") == 1


@pytest.mark.fault("etcd paused 20 s")
def test_etcd_paused(etcd: EtcdServer, instance: InstanceProcess) -> None:
    """Writes are unknown as long as the connection seems to live, then not done; nothing is sent twice."""
    warm(instance)
    etcd.pause()
    paused = time.monotonic()
    answers: list[int] = []
    hits_end(instance, paused)
    nothing_can_be_asked(instance)
    while time.monotonic() < paused + SILENT:
        asked = time.monotonic()
        answers.append(instance.put("k", b"%d" % (2 + len(answers))).status_code)
        assert time.monotonic() < asked + TIMEOUT + SLACK
        assert instance.get("k").status_code == 503
    assert set(answers) <= {503, 504}
    assert answers[-1] == 503, "who has long been silent is asked for a sign of life before a write is sent"
    etcd.resume()
    is_back(instance, 3.0)
    may_be = {b"1"} | {b"%d" % number for number, answer in enumerate(answers, start=2) if answer == 504}
    assert instance.get("k", params=UNCACHED).content in may_be
    assert times_written(etcd, "k") <= len(may_be)
    assert BOUND < TTL < SILENT
