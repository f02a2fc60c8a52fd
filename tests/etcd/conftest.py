"""The store under test: the fake, and the one over a real etcd and a simulated one, behind the same hand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from random import Random

import pytest

from consistency.core.model import Precondition, VersionRecord, new_nonce
from consistency.core.store import Commit, Delete, Put, Store
from consistency.etcd.store import EtcdStore
from consistency.etcd.transactions import Layout
from simulation.etcd import Cluster
from tests.support.driver import run
from tests.support.etcd import EtcdServer
from tests.support.fake_store import FakeStore
from tests.support.grpc_proxy import GrpcProxy

TIMEOUT = 5.0


@dataclass(frozen=True)
class Subject:
    """A store, and what a test can only do behind its back."""

    store: Store
    compact: Callable[[int], None]
    put_outside: Callable[[str, bytes, int], None]
    delete_version: Callable[[], None]
    put_raw: Callable[[str, bytes, int], None]  # beneath the prefix, whatever that key means

    def put(self, key: str, value: bytes = b"1", precondition: Precondition | None = None) -> Commit:
        """One put, with a version that names it."""
        return run(self.store.commit([Put(key, value, precondition)], version(key), timeout=TIMEOUT))

    def delete(self, key: str, precondition: Precondition | None = None) -> Commit:
        """One delete, with a version that names it."""
        return run(self.store.commit([Delete(key, precondition)], version(key), timeout=TIMEOUT))


def version(*names: str, nonce: str = "") -> VersionRecord:
    """A version record that names these keys."""
    return VersionRecord(nonce or new_nonce(), frozenset(names), "put")


@pytest.fixture(scope="session")
def contract_etcd(new_etcd: type[EtcdServer], tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdServer]:
    """The contract's own: some of its tests take the past away, and that is everybody's."""
    with new_etcd(tmp_path_factory.mktemp("contract-etcd")) as server:
        yield server


@pytest.fixture(scope="session")
def grpc_proxy(contract_etcd: EtcdServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GrpcProxy]:
    """etcd's own proxy, in front of the contract's etcd."""
    with GrpcProxy(contract_etcd, tmp_path_factory.mktemp("proxy")) as proxy:
        yield proxy


@pytest.fixture(params=["fake", "simulated", "etcd", "proxy"])
def subject(request: pytest.FixtureRequest, prefix: str) -> Iterator[Subject]:
    """Each contract test runs once for each store, and once more through a proxy."""
    if request.param == "fake":
        made = fake_subject(prefix)
    elif request.param == "simulated":
        made = run(simulated_subject(prefix))
    else:
        made = etcd_subject(request.getfixturevalue("contract_etcd"), prefix)
    if request.param == "proxy":
        made = replace(made, store=EtcdStore(request.getfixturevalue("grpc_proxy").config(prefix)))
    yield made
    run(made.store.close())


def fake_subject(prefix: str) -> Subject:
    """The store in memory."""
    store = FakeStore(prefix)
    return Subject(
        store,
        compact=store.compact,
        put_outside=lambda key, value, lease: _ignore(store.put_outside(key, value, lease)),
        delete_version=lambda: _ignore(store.delete_version()),
        put_raw=lambda key, value, lease: _ignore(store.put_raw(f"{store.layout.prefix}/{key}".encode(), value, lease)),
    )


async def simulated_subject(prefix: str) -> Subject:
    """The store over a simulated etcd of three members, in the time of the tests' loop."""
    cluster, layout = Cluster(Random(prefix)), Layout(prefix)
    cluster.network.latency = (0.0, 0.002)
    return Subject(
        EtcdStore(cluster.config(prefix), connect=cluster.connect("tests"), clock=asyncio.get_running_loop().time),
        compact=lambda revision: _ignore(cluster.compact(revision)),
        put_outside=lambda key, value, lease: _ignore(
            cluster.write_outside({layout.document(key): value}, lease=lease)
        ),
        delete_version=lambda: _ignore(cluster.write_outside({}, [layout.version])),
        put_raw=lambda key, value, lease: _ignore(
            cluster.write_outside({f"{layout.prefix}/{key}".encode(): value}, lease=lease)
        ),
    )


def etcd_subject(etcd: EtcdServer, prefix: str) -> Subject:
    """The store over etcd, with etcdctl behind its back."""
    layout = Layout(prefix)
    return Subject(
        EtcdStore(etcd.config(prefix)),
        compact=lambda revision: _ignore(etcd.etcdctl("compaction", str(revision))),
        put_outside=lambda key, value, lease: _ignore(
            etcd.etcdctl("put", layout.document(key).decode(), value.decode(), f"--lease={lease:x}")
        ),
        delete_version=lambda: _ignore(etcd.etcdctl("del", layout.version.decode())),
        put_raw=lambda key, value, lease: _ignore(
            etcd.etcdctl("put", f"{layout.prefix}/{key}", value.decode(), f"--lease={lease:x}")
        ),
    )


def _ignore(_: object) -> None:
    """What was returned is of no interest."""
