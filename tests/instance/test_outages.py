"""An etcd that hangs must not take the server's threads with it: what is known to be down is not waited for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from consistency import DistributedCache, Unavailable
from consistency.core.events import BatchAnswered
from tests.instance.fleet import Background, Journal, await_status, started
from tests.instance.hand import Hand, found
from tests.support.fake_store import FakeStore
from tests.support.gates import At


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@pytest.fixture
def journal() -> Journal:
    return Journal()


@pytest.fixture
def cache(store: FakeStore, journal: Journal) -> Iterator[DistributedCache]:
    with started(store, journal=journal) as cache:
        yield cache


def test_while_the_prover_waits_for_a_hung_etcd_nobody_else_does(
    store: FakeStore, cache: DistributedCache, journal: Journal
) -> None:
    """1. a batch fails; 2. the prover's next one hangs; 3. reads, writes and listings are refused at once."""
    store.hold("read").fail(Unavailable("no answer"))
    hung = store.hold("read", At.REQUEST)
    hung.wait_until_held()
    for call in (
        lambda: cache.get("k", use_cache=False),
        lambda: cache.put("k", b"1"),
        lambda: cache.delete("k"),
        lambda: cache.page("", after="", limit=1),
    ):
        with pytest.raises(Unavailable, match="no answer"):
            Background(call).result()
    assert store.calls["commit"] == 1, "the genesis alone"
    journal.clear()
    hung.release()
    journal.await_event(lambda event: isinstance(event, BatchAnswered))
    assert cache.put("k", b"1").revision


def test_without_a_prover_every_read_asks_for_itself(store: FakeStore) -> None:
    found(store)
    hand = Hand(store)
    store.hold("read").fail(Unavailable("no answer"))
    with pytest.raises(Unavailable):
        hand.get("k", use_cache=False)
    hand.clock.advance(60)
    assert hand.get("k", use_cache=False).value is None


def test_readiness_tells_since_when_etcd_is_silent_and_why(store: FakeStore, cache: DistributedCache) -> None:
    store.reachable = False
    status = await_status(cache, lambda status: status.why_not_ready != "")
    assert "etcd has not answered for" in status.why_not_ready
    assert "unreachable" in status.why_not_ready
    store.reachable = True
    await_status(cache, lambda status: status.why_not_ready == "")
