"""Membership at full size: 64 real processes on one real etcd, one too many, and half of them killed (rule 9).

The fleet is started once, a few instances at a time; each test fills up what the one before has taken away.
"""

from __future__ import annotations

import itertools
import json
import time
from base64 import b64decode
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path

import pytest

from tests.load.running_fleet import sample
from tests.support.etcd import EtcdServer
from tests.support.instances import InstanceProcess, within
from tests.support.meanwhile import meanwhile
from torture.client import Connections
from torture.world import quiet_ports

SIZE = 64
BOUND = 1.0
TTL = 10
GONE_WITHIN = TTL + 2.0
MARGIN = 5.0
"""Seconds for a machine that is busy with other things."""

AT_ONCE = 4
"""Starting an interpreter takes a second of a processor: more at once would only keep one another waiting."""

STARTED_WITHIN = 60.0
READ_EVERY, WRITE_EVERY = 0.1, 1.0
PREFIX = "/full"
SETTINGS = {"CACHE_STALENESS_BOUND": f"{BOUND}", "LEASE_TTL": f"{TTL}", "THREADS": "4", "LOG_LEVEL": "WARNING"}

pytestmark = [
    pytest.mark.alone,
    pytest.mark.timeout(600),  # seconds; starting the fleet takes one minute, several on a busy machine
]


class Fleet:
    """As many instances as asked for, and what etcd itself says of who holds a slot. For one thread."""

    def __init__(self, directory: Path, etcd: EtcdServer) -> None:
        self.instances: list[InstanceProcess] = []
        self._directory = directory
        self._etcd = etcd
        self._ports = quiet_ports()

    def grow_to(self, size: int) -> None:
        """Starts what is missing; returns when all are ready."""
        while missing := size - len(self.instances):
            assert self._etcd.wait_until_ready(), self._etcd.log_tail()
            started = [self._start() for _ in range(min(missing, AT_ONCE))]
            for instance in started:
                instance.wait_until_ready(STARTED_WITHIN)

    def _start(self) -> InstanceProcess:
        port = next(self._ports)
        settings = {**SETTINGS, **self._etcd.settings(PREFIX), "PORT": f"{port}"}
        self.instances.append(InstanceProcess(self._directory, **settings))
        return self.instances[-1].start()

    def kill(self, those: list[InstanceProcess]) -> None:
        """SIGKILL."""
        for instance in those:
            instance.kill()
        self.instances = [instance for instance in self.instances if instance not in those]

    def held(self) -> dict[int, int]:
        """The lease of each slot that is held."""
        slots = (f"{PREFIX}/members/", f"{PREFIX}/members/:")
        found = json.loads(self._etcd.etcdctl("get", *slots, "--write-out=json"))
        names = {b64decode(each["key"]).decode().rpartition("/")[2]: int(each["lease"]) for each in found["kvs"]}
        return {int(name): lease for name, lease in names.items() if name != "ack"}


@pytest.fixture(scope="module")
def fleet(new_etcd: type[EtcdServer], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with new_etcd(tmp_path_factory.mktemp("etcd")) as etcd:
        fleet = Fleet(tmp_path_factory.mktemp("fleet"), etcd)
        try:
            yield fleet
        finally:
            fleet.kill(fleet.instances)


@pytest.fixture
def full(fleet: Fleet) -> Fleet:
    """64 instances, each with a slot."""
    fleet.grow_to(SIZE)
    for instance in fleet.instances:
        instance.wait_for_slot(within=2 * TTL)
    return fleet


def hits(instance: InstanceProcess, key: str, value: bytes) -> bool:
    """Whether a read gives the value, from memory."""
    read = instance.get(key)
    return (read.content, read.headers["X-Cache"]) == (value, "HIT")


def test_64_instances_hold_the_64_slots_and_every_one_of_them_hits(full: Fleet) -> None:
    """Rule 9: one slot each, one lease each, none of them ever another's, and all of them know all of them."""
    slots = [instance.wait_for_slot() for instance in full.instances]
    assert sorted(slots) == list(range(SIZE))
    held = full.held()
    assert sorted(held) == list(range(SIZE))
    assert len(set(held.values())) == SIZE
    full.instances[0].put("known", b"1")
    for instance in full.instances:
        assert within(5 * BOUND, partial(hits, instance, "known", b"1"))
        assert sample(instance.url, "config_member_leaves_total", cause="taken") == 0
        members = instance.request("GET", "/members").json()["members"]
        assert [member["slot"] for member in members] == list(range(SIZE))


def test_a_guarded_write_is_held_by_all_64_and_reads_of_its_key_cost_nothing(full: Fleet) -> None:
    """Rules 16 and 17: one acknowledgement an instance, and then everybody reads the new value, from memory."""
    writer = full.instances[0]
    policy = writer.request("PUT", "/policy", data=b'{"guarded": ["guarded/"]}', headers={"If-None-Match": "*"})
    assert policy.status_code == 201, policy.text
    for number in range(2):
        value = str(number).encode()
        written = writer.put("guarded/a?sync=true", value)
        assert written.status_code == (200 if number else 201), written.text
        assert written.headers["X-Fleet-Acks"] == f"{SIZE}/{SIZE}"
        assert {instance.get("guarded/a").content for instance in full.instances} == {value}
    for instance in full.instances:
        assert within(5 * BOUND, partial(hits, instance, "guarded/a", b"1"))
        assert all(hits(instance, "guarded/a", b"1") for _ in range(20))


@pytest.mark.fault("65th instance")
def test_the_65th_serves_uncached_and_takes_the_slot_of_the_first_that_leaves(full: Fleet) -> None:
    """Fault matrix: every answer is right, none comes from memory, and it is ready and says what it lacks."""
    member = full.instances[20]
    full.grow_to(SIZE + 1)
    late = full.instances[-1]
    for number in range(5):
        value = str(number).encode()
        writer = (late, member)[number % 2]
        assert writer.put("late", value).status_code in (200, 201)
        reads = [late.get("late" + query) for query in ("", "", "?use_cache=false", "?consistency=linearizable")]
        assert {(read.status_code, read.content, read.headers["X-Cache"]) for read in reads} == {(200, value, "BYPASS")}
    assert within(5 * BOUND, lambda: hits(member, "late", b"4"))
    assert late.answers(200, "/healthz")
    readiness = late.request("GET", "/readyz")
    assert (readiness.status_code, readiness.json()["member"], readiness.json()["slot"]) == (200, False, None)
    assert sample(late.url, "config_member_slot") == -1
    assert sample(late.url, "config_members") == SIZE
    assert sample(late.url, "config_member_join_failures_total", cause="full") >= 1
    assert sample(late.url, "config_cache_bypasses_total", reason="not a member") >= 10
    assert sample(late.url, "config_cache_reads_total", source="hit") == 0
    assert "no slot, serving uncached" in late.printed()
    assert within(2 * TTL, lambda: waiting(member) == [late.port])
    told = member.request("GET", "/members").json()
    assert (len(told["members"]), told["departed"]) == (SIZE, [])
    targets = {target for each in member.request("GET", "/members/targets").json() for target in each["targets"]}
    assert targets == {f"127.0.0.1:{instance.port}" for instance in full.instances}
    rows = member.request("GET", "/members/states").json()["members"]
    assert [(row["slot"], row["address"]) for row in rows[SIZE:]] == [(None, f"127.0.0.1:{late.port}")]
    assert sample(member.url, "config_fleet_instances") == SIZE + 1

    slot = member.wait_for_slot()
    lease = full.held()[slot]
    assert member.stop() == 0
    full.instances.remove(member)
    assert full.held().get(slot) != lease  # given back, and not left to expire
    assert late.wait_for_slot(within=2 * TTL) == slot
    assert within(5 * BOUND, lambda: waiting(late) == [])
    (gone,) = late.request("GET", "/members").json()["departed"]
    assert (gone["slot"], gone["how"]) == (slot, "left")
    assert within(5 * BOUND, lambda: hits(late, "late", b"4"))
    assert sorted(full.held()) == list(range(SIZE))


def waiting(instance: InstanceProcess) -> list[int]:
    """The ports of those who wait for a slot, as that instance tells it."""
    told = instance.request("GET", "/members").json()["waiting"]
    return [int(each["description"]["address"].rpartition(":")[2]) for each in told]


class Reader:
    """Reads one key from one instance over and over, and keeps when it asked and what it got."""

    def __init__(self, connections: Connections) -> None:
        self.reads: list[tuple[float, int, str]] = []
        self._connections = connections

    def __call__(self) -> None:
        """One read. Raises AssertionError when it is not answered with a value."""
        asked = time.monotonic()
        answer = self._connections.send(0, "GET", "/config/beat", None, {})
        assert answer.status == 200, answer
        self.reads.append((asked, int(answer.body), answer.headers["x-cache"]))

    def hits(self, since: float) -> list[float]:
        """When it asked what was answered from memory."""
        return [asked for asked, _, source in self.reads if source == "HIT" and asked >= since]

    def longest_without_hit(self, since: float) -> float:
        """Seconds, from `since` to the last read."""
        moments = [since, *self.hits(since), self.reads[-1][0]]
        return max(later - earlier for earlier, later in itertools.pairwise(moments))


class Writer:
    """Counts upwards in one key, and keeps when each number was acknowledged."""

    def __init__(self, connections: Connections) -> None:
        self.acknowledged: list[float] = []
        self._connections = connections

    def __call__(self) -> None:
        """One write. Raises AssertionError when it is not done."""
        answer = self._connections.send(0, "PUT", "/config/beat", str(len(self.acknowledged)).encode(), {})
        assert answer.status in (200, 201), answer
        self.acknowledged.append(time.monotonic())

    def newest(self, at: float) -> int:
        """The last number that was acknowledged by then."""
        return bisect_right(self.acknowledged, at) - 1


def test_half_the_fleet_is_killed_and_the_other_half_never_misses_a_beat(full: Fleet) -> None:
    """Rules 3 and 9. The slots of the dead are free after the TTL; before, then and afterwards every read of the others
    is answered, within the bound, from memory unless the key was just written; they keep their slots and leases."""
    dead, alive = full.instances[::2], full.instances[1::2]
    slots = {instance.wait_for_slot() for instance in alive}
    before = {slot: lease for slot, lease in full.held().items() if slot in slots}
    with ExitStack() as stack:
        connections = [stack.enter_context(closing(Connections([each.port]))) for each in [alive[0], *alive]]
        writer, *readers = Writer(connections[0]), *map(Reader, connections[1:])
        writer()
        with meanwhile([writer], pause=WRITE_EVERY), meanwhile(readers, pause=READ_EVERY):
            assert within(5 * BOUND, lambda: all(reader.hits(since=0.0) for reader in readers))
            killed = time.monotonic()
            full.kill(dead)
            while set(held := full.held()) != slots:
                assert time.monotonic() < killed + GONE_WITHIN + MARGIN, sorted(held)
                time.sleep(0.25)
            time.sleep(2 * BOUND)
    assert full.held() == before
    for reader in readers:
        assert [read for read in reader.reads if read[1] < writer.newest(at=read[0] - BOUND)] == []
        assert reader.longest_without_hit(since=killed) < TTL / 2
    full.grow_to(len(alive) + 1)
    assert full.instances[-1].wait_for_slot() not in slots
