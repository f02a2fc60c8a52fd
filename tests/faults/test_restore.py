"""Time goes backwards: etcd is restored from a backup on the same URLs, with instances that remember what is lost.

A world of its own, since the history splits: what was written before the snapshot, what was lost, what came after.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults.proxy import Link, Network, Way
from tests.support.etcd import EtcdServer
from tests.support.instances import InstanceProcess, within

BOUND = 1.0
KEYS = [f"k{number}" for number in range(20)]
LOST, KEPT, NEW = b'"lost"', b'"kept"', b'"new"'
SETTINGS = {"CACHE_STALENESS_BOUND": str(BOUND), "LEASE_TTL": "3", "USER_KEY_PREFIX": "/restored"}


@dataclass
class World:
    """One etcd, an instance behind a link, and another that reaches etcd directly."""

    etcd: EtcdServer
    link: Link
    instance: InstanceProcess
    other: InstanceProcess


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with EtcdServer(tmp_path / "etcd", durable=True) as etcd, Network() as network:
        link = network.link([etcd.client_port])
        proxied = {**SETTINGS, "ETCD_ENDPOINTS": f"http://127.0.0.1:{link.ports[0]}"}
        direct = {**SETTINGS, "ETCD_ENDPOINTS": etcd.endpoint}
        with InstanceProcess(tmp_path / "a", **proxied) as instance, InstanceProcess(tmp_path / "b", **direct) as other:
            instance.wait_for_slot()
            other.wait_for_slot()
            yield World(etcd, link, instance, other)


def write(world: World, value: bytes) -> str:
    """Puts every key; the revision of the last."""
    answers = [world.other.put(key, value) for key in KEYS]
    assert all(answer.ok for answer in answers), [answer.status_code for answer in answers]
    return answers[-1].headers["X-Config-Revision"]


def warm(instance: InstanceProcess, value: bytes) -> None:
    """Until every key is served from memory, with that value."""
    for key in KEYS:

        def hit(key: str = key) -> bool:
            answer = instance.get(key)
            return answer.content == value and answer.headers["X-Cache"] == "HIT"

        assert within(5.0, hit), f"{key}: {instance.get(key).content!r}"


@pytest.mark.parametrize("outrun", [False, True], ids=["older revisions", "revisions that outran the lost ones"])
def test_no_lost_value_is_served_after_the_restore(world: World, tmp_path: Path, outrun: bool) -> None:
    """Rule 8. When the new history has outrun the old numbers before the instance looks, only the nonce tells.

    The instance is cut off while it happens, so that it meets the restored etcd with everything lost in its memory.
    """
    write(world, KEPT)
    snapshot = world.etcd.save_snapshot(tmp_path / "snapshot.db")
    token = write(world, LOST)
    warm(world.instance, LOST)
    world.link.hold(Way.REQUESTS, Way.ANSWERS)
    world.link.reset()
    cut = time.monotonic()
    world.etcd.restore_snapshot(snapshot)
    expected = KEPT
    if outrun:
        expected = NEW
        assert within(10.0, lambda: world.other.put(KEYS[0], NEW).ok)
        for _ in range(3):
            now = write(world, NEW)
        assert int(now) > int(token)
    assert within(BOUND + 1.0, lambda: time.monotonic() > cut + BOUND)

    assert world.instance.get(KEYS[0]).status_code == 503
    world.link.heal()
    served = set[bytes]()
    answered = set[str]()
    deadline = time.monotonic() + 15.0
    while answered != set(KEYS) and time.monotonic() < deadline:
        for key in KEYS:
            answer = world.instance.get(key)
            if answer.ok:
                served.add(answer.content)
                answered.add(key)
    assert served == {expected}
    warm(world.instance, expected)
    if not outrun:
        assert world.instance.get(KEYS[0], params={"min_revision": token}).status_code == 410
