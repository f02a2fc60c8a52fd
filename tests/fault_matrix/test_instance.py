"""Faults of one instance: it is paused, loses its slot, or is killed. The others and the truth are untouched."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
import requests

from tests.fault_matrix.scene import (
    AMPLE,
    BOUND,
    PREFIX,
    SLACK,
    TTL,
    UNCACHED,
    always,
    is_hit,
    members_in,
    membership,
    running,
    warm,
)
from tests.support.etcd import EtcdServer
from tests.support.instances import InstanceProcess, within
from tests.support.meanwhile import meanwhile
from torture.control import Control
from torture.history import CHECKED
from torture.truth import Truth

pytestmark = pytest.mark.lasting

PUT = f"{CHECKED}put-"
"""How the keys begin that are written until the end."""


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdServer]:
    with EtcdServer(tmp_path_factory.mktemp("etcd")) as server:
        yield server


@pytest.fixture(scope="module")
def other(etcd: EtcdServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[InstanceProcess]:
    """One that nothing happens to."""
    with running(tmp_path_factory.mktemp("other"), etcd.endpoint, LEASE_TTL="60") as instance:
        yield instance


@pytest.mark.fault("own process paused 20 s, TTL 10")
def test_own_process_paused(etcd: EtcdServer, other: InstanceProcess, tmp_path: Path) -> None:
    """It wakes up with a window that has closed and a slot that is no longer its own, and does not know it."""
    with running(tmp_path, etcd.endpoint) as instance:
        warm(instance)
        before = membership(instance)
        assert before is not None
        instance.pause()
        paused = time.monotonic()
        assert other.put("k", b"2").ok
        assert within(4 * TTL + SLACK, lambda: before.slot not in members_in(etcd) and time.monotonic() > paused + TTL)
        instance.resume()
        first = instance.get("k")
        assert (first.content, first.headers["X-Cache"] == "HIT") == (b"2", False)
        assert instance.get("k", params=UNCACHED).content == b"2"
        assert within(3.0 + SLACK, lambda: membership(instance) not in (before, None) and is_hit(instance))
        assert instance.put("k", b"3").ok
        assert instance.answers(200, "/readyz")


@pytest.mark.fault("member key deleted or lease revoked by hand")
@pytest.mark.parametrize("how", ["deleted", "revoked"])
def test_member_key_deleted_or_lease_revoked_by_hand(
    etcd: EtcdServer, other: InstanceProcess, tmp_path: Path, how: str
) -> None:
    """No request fails, nothing old is served, and it hits again, as another member."""
    with running(tmp_path, etcd.endpoint, LEASE_TTL="60", ETCD_TIMEOUT=AMPLE) as instance:
        warm(instance)
        before = membership(instance)
        assert before is not None
        with meanwhile([always(instance, "/config/k", "/config/k?use_cache=false", "/readyz", "/healthz")], pause=0.02):
            if how == "deleted":
                etcd.etcdctl("del", f"{PREFIX}/members/{before.slot:02}")
            else:
                etcd.etcdctl("lease", "revoke", before.lease)
            assert other.put("k", b"2").ok
            written = time.monotonic()
            assert within(3 * BOUND, lambda: time.monotonic() > written + BOUND)
            assert instance.get("k").content == b"2"
            assert within(3.0 + SLACK, lambda: membership(instance) not in (before, None) and is_hit(instance))
        assert instance.put("k", b"3").ok


@pytest.mark.fault("kill -9 in mid-PUT")
def test_kill_9_in_mid_put(etcd: EtcdServer, other: InstanceProcess, tmp_path: Path) -> None:
    """Eight clients write as fast as they can. What was acknowledged is there; every change bears its version."""
    with Control((etcd.endpoint,), PREFIX) as control, running(tmp_path, etcd.endpoint) as instance:
        warm(other, "other")
        slot = instance.wait_for_slot()
        acknowledged, begun = put_until_killed(instance)
        killed = time.monotonic()
        assert begun > acknowledged, "something was in flight"
        while slot in members_in(etcd):
            assert is_hit(other, "other") or other.get("other").ok
            assert time.monotonic() < killed + TTL + 2.0 + SLACK
        end = int(other.put("end", b"1").headers["X-Config-Revision"])
        assert within(5.0, lambda: Truth(control.changes()).last >= end)
        truth = Truth(control.changes())
    written = {document: change for document, change in truth.documents() if document.startswith(PUT)}
    assert acknowledged <= set(written) <= begun
    for document, change in written.items():
        record = truth.record(change.revision)
        assert record is not None, f"{document} was written without a version"
        assert record.names is not None
        assert document in record.names
    named = {key for change in truth.changes if (record := truth.record(change.revision)) for key in record.names or ()}
    assert {key for key in named if key.startswith(PUT)} == set(written), "a version without its data"
    newest = max(written, key=lambda document: written[document].revision)
    assert other.get(newest).content.decode() == written[newest].value


def put_until_killed(instance: InstanceProcess) -> tuple[set[str], set[str]]:
    """The keys whose puts were acknowledged, and those whose puts were begun."""
    numbers = itertools.count()
    acknowledged, begun = set[str](), set[str]()
    enough = threading.Event()

    def write() -> None:
        with requests.Session() as session:
            session.trust_env = False
            while True:
                number = next(numbers)
                key = f"{PUT}{number}"
                begun.add(key)
                if session.put(f"{instance.url}/config/{key}", b"%d" % number, timeout=5).status_code == 201:
                    acknowledged.add(key)
                if len(acknowledged) > 200:
                    enough.set()

    def write_to_the_end() -> None:
        with suppress(requests.RequestException):
            write()

    with ThreadPoolExecutor(8) as clients:
        for _ in range(8):
            clients.submit(write_to_the_end)
        assert enough.wait(30)
        instance.kill()
    return acknowledged, begun
