"""What linearizable reads of cached keys cost when many come at the same time, as etcd itself counts it (rule 11)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from tests.guarantees.crowd import Crowd
from tests.support.etcd import EtcdServer
from tests.support.instances import InstanceProcess, within

pytestmark = [pytest.mark.secured, pytest.mark.alone]

READERS = 64
READS = 640
TRANSACTIONS_PER_READ = 0.1

ROUNDS = 20
"""Of READS each, until one shows the sharing. A machine that is busy with other things lets the readers starve, so that
fewer than READERS are there at a time: that can make a round dearer, never cheaper."""

VALUE = b'"' + b"v" * 262_144 + b'"'
PROOF = 1024
"""Bytes that an answer without a value stays below: a header, the version key and the member key."""

KEYS = [f"shared/{number}" for number in range(16)]
LINEARIZABLE = [f"/config/{key}?consistency=linearizable" for key in KEYS]


@dataclass
class World:
    etcd: EtcdServer
    instance: InstanceProcess
    crowd: Crowd

    def transactions(self) -> float:
        """That etcd has begun. Each is a batch: the instance's idle proofs are among them, its writes are over."""
        return self.etcd.counter("grpc_server_started_total", grpc_method="Txn")

    def bytes_sent(self) -> float:
        return self.etcd.counter("etcd_network_client_grpc_sent_bytes_total")


@pytest.fixture(scope="module")
def world(new_etcd: type[EtcdServer], tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One instance that holds every key in its memory, and a crowd of readers connected to it."""
    with ExitStack() as stack:
        etcd = stack.enter_context(new_etcd(tmp_path_factory.mktemp("etcd")))
        instance = InstanceProcess(tmp_path_factory.mktemp("instance"), **etcd.settings("/sharing"))
        stack.enter_context(instance).wait_for_slot()
        for key in KEYS:
            assert instance.put(key, VALUE).status_code in (200, 201)
        for key in KEYS:
            assert within(5.0, lambda key=key: instance.get(key).headers["X-Cache"] == "HIT")  # type: ignore[misc]
        yield World(etcd, instance, Crowd(stack, instance.port, READERS))


def test_linearizable_readers_of_cached_keys_share_transactions_ten_to_one(world: World) -> None:
    """Rule 11. Idle proofs are counted against the readers."""
    costs: list[float] = []
    while not costs or (min(costs) > TRANSACTIONS_PER_READ and len(costs) < ROUNDS):
        before = world.transactions()
        assert world.crowd.read(LINEARIZABLE, READS) == {(200, "REVALIDATED"): READS}
        costs.append((world.transactions() - before) / READS)
    assert min(costs) <= TRANSACTIONS_PER_READ, costs


def test_linearizable_reads_move_no_value_that_has_not_changed(world: World) -> None:
    """Rule 11: what etcd sends is as many proofs as it was asked for, and not a single value."""
    transactions, sent = world.transactions(), world.bytes_sent()
    assert world.crowd.read(LINEARIZABLE, READS) == {(200, "REVALIDATED"): READS}
    sent = world.bytes_sent() - sent
    assert sent < PROOF * (world.transactions() - transactions + 2)
