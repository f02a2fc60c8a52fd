"""The wall clock of an instance jumps by hours. Freshness, leases and deadlines go by the monotonic clock.

libfaketime stands between the process and the C library: Python, gRPC and the server all see the jump, while etcd
keeps its own clock. Owns the file that says by how much the clock is wrong.
"""

from __future__ import annotations

import datetime
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest

from tests.fault_matrix.scene import BOUND, SLACK, TTL, always, hits_end, members_in, membership, running, warm
from tests.support.etcd import EtcdServer
from tests.support.instances import PROJECT, InstanceProcess, within
from tests.support.meanwhile import meanwhile
from tests.support.unavailable import unavailable

pytestmark = pytest.mark.lasting

HOUR = 3600
NEARLY_AN_HOUR = HOUR - 600
PATHS = ("/config/k", "/config/k?use_cache=false", "/config/k?consistency=linearizable", "/readyz", "/healthz")

# libfaketime 0.9.10 refuses the sleep that Python 3.11 asks for by an instant of the monotonic clock.
SLEEP = """import select, time
time.sleep = lambda seconds: select.select((), (), (), seconds) and None
"""


@dataclass(frozen=True)
class Scene:
    """An instance whose clock goes by a file."""

    etcd: EtcdServer
    instance: InstanceProcess
    offset: Path

    def jump(self, seconds: int) -> None:
        """Its clock is wrong by so much from now on."""
        later = self.offset.with_suffix(".new")
        later.write_text(f"{seconds:+d}")
        later.replace(self.offset)


@pytest.fixture
def library() -> Path:
    """Skips the test where libfaketime is not installed."""
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not found:
        unavailable("libfaketime is not installed: apt-get install faketime")
    return found[0]


@pytest.fixture
def scene(tmp_path: Path, library: Path) -> Iterator[Scene]:
    offset, site = tmp_path / "offset", tmp_path / "site"
    offset.write_text("+0")
    site.mkdir()
    site.joinpath("sitecustomize.py").write_text(SLEEP)
    settings = {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(offset),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "PYTHONPATH": f"{PROJECT}:{site}",
        "DRAIN_WAIT": "0.1",
    }
    with EtcdServer(tmp_path / "etcd") as etcd, running(tmp_path / "instance", etcd.endpoint, **settings) as instance:
        yield Scene(etcd, instance, offset)


@pytest.mark.fault("wall clock ±1 h")
def test_wall_clock_jumps(scene: Scene) -> None:
    """Ahead, and then back behind; longer than bound and lease each time. Nobody notices, and the bound holds as ever.

    No request is sent in the instant of a jump: gRPC tells deadlines by the wall clock, for microseconds.
    """
    instance = scene.instance
    warm(instance)
    before = membership(instance)
    scene.jump(HOUR)
    goes_on(instance)
    assert seconds_ahead(parsedate_to_datetime(instance.get("k").headers["Date"])) > NEARLY_AN_HOUR
    scene.jump(-HOUR)
    goes_on(instance)
    assert membership(instance) == before
    scene.etcd.pause()
    hits_end(instance, time.monotonic())
    scene.etcd.resume()
    assert within(3.0 + SLACK, lambda: instance.answers(200, "/readyz"))
    assert instance.stop() == 0, instance.printed()
    last = json.loads(instance.printed().splitlines()[-1])
    assert seconds_ahead(datetime.datetime.fromisoformat(last["time"])) < -NEARLY_AN_HOUR
    assert members_in(scene.etcd) == set()


def goes_on(instance: InstanceProcess) -> None:
    """For longer than a proof and a lease last, everything is answered as if nothing had happened."""
    jumped = time.monotonic()
    with meanwhile([always(instance, *PATHS)], pause=0.01):
        while time.monotonic() < jumped + TTL + BOUND:
            assert instance.put("other", b"1").ok
            answer = instance.get("k")
            assert (answer.status_code, answer.content) == (200, b"1")
            assert 0 <= int(answer.headers["Age"]) <= BOUND


def seconds_ahead(shown: datetime.datetime) -> float:
    """By how much a clock is ahead of ours."""
    return (shown - datetime.datetime.now(datetime.UTC)).total_seconds()
