"""Rule 13: who leaves in order hands its last look over, so that the next auditor has something to compare with."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest

from consistency import DistributedCache, Scope, Source
from consistency.core.events import AuditFound
from consistency.core.model import Departure, Look, VersionState
from consistency.instance.auditor import Auditor
from consistency.instance.last_looks import LastLooks
from tests.instance.fleet import DEADLINE, Background, Journal, await_status, started
from tests.instance.test_audit import EAGER, NEVER, audit, await_audits
from tests.support.driver import run
from tests.support.fake_store import FakeStore
from tests.support.gates import At

K = Scope(frozenset({"k"}))
LATER = dataclasses.replace(NEVER, preferred_slot=5)
STILL_LATER = dataclasses.replace(NEVER, preferred_slot=6)


class Inside:
    """An auditor of an instance that has none of its own, to be run by hand."""

    def __init__(self, cache: DistributedCache, store: FakeStore) -> None:
        self.cache, self.store, self.journal = cache, store, Journal()
        inner = cache._cache
        self.looks = LastLooks(inner._state, inner._fleet, inner._feed.past)
        self._auditor = Auditor(
            store, inner._state, inner._fleet, self.looks, interval=0.05, timeout=1, observer=self.journal
        )

    def audit(self) -> None:
        audit(self._auditor, self.cache, self.store)

    def versions_told(self) -> int:
        """By one audit."""
        before = self.store.calls["commit"]
        self.audit()
        return self.store.calls["commit"] - before

    def found(self) -> int:
        return sum(event.documents for event in self.journal.all(AuditFound) if isinstance(event, AuditFound))


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@pytest.fixture
def second(store: FakeStore) -> Iterator[Inside]:
    """It has k and other in memory, and was there while the first one audited, and left."""
    with started(store, LATER) as cache:
        cache.put("k", b"1")
        cache.put("other", b"1")
        leave_a_look(store, cache)
        for key in ("k", "other"):
            cache.get(key)
        yield Inside(cache, store)


def leave_a_look(store: FakeStore, cache: DistributedCache) -> None:
    """Of one that audits in a lower slot, leaves, and is seen to have left."""
    with started(store, EAGER) as first:
        await_audits(first, store, 3)
    await_status(cache, lambda status: len(status.members) == 1)


def test_who_comes_to_audit_goes_on_from_the_look_that_was_handed_over(second: Inside) -> None:
    """So a fleet that is renewed validates nothing, and resets nobody (rule 18)."""
    assert second.versions_told() == 0
    assert [second.cache.get(key).source for key in ("k", "other")] == [Source.HIT] * 2


def test_what_was_written_from_outside_meanwhile_is_found_by_name(store: FakeStore, second: Inside) -> None:
    store.put_outside("k", b"2")
    assert (second.versions_told(), second.found()) == (1, 1)
    assert second.cache.get("k").value == b"2"
    assert second.cache.get("other").source is Source.HIT


def test_what_was_deleted_from_outside_meanwhile_is_found(store: FakeStore, second: Inside) -> None:
    store.delete_outside("k")
    assert (second.versions_told(), second.found()) == (1, 1)
    assert second.cache.get("k").value is None


def test_who_has_not_seen_the_versions_since_reads_them(store: FakeStore, second: Inside) -> None:
    """1. A look is handed over; 2. the fleet writes; 3. somebody starts, and comes to audit."""
    for number in range(3):
        second.cache.put(f"new{number}", b"1")
    store.put_outside("k", b"2")
    with started(store, NEVER) as cache:
        third = Inside(cache, store)
        assert (third.versions_told(), third.found(), store.calls["versions"]) == (1, 1, 1)
        await_status(second.cache, lambda status: status.horizon >= cache.status().horizon)
        assert second.cache.get("k").value == b"2"
        assert second.cache.get("other").source is Source.HIT


def test_what_has_been_compacted_is_no_way_to_go_on(store: FakeStore, second: Inside) -> None:
    second.cache.put("new", b"1")
    store.compact(store.revision)
    with started(store, NEVER) as cache:
        third = Inside(cache, store)
        assert (third.versions_told(), third.found()) == (1, 0)


@pytest.mark.parametrize("revision", [0, 1_000_000], ids=["of ours", "not reached"])
def test_a_look_at_another_history_is_nothing_to_compare_with(store: FakeStore, second: Inside, revision: int) -> None:
    """1. A backup is restored; 2. somebody that has not heard of it leaves. Its look is the last one."""
    second.cache.put("new", b"1")
    there = second.cache._cache._state._fresh.history.applied
    other = VersionState(revision or there.revision, there.created, there.count, "nonce of another")
    lease = run(store.grant(60, timeout=1)).id
    run(store.record(Departure(99, 0, "left", 5.0, "{}", Look(other, 9)), lease, timeout=1))
    await_status(second.cache, lambda status: len(status.departed) == 2)
    assert (second.versions_told(), second.found()) == (1, 0)
    assert second.versions_told() == 0, "it goes on from its own look"


def test_the_last_of_several_looks_is_the_one_to_go_on_from(store: FakeStore, second: Inside) -> None:
    """1. A look is handed over; 2. somebody else audits, finds a deletion, tells it, and leaves; 3. a third comes.

    To compare with the first look would be to find the deletion a second time, and to reset all once more.
    """
    store.delete_outside("k")
    leave_a_look(store, second.cache)
    second.cache.get("other")
    assert (second.versions_told(), second.found()) == (0, 0)
    assert second.cache.get("other").source is Source.HIT


def test_who_was_lost_has_handed_nothing_over(store: FakeStore) -> None:
    with started(store, EAGER) as first, started(store, LATER) as cache:
        second = Inside(cache, store)
        await_audits(first, store, 3)
        gate = store.hold("claim", At.REQUEST)
        store.vanish(first._cache._state.lease)
        gate.wait_until_held()
        await_status(cache, lambda status: [member.slot for member in status.members] == [5])
        assert second.versions_told() == 1
        gate.release()


def test_what_is_handed_over_holds_at_a_version(store: FakeStore, second: Inside) -> None:
    """It is what was there at that version: what has come since from outside has no part in it, told or not."""
    assert second.looks.ours() is None
    second.audit()
    look = second.looks.ours()
    assert look is not None
    documents = look.documents
    second.cache.put("ours", b"1")
    store.put_outside("outside", b"1")
    second.audit()
    assert second.looks.ours() == look, "the one before it"
    second.cache.put("ours", b"2")
    second.audit()
    after = second.looks.ours()
    assert after is not None
    assert (after.documents, after.version) == (documents + 2, second.cache._cache._state._fresh.history.applied)


def test_a_first_look_is_not_handed_over(store: FakeStore) -> None:
    """What came before it from outside may be later than the version before it."""
    with started(store, LATER) as cache:
        only = Inside(cache, store)
        cache.put("k", b"1")
        assert only.versions_told() == 1
        assert only.looks.ours() is None
        assert only.versions_told() == 0
        assert only.looks.ours() is not None


def test_a_first_look_at_an_empty_fleet_is_not_handed_over_before_the_next_version(store: FakeStore) -> None:
    """1. k is deleted from outside; 2. a first look, and another one. At the version before them k was there."""
    with started(store, NEVER) as cache:
        cache.put("k", b"1")
    store.delete_outside("k")
    with started(store, EAGER) as cache:
        looks = store.calls["touched"]
        for _ in range(2):
            store.put_raw(b"elsewhere", b"")
            await_status(cache, lambda status: status.horizon >= store.revision)
            await_status(cache, lambda _, least=looks + 1: store.calls["touched"] >= least)  # type: ignore[misc]
            looks = store.calls["touched"]
        assert cache._cache._parts.membership._last_look() is None
        await_audits(cache, store, 3)
        assert cache._cache._parts.membership._last_look() is not None


def test_a_look_at_a_history_that_was_lost_is_not_handed_over(store: FakeStore, second: Inside) -> None:
    saved = store.snapshot()
    second.cache.put("new", b"1")
    second.audit()
    assert second.looks.ours() is not None
    store.restore(saved)
    await_status(second.cache, lambda _: second.looks.ours() is None)


def test_who_follows_is_told_what_was_written_while_the_fleet_was_empty(store: FakeStore) -> None:
    """1. All have left; 2. k is put from outside; 3. somebody comes, and so does a client that has followed k."""
    with started(store, EAGER) as first:
        first.put("k", b"1")
        await_audits(first, store, 3)
        since = first.changes(K).to
    store.put_outside("k", b"2")
    with started(store, EAGER) as cache:
        told = Background(lambda: cache.changes(K, after=since, wait=DEADLINE)).result()
        assert ([(change.key, change.value) for change in told.changes], told.reset) == ([("k", b"2")], "")


@pytest.mark.parametrize(
    "nonsense", [None, 1, {}, {"revision": 1}, Look(VersionState(1, 1, 1, "n"), -1).told(), {"revision": "1"}]
)
def test_what_is_no_look_is_none(nonsense: object) -> None:
    assert Look.of(nonsense) is None
    look = Look(VersionState(5, 1, 3, "n"), 7)
    assert Look.of(look.told()) == look
