"""Rule 1: one transaction, and the truth about what became of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from consistency import (
    AsyncDistributedCache,
    CacheOptions,
    DistributedCache,
    MustBeAbsent,
    MustBeAt,
    MustExist,
    NoSpace,
    OutcomeUnknown,
    PreconditionFailed,
    Source,
    Unavailable,
    Written,
)
from consistency.core.events import Event, WorkerFailed
from consistency.core.model import VersionRecord
from tests.instance.fleet import QUICK, started
from tests.support.driver import Meanwhile, run, settle
from tests.support.fake_store import FakeStore
from tests.support.gates import At


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@pytest.fixture
def cache(store: FakeStore) -> Iterator[DistributedCache]:
    with started(store) as cache:
        yield cache


def test_a_write_names_its_key_in_the_version_of_the_same_revision(store: FakeStore, cache: DistributedCache) -> None:
    stream = run(store.watch(store.revision + 1, store.revision + 1, timeout=1))
    written = cache.put("a/b", b"1")
    event = run(anext(stream))
    assert (event.state.revision, event.names) == (written.revision, frozenset({"a/b"}))  # type: ignore[union-attr]


def test_a_write_tells_whether_the_key_existed(cache: DistributedCache) -> None:
    assert not cache.put("k", b"1").existed
    assert cache.put("k", b"2").existed
    assert cache.delete("k").existed
    assert not cache.delete("k").existed


def test_deleting_what_is_absent_writes_nothing(store: FakeStore, cache: DistributedCache) -> None:
    before = store.revision
    assert cache.delete("none") == Written(before, existed=False)
    assert store.revision == before


def test_each_write_has_a_nonce_of_its_own(store: FakeStore, cache: DistributedCache) -> None:
    cache.put("k", b"1")
    first = run(store.survey(None, timeout=1)).version.nonce
    cache.put("k", b"1")
    assert len(first) == 32
    assert run(store.survey(None, timeout=1)).version.nonce != first


@pytest.mark.parametrize(
    ("precondition", "current"),
    [(MustBeAbsent(), "k"), (MustExist(), "none"), (MustBeAt(1), "k"), (MustBeAt(1), "none")],
)
def test_a_precondition_that_does_not_hold_writes_nothing_and_tells_the_revision(
    store: FakeStore, cache: DistributedCache, precondition: MustExist, current: str
) -> None:
    at = cache.put("k", b"1").revision
    before = store.revision
    with pytest.raises(PreconditionFailed) as put:
        cache.put(current, b"2", precondition=precondition)
    with pytest.raises(PreconditionFailed) as delete:
        cache.delete(current, precondition=precondition)
    assert put.value.current == delete.value.current == (at if current == "k" else 0)
    assert store.revision == before


def test_a_precondition_that_holds_lets_the_write_through(cache: DistributedCache) -> None:
    at = cache.put("k", b"1", precondition=MustBeAbsent()).revision
    at = cache.put("k", b"2", precondition=MustBeAt(at)).revision
    assert cache.put("k", b"3", precondition=MustExist()).revision > at


def test_the_writer_does_not_serve_its_own_old_value(store: FakeStore, cache: DistributedCache) -> None:
    """Even if its watch is late: the answer of the write is enough to know."""
    cache.put("k", b"1")
    cache.get("k")
    store.pause_watch()
    cache.put("k", b"2")
    assert cache.get("k").value == b"2"
    store.resume_watch()


@pytest.mark.parametrize("alone", [True, False], ids=["conditional", "in company"])
def test_a_write_with_an_unknown_outcome_is_not_repeated_and_its_key_is_not_served(
    store: FakeStore, cache: DistributedCache, alone: bool
) -> None:
    """The write happens, its answer is lost, and no event has come yet."""
    cache.put("k", b"1")
    cache.get("k")
    store.pause_watch()
    commits = store.calls["commit"]
    store.hold("commit").fail(OutcomeUnknown("the answer was lost"))
    with pytest.raises(OutcomeUnknown):
        cache.put("k", b"2", precondition=MustExist() if alone else None)
    assert store.calls["commit"] == commits + 1
    reading = cache.get("k")
    assert (reading.value, reading.source) == (b"2", Source.MISS)
    store.resume_watch()


def test_a_write_that_was_never_sent_is_told_from_an_unknown_one(store: FakeStore, cache: DistributedCache) -> None:
    store.hold("commit", At.REQUEST).fail(Unavailable("no endpoint"))
    with pytest.raises(Unavailable):
        cache.put("k", b"2")
    assert store.document("k") is None


def test_without_space_writes_are_refused_and_reads_go_on(store: FakeStore, cache: DistributedCache) -> None:
    cache.put("k", b"1")
    store.no_space = True
    with pytest.raises(NoSpace):
        cache.put("k", b"2")
    assert cache.get("k", use_cache=False).value == b"1"


def test_options_that_make_no_sense_are_refused() -> None:
    for wrong in ({"staleness_bound": 0.0}, {"timeout": -1.0}, {"max_entries": 0}, {"lease_ttl": 0}, {"max_bytes": 0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            CacheOptions(**wrong)


def test_a_version_written_by_hand_means_that_anything_may_have_changed() -> None:
    for raw in (b"", b"7", b"\xff", b"{}", b'{"nonce": "x", "keys": 7}', b'{"nonce": "x", "keys": [7]}', b"[]"):
        assert VersionRecord.decode(raw).names is None
    record = VersionRecord("n", frozenset({"ä", "b"}), "put")
    assert VersionRecord.decode(record.encode()) == record


def test_a_write_alone_whose_client_goes_away_is_seen_through(store: FakeStore) -> None:
    """1. it is sent, with a condition; 2. its client goes away; 3. etcd answers: what is in memory is old by then."""
    happened: list[Event] = []
    cache = AsyncDistributedCache(store, QUICK, observer=happened.append)
    gate = store.hold("commit", At.REQUEST)
    writer = Meanwhile(cache.put("a", b"1", precondition=MustBeAbsent()))
    gate.wait_until_held()
    writer.cancel()
    gate.release()
    settle()
    assert store.document("a") == b"1"
    run(cache.close())
    assert not [event for event in happened if isinstance(event, WorkerFailed)]
