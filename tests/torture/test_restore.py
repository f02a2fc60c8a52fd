"""Time goes backwards: etcd is restored from a backup on the same URLs, with instances that remember what is lost.

A world of its own, since the history splits: what was written before the snapshot, what was lost, what came after.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from config_client import ConfigClient, Fresh
from consistency.core.model import VersionRecord, new_nonce
from consistency.core.store import Put, Unavailable
from consistency.etcd.store import EtcdConfig, EtcdStore
from tests.support.driver import run_beside
from tests.support.etcd import EtcdServer
from tests.support.instances import InstanceProcess, within
from torture.followed import Told
from torture.following import Follower
from torture.proxy import Link, Network, Way

pytestmark = pytest.mark.lasting

BOUND = 1.0
KEYS = [f"k{number}" for number in range(20)]
LOST, KEPT, NEW = b'"lost"', b'"kept"', b'"new"'
PREFIX = "/restored"
SETTINGS = {"CACHE_STALENESS_BOUND": str(BOUND), "LEASE_TTL": "3", "USER_KEY_PREFIX": PREFIX}


@dataclass
class World:
    """One etcd, an instance behind a link, and another that reaches etcd directly."""

    etcd: EtcdServer
    link: Link
    instance: InstanceProcess
    other: InstanceProcess


@contextlib.contextmanager
def restorable(tmp_path: Path, program: Path | None = None) -> Iterator[World]:
    """A world whose etcd is that program."""
    with EtcdServer(tmp_path / "etcd", durable=True, program=program) as etcd, Network() as network:
        link = network.link([etcd.client_port])
        proxied = {**SETTINGS, "ETCD_ENDPOINTS": f"http://127.0.0.1:{link.ports[0]}"}
        direct = {**SETTINGS, "ETCD_ENDPOINTS": etcd.endpoint}
        with InstanceProcess(tmp_path / "a", **proxied) as instance, InstanceProcess(tmp_path / "b", **direct) as other:
            instance.wait_for_slot()
            other.wait_for_slot()
            yield World(etcd, link, instance, other)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with restorable(tmp_path) as world:
        yield world


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


def served_by(instance: InstanceProcess) -> set[bytes]:
    """All that it serves until it has answered for every key."""
    served = set[bytes]()
    answered = set[str]()
    deadline = time.monotonic() + 15.0
    while answered != set(KEYS) and time.monotonic() < deadline:
        for key in KEYS:
            answer = instance.get(key)
            if answer.ok:
                served.add(answer.content)
                answered.add(key)
    return served


@pytest.mark.fault("older snapshot restored")
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
    assert served_by(world.instance) == {expected}
    warm(world.instance, expected)
    if not outrun:
        assert world.instance.get(KEYS[0], params={"min_revision": token}).status_code == 410


BUMP = 1_000_000
"""More revisions than are written here between the snapshot and the loss."""


@pytest.mark.fault("older snapshot restored")
@pytest.mark.parametrize("cut_off", [True, False], ids=["cut off meanwhile", "connected"])
def test_with_both_flags_no_revision_comes_twice_and_clients_are_safe_too(
    tmp_path: Path, etcd_recent: Path, cut_off: bool
) -> None:
    """As docs/operations.md has it: nothing lost is served, and no ETag of a lost write means another document."""
    with restorable(tmp_path, etcd_recent) as world:
        write(world, KEPT)
        snapshot = world.etcd.save_snapshot(tmp_path / "snapshot.db")
        token = write(world, LOST)
        warm(world.instance, LOST)
        etag = world.instance.get(KEYS[0]).headers["ETag"]
        if cut_off:
            world.link.hold(Way.REQUESTS, Way.ANSWERS)
            world.link.reset()
        cut = time.monotonic()
        world.etcd.restore_snapshot(snapshot, f"--bump-revision={BUMP}", "--mark-compacted")
        assert within(BOUND + 1.0, lambda: time.monotonic() > cut + BOUND)
        if cut_off:
            assert world.instance.get(KEYS[0]).status_code == 503
            world.link.heal()

        for instance in (world.instance, world.other):
            assert served_by(instance) == {KEPT}
            warm(instance, KEPT)
            assert instance.get(KEYS[0], params={"min_revision": token}).content == KEPT
            assert instance.get(KEYS[0], headers={"If-None-Match": etag}).content == KEPT
            assert instance.put(KEYS[0], NEW, headers={"If-Match": etag}).status_code == 412
        assert int(write(world, NEW)) > BUMP
        warm(world.instance, NEW)
        counted = world.instance.request("GET", "/metrics").text.splitlines()
        assert f'config_cache_invalidations_total{{cause="history"}} {len(KEYS)}.0' in counted


def put_outright(store: EtcdStore, key: str, value: bytes) -> int:
    """As an instance would; the revision. Waits until etcd can be reached, and never sends twice."""
    revisions = list[int]()

    def done() -> bool:
        try:
            record = VersionRecord(new_nonce(), frozenset((key,)), "put")
            revisions.append(run_beside(store.commit((Put(key, value),), record, timeout=5)).header.revision)
        except Unavailable:
            return False
        return True

    assert within(10.0, done)
    return revisions[0]


@pytest.mark.fault("older snapshot restored")
def test_a_history_that_differs_from_the_lost_one_in_nothing_but_nonces_is_told_from_it(tmp_path: Path) -> None:
    """Rule 8. Write by write the new history has the revisions, the counts and the keys of the lost one.

    It has outrun it by one when the instance, which was cut off, looks again; its lease and its slot are still there.
    """
    settings = {**SETTINGS, "LEASE_TTL": "60"}
    with EtcdServer(tmp_path / "etcd", durable=True) as etcd, Network() as network:
        link = network.link([etcd.client_port])
        settings["ETCD_ENDPOINTS"] = f"http://127.0.0.1:{link.ports[0]}"
        store = EtcdStore(EtcdConfig((etcd.endpoint,), PREFIX))
        with InstanceProcess(tmp_path / "a", **settings) as instance:
            instance.wait_for_slot()
            snapshot = etcd.save_snapshot(tmp_path / "snapshot.db")
            lost = [put_outright(store, key, LOST) for key in KEYS]
            warm(instance, LOST)
            link.hold(Way.REQUESTS, Way.ANSWERS)
            link.reset()
            etcd.restore_snapshot(snapshot)
            new = [put_outright(store, key, NEW) for key in KEYS]
            assert new == lost
            assert put_outright(store, KEYS[0], NEW) > lost[-1]
            assert within(BOUND + 1.0, lambda: instance.get(KEYS[0]).status_code == 503)
            link.heal()
            assert served_by(instance) == {NEW}
            warm(instance, NEW)
        run_beside(store.close())


class Reader(threading.Thread):
    """Reads from one instance all the time: every key from memory, and one from etcd in between."""

    def __init__(self, instance: InstanceProcess) -> None:
        super().__init__(daemon=True)
        self.ended = threading.Event()
        self.answers: list[tuple[float, str, bytes]] = []  # when invoked, X-Cache, value
        self._instance = instance

    def run(self) -> None:
        while not self.ended.is_set():
            for query in ("", "", "", "?use_cache=false"):
                for key in KEYS[:5]:
                    self._read(key + query)

    def _read(self, path: str) -> None:
        invoked = time.monotonic()
        try:
            answer = self._instance.get(path)
        except requests.RequestException:
            return
        if answer.ok:
            self.answers.append((invoked, answer.headers["X-Cache"], answer.content))


@pytest.mark.fault("older snapshot restored")
def test_connected_instances_drop_what_was_lost_with_the_first_contact_and_at_the_bound_at_the_latest(
    tmp_path: Path,
) -> None:
    """Rule 8. The bound is wide, so that what they remember is still proven when the restored etcd comes up."""
    bound = 8.0
    with EtcdServer(tmp_path / "etcd", durable=True) as etcd:
        settings = {**SETTINGS, "CACHE_STALENESS_BOUND": str(bound), "LEASE_TTL": "20", "ETCD_ENDPOINTS": etcd.endpoint}
        with InstanceProcess(tmp_path / "a", **settings) as a, InstanceProcess(tmp_path / "b", **settings) as b:
            for value in (KEPT, LOST):
                assert all(a.put(key, value).ok for key in KEYS)
                if value is KEPT:
                    snapshot = etcd.save_snapshot(tmp_path / "snapshot.db")
            readers = [Reader(instance) for instance in (a, b)]
            for instance, reader in zip((a, b), readers, strict=True):
                instance.wait_for_slot()
                warm(instance, LOST)
                reader.start()
            etcd.restore_snapshot(snapshot)
            restored = time.monotonic()
            for instance, reader in zip((a, b), readers, strict=True):
                warm(instance, KEPT)
                reader.ended.set()
                reader.join(20.0)
    for reader in readers:
        lost = [invoked for invoked, _, value in reader.answers if value == LOST]
        contact = min(invoked for invoked, source, value in reader.answers if (source, value) == ("BYPASS", KEPT))
        assert lost
        assert max(lost) < min(contact, restored + bound)
        assert {value for invoked, _, value in reader.answers if invoked > contact} == {KEPT}


class Replica:
    """What a follower of `/changes` holds by what it was told."""

    def __init__(self, number: int, instances: list[InstanceProcess]) -> None:
        self.held: dict[str, str] = {}
        self.told_of_loss = set[str]()
        self.ended = threading.Event()
        self._follower = Follower(number, [each.port for each in instances], 1, self._take, scope=(("k",), ()))
        self._thread = threading.Thread(target=self._follower.live, args=(self.ended,), daemon=True)

    def __enter__(self) -> Replica:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self._follower.hang_up()
        self._thread.join(20.0)
        assert not self._thread.is_alive(), "it goes on following"

    def _take(self, told: Told) -> None:
        if told.reset == "history" or (told.word == "lost" and told.note == "410"):
            self.told_of_loss.add(told.reset or told.note)
        if told.reset:
            self.held = {}
        for key, value, _ in told.changes:
            self.held = {name: held for name, held in self.held.items() if name != key}
            if value is not None:
                self.held[key] = value


def values(client: ConfigClient) -> dict[str, bytes]:
    return {name: document.value for name, document in client.snapshot().items()}


@pytest.mark.fault("older snapshot restored")
@pytest.mark.parametrize("outrun", [False, True], ids=["older revisions", "revisions that outran the lost ones"])
def test_who_follows_changes_is_told_of_the_restored_state_and_goes_on(
    world: World, tmp_path: Path, outrun: bool
) -> None:
    """Rule 18: a token of a lost history is told from the rest by its nonce. The library, polls and streams."""
    instances = [world.instance, world.other]
    write(world, KEPT)
    snapshot = world.etcd.save_snapshot(tmp_path / "snapshot.db")
    write(world, LOST)
    with contextlib.ExitStack() as stack:
        urls = [each.url for each in instances]
        clients = [
            stack.enter_context(ConfigClient(order, trust_env=False, prefix="k")) for order in (urls, urls[::-1])
        ]
        replicas = [stack.enter_context(Replica(number, instances)) for number in range(2)]

        def all_hold(value: bytes) -> bool:
            return all(
                list(values(client).values()) == [value] * len(KEYS) and isinstance(client.state, Fresh)
                for client in clients
            ) and all(replica.held == dict.fromkeys(KEYS, value.decode()) for replica in replicas)

        assert within(15.0, lambda: all_hold(LOST))
        world.etcd.restore_snapshot(snapshot)
        if outrun:
            assert within(10.0, lambda: world.other.put(KEYS[0], NEW).ok)
            for _ in range(3):
                write(world, NEW)
        assert within(30.0, lambda: all_hold(NEW if outrun else KEPT))
        assert [replica.told_of_loss for replica in replicas] == [{"410"}, {"history"}], "a poll, and a stream"
        last = b'"last"'
        write(world, last)
        assert within(15.0, lambda: all_hold(last))
