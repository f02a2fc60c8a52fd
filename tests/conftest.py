"""What every test may ask for: a real etcd for the session, a prefix of its own in it, a fake store."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from tests.support.etcd import EtcdServer
from tests.support.fake_store import FakeStore

pytest_plugins = ("pytester", "tests.matrix.report")

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdServer]:
    """One etcd for the whole session. A test that harms or restarts etcd starts its own."""
    with EtcdServer(tmp_path_factory.mktemp("etcd")) as server:
        yield server


@pytest.fixture
def prefix() -> str:
    """A prefix that no other test uses."""
    return f"test-{next(_numbers)}"


@pytest.fixture
def fake_store() -> Iterator[FakeStore]:
    """A store in memory, closed afterwards."""
    store = FakeStore()
    yield store
    store.close()
