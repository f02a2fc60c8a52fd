"""Two real instances on one real etcd: what a write on one means for the other, counted by etcd itself.

Every read transaction of an instance has two ranges, the version key's and the member key's, and one more for each
key that is loaded (rule 4); probes are single ranges. So, while nobody writes, the number of loads is that of all
ranges - 2 x transactions - single ranges, whatever idle proofs do meanwhile. Audits, which count keys, are put off.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.support.etcd import EtcdServer
from tests.support.instances import InstanceProcess, within

pytestmark = [pytest.mark.secured(quick=True), pytest.mark.alone]

BOUND = 1.0


class Loads:
    """How many keys etcd has been asked for since this was made.

    A scrape is not atomic, and what is under way is counted piece by piece: so it looks until two looks agree, and a
    number that is not the expected one may still become it.
    """

    def __init__(self, etcd: EtcdServer) -> None:
        self._etcd = etcd
        self._before = self._count()

    def are(self, expected: int) -> bool:
        """Whether so many have been. Too many stay too many."""
        return within(2.0, lambda: self._count() - self._before == expected)

    def _count(self) -> float:
        before = self._look()
        while (found := self._look()) != before or found[0] != found[1]:
            before = found
        _, transactions, ranges, single = found
        return ranges - 2 * transactions - single

    def _look(self) -> tuple[float, float, float, float]:
        now = self._etcd.scrape()
        return (
            now.sum("grpc_server_started_total", grpc_method="Txn"),
            now.sum("grpc_server_handled_total", grpc_method="Txn"),
            now.sum("etcd_debugging_mvcc_range_total"),
            now.sum("grpc_server_handled_total", grpc_method="Range"),
        )


@dataclass
class World:
    etcd: EtcdServer
    a: InstanceProcess
    b: InstanceProcess


@pytest.fixture(scope="module")
def world(new_etcd: type[EtcdServer], tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with new_etcd(tmp_path_factory.mktemp("etcd")) as etcd:
        directory = tmp_path_factory.mktemp("fleet")
        settings = {**etcd.settings("/two"), "CACHE_STALENESS_BOUND": str(BOUND), "CACHE_AUDIT_INTERVAL": "3600"}
        with InstanceProcess(directory / "a", **settings) as a, InstanceProcess(directory / "b", **settings) as b:
            assert {a.wait_for_slot(), b.wait_for_slot()} == {0, 1}
            yield World(etcd, a, b)


def settled(instance: InstanceProcess, key: str, value: bytes) -> None:
    """Until a default read gives `value`, and gives it from memory: the proof that fills has been applied."""
    assert within(BOUND + 1.0, lambda: instance.get(key).content == value)
    assert within(BOUND + 1.0, lambda: instance.get(key).headers["X-Cache"] == "HIT")


def test_a_write_on_one_instance_is_read_on_the_other_within_the_bound(world: World) -> None:
    world.b.get("fresh")
    for number in range(5):
        value = str(number).encode()
        assert world.a.put("fresh", value).status_code in (200, 201)
        answered = time.monotonic()
        while (read := world.b.get("fresh")).content != value:
            assert time.monotonic() < answered + BOUND, f"{read.content!r} {BOUND} s after {value!r} was acknowledged"


def test_an_uncached_read_sees_the_write_at_once(world: World) -> None:
    for number in range(20):
        value = str(number).encode()
        world.a.put("linear", value)
        read = world.b.get("linear?use_cache=false")
        assert (read.content, read.headers["X-Cache"]) == (value, "BYPASS")


def test_the_second_read_is_a_hit_and_a_thousand_more_cost_etcd_nothing(world: World) -> None:
    world.a.put("hot", b'{"a": 1}')
    settled(world.b, "hot", b'{"a": 1}')
    loads = Loads(world.etcd)
    reads = [world.b.get("hot") for _ in range(1000)]
    assert {(read.status_code, read.content, read.headers["X-Cache"]) for read in reads} == {(200, b'{"a": 1}', "HIT")}
    assert loads.are(0)


def test_a_miss_costs_one_load_and_absence_is_cached_too(world: World) -> None:
    loads = Loads(world.etcd)
    assert [world.b.get("nowhere").headers["X-Cache"] for _ in range(3)] == ["MISS", "HIT", "HIT"]
    assert loads.are(1)


def test_a_write_costs_the_entries_of_other_keys_nothing(world: World) -> None:
    world.a.put("kept", b"1")
    settled(world.b, "kept", b"1")
    world.a.put("neighbour", b"1")
    settled(world.b, "neighbour", b"1")  # so the event has been applied
    loads = Loads(world.etcd)
    assert world.b.get("kept").headers["X-Cache"] == "HIT"
    assert loads.are(0)


def test_a_write_costs_each_instance_exactly_one_load_of_its_key(world: World) -> None:
    world.a.put("shared", b"1")
    for instance in (world.a, world.b):
        settled(instance, "shared", b"1")
    revision = world.a.put("shared", b"2").headers["X-Config-Revision"]
    for instance in (world.a, world.b):  # a session waits until the instance has seen the write
        instance.get(f"unrelated?min_revision={revision}")
    loads = Loads(world.etcd)
    for instance in (world.a, world.b):
        reads = [instance.get("shared") for _ in range(3)]
        assert [read.content for read in reads] == [b"2"] * 3
        assert [read.headers["X-Cache"] for read in reads] == ["MISS", "HIT", "HIT"]
    assert loads.are(2)


def test_a_session_reads_its_own_writes_on_any_instance(world: World) -> None:
    """Rule 10, by the cookie alone."""
    for number in range(50):
        written = world.a.put("mine", str(number).encode())
        read = world.b.get("mine", cookies=written.cookies.get_dict())
        assert read.content == str(number).encode()
        gone = world.b.delete("mine", cookies=written.cookies.get_dict())
        assert world.a.get("mine", cookies=gone.cookies.get_dict()).status_code == 404
