"""Nothing that the store does holds the loop, at the bounds of what it is asked for: real answers of a real etcd."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator

import pytest

from consistency.core.store import Put, Want
from consistency.etcd.store import MAX_CHANGES, MAX_WANTS, EtcdStore
from tests.etcd.conftest import TIMEOUT, version
from tests.support.driver import least_hold, run
from tests.support.etcd import EtcdServer
from tests.support.holds import most

PAGE = 1000
"""Keys of a listing, and of an audit, at most."""

KEYS = [f"team/a-service-with-a-name/{number:06}" for number in range(20 * PAGE)]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdStore]:
    """With 20,000 documents in it, and its past: in an etcd that nobody else compacts."""
    with EtcdServer(tmp_path_factory.mktemp("etcd")) as etcd:
        made = EtcdStore(etcd.config("holds"))
        for start in range(0, len(KEYS), MAX_CHANGES):
            run(commit(made, KEYS[start : start + MAX_CHANGES]))
        yield made
        run(made.close())


async def commit(store: EtcdStore, keys: list[str]) -> None:
    await store.commit([Put(key, b'{"limit": 100}') for key in keys], version(*keys), timeout=TIMEOUT)


async def list_all(store: EtcdStore) -> None:
    """Page after page, as who lists all of them does."""
    after, more, count = "", True, 0
    while more:
        page = await store.page("", after=after, limit=PAGE, timeout=TIMEOUT)
        after, more, count = str(page.keys[-1].key), page.more, count + len(page.keys)
    assert count == len(KEYS)


async def read(store: EtcdStore) -> None:
    answer = await store.read([Want(key) for key in KEYS[:MAX_WANTS]], None, timeout=TIMEOUT)
    assert all(found.document for found in answer.found)


CALLS: dict[str, Callable[[EtcdStore], Awaitable[object]]] = {
    "20,000 keys are listed": list_all,
    "an audit looks": lambda store: store.touched(0, limit=PAGE, timeout=TIMEOUT),
    "an audit asks for what existed": lambda store: store.existed(KEYS[:MAX_CHANGES], 1, timeout=TIMEOUT),
    "a full batch is read": read,
    "a full batch is written": lambda store: commit(store, KEYS[:MAX_CHANGES]),
}


@pytest.mark.parametrize("name", CALLS)
def test_no_call_to_etcd_holds_the_loop(store: EtcdStore, name: str) -> None:
    async def work() -> None:
        await CALLS[name](store)

    seconds, what = least_hold(work)
    assert seconds < most(), what
