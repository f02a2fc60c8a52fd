"""The network between one instance and etcd: it loses one direction, or the watch, or breaks and comes back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.fault_matrix.scene import (
    BOUND,
    SLACK,
    TIMEOUT,
    TTL,
    UNCACHED,
    Membership,
    always,
    hits_end,
    is_back,
    is_hit,
    members_in,
    membership,
    metric,
    nothing_can_be_asked,
    running,
    warm,
)
from tests.support.etcd import EtcdServer
from tests.support.instances import InstanceProcess, within
from tests.support.meanwhile import meanwhile
from torture.proxy import Link, Network, Purpose, Way

pytestmark = pytest.mark.lasting

KEYS = [f"k{number}" for number in range(10)]


@dataclass(frozen=True)
class Scene:
    """One etcd, an instance behind a link, and another that reaches etcd directly."""

    etcd: EtcdServer
    link: Link
    instance: InstanceProcess
    other: InstanceProcess


@pytest.fixture
def ttl() -> int:
    """Of the leases; longer than the test where the membership is to be kept."""
    return 60


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[EtcdServer, Network, InstanceProcess]]:
    """What no test harms."""
    directory = tmp_path_factory.mktemp("network")
    with (
        EtcdServer(directory / "etcd") as etcd,
        Network() as network,
        running(directory / "other", etcd.endpoint, LEASE_TTL="60") as other,
    ):
        yield etcd, network, other


@pytest.fixture
def scene(world: tuple[EtcdServer, Network, InstanceProcess], tmp_path: Path, ttl: int) -> Iterator[Scene]:
    etcd, network, other = world
    link = network.link([etcd.client_port])
    with running(tmp_path, f"http://127.0.0.1:{link.ports[0]}", LEASE_TTL=str(ttl)) as instance:
        yield Scene(etcd, link, instance, other)


def loads(instance: InstanceProcess) -> float:
    """How many values it has fetched from etcd for readers."""
    return metric(instance, "config_cache_reads_total", source="miss")


def starts(instance: InstanceProcess, history: str) -> float:
    """How often its watch came up, with the entries "kept" or "dropped"."""
    return metric(instance, "config_watch_starts_total", history=history)


def joined(instance: InstanceProcess, instead_of: Membership | None = None) -> Membership:
    """Its membership, once the watch has told it of one that it did not have before."""
    found: list[Membership] = []

    def told() -> bool:
        now = membership(instance)
        if now is not None and now != instead_of:
            found.append(now)
        return bool(found)

    assert within(3.0 + SLACK, told)
    return found[0]


@pytest.mark.fault("one-way loss, either direction")
@pytest.mark.parametrize("ttl", [2 * TTL])
@pytest.mark.parametrize("way", list(Way))
def test_one_way_loss(scene: Scene, way: Way) -> None:
    """What was sent may have arrived, or arrive when nobody waits for it any more: unknown, and true either way."""
    warm(scene.instance)
    ours = joined(scene.instance)  # a slow machine may have lost a lease as short as this
    scene.link.hold(way)
    lost = time.monotonic()
    hits_end(scene.instance, lost)
    write = scene.instance.put("k", b"2")
    assert write.status_code in (503, 504)
    nothing_can_be_asked(scene.instance)
    assert within(6 * TTL + SLACK, lambda: ours.slot not in members_in(scene.etcd)), "its lease has expired"
    scene.link.heal()
    is_back(scene.instance, 3.0)
    assert joined(scene.instance, instead_of=ours).slot in members_in(scene.etcd)
    assert scene.instance.get("k").content in ((b"1", b"2") if write.status_code == 504 else (b"1",))


@pytest.mark.fault("only the watch broken")
def test_only_the_watch_broken(scene: Scene) -> None:
    """Proofs show what the watch does not bring: nothing old is served, and who has to ask is answered."""
    warm(scene.instance)
    before = membership(scene.instance)
    scene.link.hold(Way.ANSWERS, purpose=Purpose.STREAMS)
    with meanwhile([always(scene.instance, "/readyz", "/healthz")], pause=0.05):
        for number in range(2, 6):
            value = b"%d" % number
            assert scene.other.put("k", value).ok
            written = time.monotonic()
            assert scene.instance.get("k", params=UNCACHED).content == value
            while time.monotonic() < written + BOUND:
                assert scene.instance.get("k").ok
            assert scene.instance.get("k").content == value
        assert scene.instance.put("k", b"6").ok
        assert scene.instance.get("k").content == b"6"
        assert within(5 * BOUND + SLACK, lambda: metric(scene.instance, "config_watch_up") == 0)
    scene.link.heal()
    assert within(3.0 + SLACK, lambda: metric(scene.instance, "config_watch_up") == 1 and is_hit(scene.instance))
    assert membership(scene.instance) == before


@pytest.mark.fault("stream lost, history provably ours")
def test_stream_lost_history_provably_ours(scene: Scene) -> None:
    """Rule 7: what has not changed meanwhile is never loaded again; what has, once."""
    for key in KEYS:
        warm(scene.instance, key)
    before, loaded = membership(scene.instance), loads(scene.instance)
    kept, dropped = starts(scene.instance, "kept"), starts(scene.instance, "dropped")
    for number in range(3):
        scene.link.reset()
        assert scene.other.put(KEYS[0], b"%d" % (number + 2)).ok
    assert within(3.0 + SLACK, lambda: starts(scene.instance, "kept") > kept)
    for key, value in {**dict.fromkeys(KEYS, b"1"), KEYS[0]: b"4"}.items():

        def current(key: str = key, value: bytes = value) -> bool:
            return scene.instance.get(key).content == value and is_hit(scene.instance, key)

        assert within(BOUND + SLACK, current), key  # what is old may be served until B, not after it
    assert loads(scene.instance) <= loaded + 1
    assert starts(scene.instance, "dropped") == dropped
    assert membership(scene.instance) == before


@pytest.mark.fault("compaction past our horizon while cut off")
def test_compaction_past_our_horizon_while_cut_off(scene: Scene) -> None:
    """Rule 6: nothing can be proven, so entries go; each comes back when somebody reads it, with one load."""
    for key in KEYS:
        warm(scene.instance, key)
    before = membership(scene.instance)
    dropped = starts(scene.instance, "dropped")
    scene.link.hold(Way.REQUESTS, Way.ANSWERS)
    cut = time.monotonic()
    scene.link.reset()
    for _ in range(3):
        revision = scene.other.put(KEYS[0], b"2").headers["X-Config-Revision"]
    scene.etcd.etcdctl("compaction", revision)
    assert within(BOUND + TIMEOUT + SLACK, lambda: time.monotonic() > cut + BOUND and not is_hit(scene.instance))
    scene.link.heal()
    assert within(3.0 + SLACK, lambda: scene.instance.answers(200, "/readyz"))
    assert within(3.0 + SLACK, lambda: starts(scene.instance, "dropped") > dropped)
    loaded = loads(scene.instance)
    for _ in range(3):
        assert [scene.instance.get(key).content for key in KEYS] == [b"2"] + [b"1"] * (len(KEYS) - 1)
    assert loads(scene.instance) == loaded + len(KEYS)
    assert membership(scene.instance) == before
