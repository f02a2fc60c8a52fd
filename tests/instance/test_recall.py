"""Rule 19 on an instance: what is told of a compacted revision, what writes leave, and what is trimmed of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from consistency import AsyncDistributedCache, Author, CacheOptions, Compacted, MustExist
from consistency.core.events import Event, HistoryTrimmed
from consistency.core.model import VersionRecord, new_nonce
from consistency.core.past import KeyPast
from consistency.core.records import Op
from consistency.core.store import Delete, NotReached, Put
from consistency.instance import trimmer
from tests.support.driver import Meanwhile, run, until
from tests.support.fake_store import FakeStore
from tests.support.gates import At

OPTIONS = CacheOptions(staleness_bound=0.2, timeout=5.0, audit_interval=3600.0)
AUDITING = CacheOptions(staleness_bound=0.2, timeout=5.0, audit_interval=0.05)


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rounds of trimming follow one another: what is awaited is what they do."""
    monkeypatch.setattr(trimmer, "INTERVAL", 0.02)


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def cache(store: FakeStore, events: list[Event]) -> Iterator[AsyncDistributedCache]:
    yield from started(store, OPTIONS, events)


@pytest.fixture
def auditing(store: FakeStore, events: list[Event]) -> Iterator[AsyncDistributedCache]:
    yield from started(store, AUDITING, events)


def started(store: FakeStore, options: CacheOptions, events: list[Event]) -> Iterator[AsyncDistributedCache]:
    """An instance that has joined, has proven itself, and has said that history begins."""
    made = AsyncDistributedCache(store, options, observer=events.append, wall=lambda: 1000.0)
    run(_start(made))
    assert until(lambda: made.status().fresh and store.calls["begin_past"] > 0)
    yield made
    run(made.close())


async def _start(cache: AsyncDistributedCache) -> None:
    cache.start()


def put(cache: AsyncDistributedCache, key: str, value: bytes) -> int:
    revision = run(cache.put(key, value)).revision
    assert until(lambda: cache.status().horizon >= revision)
    return revision


def forget(store: FakeStore) -> int:
    """Compact all there is."""
    store.compact(store.revision)
    return store.revision


def at(cache: AsyncDistributedCache, key: str, revision: int) -> bytes | None:
    return run(cache.get_at(key, revision)).value


def past(store: FakeStore, key: str) -> KeyPast:
    """At once, also while the loop runs."""
    return store._etcd.traces(key)


def traces(store: FakeStore, key: str) -> list[tuple[int, Op]]:
    found = past(store, key).traces
    return [(trace.mod_revision, trace.op) for trace in found]


def test_what_etcd_has_compacted_is_told_from_what_writes_have_left(
    store: FakeStore, cache: AsyncDistributedCache
) -> None:
    nothing = store.revision
    first, second = put(cache, "a", b"1"), put(cache, "a", b"2")
    gone = run(cache.delete("a")).revision
    again = put(cache, "a", b"3")
    put(cache, "other", b"1")
    forget(store)
    expected = {nothing: None, first: b"1", second: b"2", gone: None, again: b"3"}
    assert {revision: at(cache, "a", revision) for revision in expected} == expected
    assert run(cache.get_at("a", second)).mod_revision == second
    with pytest.raises(NotReached):
        run(cache.get_at("a", store.revision + 1))


def test_of_a_batch_each_key_has_its_own_record(store: FakeStore, cache: AsyncDistributedCache) -> None:
    put(cache, "a", b"1")
    done = run(cache.apply([Put("b", b"2"), Delete("a", MustExist())], author=Author("team", "id", "moved"))).revision
    forget(store)
    assert (at(cache, "a", done - 1), at(cache, "a", done), at(cache, "b", done - 1)) == (b"1", None, None)
    (record,) = run(cache.history("b")).records
    assert (record.author, record.at, record.op, record.document) == (
        Author("team", "id", "moved"),
        1000.0,
        Op.PUT,
        b"2",
    )


def test_puts_of_several_authors_in_one_transaction_have_each_his_own(
    store: FakeStore, cache: AsyncDistributedCache
) -> None:
    gate = store.hold("commit", At.REQUEST)
    first = run_later(cache, "first")
    gate.wait_until_held()
    others = [run_later(cache, key) for key in ("a", "b")]
    gate.release()
    for each in (first, *others):
        each.result()
    assert store.calls["commit"] < 5
    assert [run(cache.history(key)).records[0].author.by for key in ("a", "b")] == ["a", "b"]


def test_a_document_that_was_not_kept_is_not_made_up(store: FakeStore, cache: AsyncDistributedCache) -> None:
    run(cache.put_policy(b'{"history": {"keep": 5, "max_bytes": 3}}'))
    large = put(cache, "a", b"1234")
    put(cache, "a", b"1")
    forget(store)
    with pytest.raises(Compacted, match="4 bytes"):
        at(cache, "a", large)


def test_before_history_began_nothing_is_told(store: FakeStore, cache: AsyncDistributedCache) -> None:
    before = store.put_outside("old", b"1")
    put(cache, "old", b"2")
    forget(store)
    with pytest.raises(Compacted):
        at(cache, "old", before)
    with pytest.raises(Compacted, match="begins"):
        at(cache, "a", 1)


def test_what_was_overwritten_past_the_service_makes_the_time_before_unknowable(
    store: FakeStore, cache: AsyncDistributedCache
) -> None:
    """1. Ours; 2. another's, with etcdctl; 3. ours again, before any audit has looked."""
    first = put(cache, "a", b"1")
    theirs = store.put_outside("a", b"2")
    last = put(cache, "a", b"3")
    assert until(lambda: store.calls["doubt"] == 1)
    forget(store)
    for revision in (first, theirs):
        with pytest.raises(Compacted, match="past the service"):
            at(cache, "a", revision)
    assert at(cache, "a", last) == b"3"


def test_what_was_overwritten_after_an_earlier_release_makes_the_time_before_unknowable(
    store: FakeStore, cache: AsyncDistributedCache
) -> None:
    """1. Ours; 2. an instance's that knows nothing of records; 3. ours again, before the history begins anew, which it
    does not if nobody looks at the records at that time."""
    first = put(cache, "a", b"1")
    record = VersionRecord(new_nonce(), frozenset({"a"}), "put")
    theirs = run(store.commit((Put("a", b"2"),), record, timeout=1)).header.revision
    put(cache, "a", b"3")
    assert until(lambda: store.calls["doubt"] == 1)
    forget(store)
    for revision in (first, theirs):
        with pytest.raises(Compacted):
            at(cache, "a", revision)


def test_what_is_overwritten_in_order_is_never_doubted(store: FakeStore, cache: AsyncDistributedCache) -> None:
    other = AsyncDistributedCache(store, OPTIONS)
    for number in range(5):
        run((cache, other)[number % 2].put("a", b"%d" % number))
    run(other.close())
    assert until(lambda: cache.status().horizon >= store.revision)
    assert store.calls["doubt"] == 0


def test_what_an_audit_finds_is_in_the_history(store: FakeStore, auditing: AsyncDistributedCache) -> None:
    first = put(auditing, "a", b"1")
    store.put_outside("a", b"2")
    assert until(lambda: Op.OUTSIDE in [op for _, op in traces(store, "a")])
    last = put(auditing, "a", b"3")
    forget(store)
    with pytest.raises(Compacted, match="past the service"):
        at(auditing, "a", first)
    assert at(auditing, "a", last) == b"3"


def test_where_it_is_not_known_what_vanished_history_begins_anew(
    store: FakeStore, auditing: AsyncDistributedCache
) -> None:
    store.put_outside("stranger", b"1")
    put(auditing, "a", b"1")
    first = put(auditing, "a", b"2")
    assert until(lambda: Op.OUTSIDE in [op for _, op in traces(store, "stranger")])
    began = past(store, "a").began
    store.delete_outside("stranger")
    assert until(lambda: past(store, "a").began > began)
    put(auditing, "a", b"3")
    forget(store)
    with pytest.raises(Compacted):
        at(auditing, "a", first)


def test_the_last_of_each_key_are_kept(store: FakeStore, cache: AsyncDistributedCache, events: list[Event]) -> None:
    run(cache.put_policy(b'{"history": {"keep": 2}}'))
    assert until(lambda: cache.policy.history.keep == 2)
    written = [put(cache, "a", b"%d" % number) for number in range(5)]
    other = put(cache, "b", b"1")
    assert until(lambda: len(traces(store, "a")) == 2)
    forget(store)
    assert [revision for revision, _ in traces(store, "a")] == written[-2:]
    assert [revision for revision, _ in traces(store, "b")] == [other]
    assert sum(event.records for event in events if isinstance(event, HistoryTrimmed)) >= 3
    with pytest.raises(Compacted, match="trimmed"):
        at(cache, "a", written[2])
    with pytest.raises(Compacted, match="trimmed"):
        at(cache, "a", written[0] - 1)
    assert at(cache, "a", written[3]) == b"3"


def test_of_a_deleted_key_the_last_are_kept_too(store: FakeStore, cache: AsyncDistributedCache) -> None:
    run(cache.put_policy(b'{"history": {"keep": 2}}'))
    assert until(lambda: cache.policy.history.keep == 2)
    written = [put(cache, "a", b"%d" % number) for number in range(3)]
    gone = run(cache.delete("a")).revision
    assert until(lambda: len(traces(store, "a")) == 2)
    forget(store)
    assert (at(cache, "a", written[-1]), at(cache, "a", gone)) == (b"2", None)


def test_who_trims_for_the_first_time_looks_at_all_there_is(store: FakeStore) -> None:
    """The one before has died, and nobody names these keys any more."""
    other = AsyncDistributedCache(store, OPTIONS)
    for number in range(30):
        run(other.put(f"{number % 3}", b"1"))
    run(other.put_policy(b'{"history": {"keep": 1}}'))
    run(other.close())
    made = AsyncDistributedCache(store, OPTIONS)
    run(_start(made))
    assert until(lambda: [len(traces(store, key)) for key in "012"] == [1, 1, 1])
    run(made.close())


def test_without_history_no_record_is_left_and_none_is_kept(store: FakeStore, cache: AsyncDistributedCache) -> None:
    first = put(cache, "a", b"1")
    run(cache.put_policy(b'{"history": {"keep": 0}}'))
    put(cache, "a", b"2")
    assert until(lambda: traces(store, "a") == [])
    put(cache, "b", b"1")
    assert traces(store, "b") == []
    run(cache.put_policy(b'{"history": {"keep": 3}}'))
    assert until(lambda: past(store, "a").began > 0)
    later = put(cache, "a", b"3")
    put(cache, "a", b"4")
    forget(store)
    assert at(cache, "a", later) == b"3"
    with pytest.raises(Compacted):
        at(cache, "a", first)


@pytest.mark.parametrize("keep", [0, 3])
def test_a_plan_says_that_what_has_left_no_record_may_be_missing(
    store: FakeStore, cache: AsyncDistributedCache, keep: int
) -> None:
    """1. No history is kept; 2. a document is deleted; 3. etcd forgets, and nothing names the document any more. To
    plan the way back as if nothing had been there would lose it. Found by seed 51 of the simulation."""
    there = put(cache, "t/gone", b"1")
    run(cache.put_policy(b'{"history": {"keep": 0}}'))
    run(cache.delete("t/gone"))
    if keep:
        run(cache.put_policy(b'{"history": {"keep": 3}}'))
        assert until(lambda: past(store, "a").began > 0)
    kept = put(cache, "t/kept", b"2")
    gone = run(cache.delete("t/kept")).revision if keep else 0
    forget(store)
    plan = run(cache.plan("t/", there))
    assert ("t/", "no") in [(key, "no" if "has left no name" in why else why) for key, why in plan.unknowable]
    if keep:
        later = run(cache.plan("t/", kept))
        assert ([step.after for step in later.steps], later.unknowable, gone > kept) == ([b"2"], (), True)


def test_a_write_of_an_instance_that_knows_no_history_begins_it_anew(
    store: FakeStore, cache: AsyncDistributedCache
) -> None:
    """While a release before this one still runs: what it writes leaves no record."""
    first = put(cache, "a", b"1")
    began = past(store, "a").began
    store.put_outside("a", b"2")
    store.put_version(VersionRecord("0" * 32, frozenset({"a"}), "put"))
    assert until(lambda: past(store, "a").began > began)
    put(cache, "a", b"3")
    forget(store)
    with pytest.raises(Compacted):
        at(cache, "a", first)


def run_later(cache: AsyncDistributedCache, key: str) -> Meanwhile[object]:
    return Meanwhile(cache.put(key, b"1", author=Author(key)))
