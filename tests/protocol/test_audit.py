"""Rule 13: what was written past the version key is found, told to the fleet, and counted."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator

import pytest

from consistency import DistributedCache, Source
from consistency.audit import Auditor, Baseline, perhaps_deleted, undone, unexplained, vanished
from consistency.events import AuditFound, Invalidated
from consistency.store import Header, Listed, Touched
from consistency.terms import VersionEvent, VersionState
from tests.protocol.fleet import QUICK, Journal, await_status, started
from tests.support.fake_store import FakeStore
from tests.support.gates import At

EAGER = dataclasses.replace(QUICK, audit_interval=0.05)
NEVER = dataclasses.replace(QUICK, audit_interval=3600.0)
BEFORE = Baseline(epoch=0, revision=10, count=3)


def touched(*keys: tuple[str, int, int], count: int = 3) -> Touched:
    """Keys with mod_revision and create_revision."""
    listed = tuple(Listed(*key) for key in keys)
    return Touched(Header(1, 20), VersionState(20, 1, 20, "n"), count, listed, complete=True)


def versions(**names: str | None) -> list[VersionEvent]:
    """`r11="ab"`: the version of revision 11 put a and b; `d12="c"`: that of 12 deleted c; None: anything."""
    return [
        VersionEvent(
            VersionState(int(at[1:]), 1, int(at[1:]), "n"),
            None if some is None else frozenset(some),
            op={"r": "put", "d": "delete", "b": "batch"}[at[0]],
        )
        for at, some in names.items()
    ]


class TestComparison:
    """Pure."""

    def test_a_write_that_its_version_names_is_explained(self) -> None:
        assert unexplained(touched(("a", 11, 5)), versions(r11="a")) == 0

    def test_a_write_at_a_revision_without_a_version_is_not(self) -> None:
        assert unexplained(touched(("a", 12, 5)), versions(r11="a")) == 1

    def test_a_write_whose_version_names_other_keys_is_not(self) -> None:
        assert unexplained(touched(("a", 11, 5)), versions(r11="b")) == 1

    def test_what_came_before_a_version_that_means_anything_is_covered(self) -> None:
        assert unexplained(touched(("a", 12, 5)), versions(r13=None)) == 0
        assert unexplained(touched(("a", 14, 5)), versions(r13=None)) == 1

    def test_deletions_are_counted_though_keys_come_and_come_back(self) -> None:
        assert vanished(BEFORE, touched(count=3)) == 0
        assert vanished(BEFORE, touched(count=2)) == 1
        assert vanished(BEFORE, touched(("new", 12, 12), count=3)) == 1
        assert vanished(BEFORE, touched(("back", 15, 15), count=3)) == 1

    def test_what_has_lived_on_was_not_deleted(self) -> None:
        events = versions(r11="ab", r12="c", r13=None)
        assert perhaps_deleted(BEFORE, touched(("a", 11, 5), ("c", 12, 12)), events) == ["b", "c"]

    def test_what_a_version_has_put_and_nobody_has_deleted_must_be_there(self) -> None:
        assert undone(touched(("a", 11, 5)), versions(r11="ab")) == 1
        assert undone(touched(("a", 11, 5)), versions(r11="ab", d12="b")) == 0
        assert undone(touched(("a", 11, 5)), versions(d11="ab", r12="b")) == 1
        assert undone(touched(("a", 11, 5)), versions(r11="a", b12="ab")) == 0


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@pytest.fixture
def journal() -> Journal:
    return Journal()


@pytest.fixture
def cache(store: FakeStore, journal: Journal) -> Iterator[DistributedCache]:
    with started(store, EAGER, journal=journal) as cache:
        cache.put("k", b"1")
        cache.put("other", b"1")
        cache.get("k")
        await_audits(cache, store, 2)
        yield cache


def await_audits(cache: DistributedCache, store: FakeStore, count: int) -> None:
    """Until so many more audits have looked: the last but one is over by then. A write gives each something to see."""
    pause = threading.Event()
    for number in range(count):
        before = store.calls["touched"]
        cache.put("tick", str(number).encode())
        for _ in range(2000):
            if store.calls["touched"] > before:
                break
            pause.wait(0.005)
        else:
            raise AssertionError("nobody audits")


def invalidated(journal: Journal) -> None:
    journal.await_event(lambda event: isinstance(event, Invalidated) and event.cause == "everything")


def test_a_document_put_from_outside_is_seen(store: FakeStore, cache: DistributedCache, journal: Journal) -> None:
    assert cache.get("k").source is Source.HIT
    store.put_outside("k", b"2")
    journal.await_event(lambda event: event == AuditFound(1))
    invalidated(journal)
    assert cache.get("k").value == b"2"


def test_a_document_deleted_from_outside_is_seen(store: FakeStore, cache: DistributedCache, journal: Journal) -> None:
    assert cache.get("k").source is Source.HIT
    store.delete_outside("k")
    journal.await_event(lambda event: event == AuditFound(1))
    invalidated(journal)
    assert cache.get("k").value is None


@pytest.mark.fault("outside write (etcdctl)")
def test_a_deletion_from_outside_is_seen_among_our_own(
    store: FakeStore, cache: DistributedCache, journal: Journal
) -> None:
    gate = store.hold("touched", At.REQUEST)
    cache.put("tick", b"now")
    gate.wait_until_held()
    cache.delete("other")
    cache.put("new", b"1")
    cache.put("short", b"1")
    cache.delete("short")
    store.delete_outside("k")
    gate.release()
    journal.await_event(lambda event: event == AuditFound(1))


def test_a_deletion_from_outside_of_what_was_just_put_is_seen(
    store: FakeStore, cache: DistributedCache, journal: Journal
) -> None:
    gate = store.hold("touched", At.REQUEST)
    cache.put("tick", b"now")
    gate.wait_until_held()
    cache.put("k", b"2")
    store.delete_outside("k")
    gate.release()
    journal.await_event(lambda event: event == AuditFound(1))


def test_what_the_service_does_itself_is_never_taken_for_an_outside_write(
    store: FakeStore, cache: DistributedCache, journal: Journal
) -> None:
    for number in range(60):
        cache.put("k", str(number).encode())
        cache.put(f"new{number}", b"1")
        if number % 3 == 0:
            cache.delete(f"new{number}")
        if number % 5 == 0:
            cache.delete("k")
        if number % 20 == 0:
            await_audits(cache, store, 1)
    await_audits(cache, store, 3)
    assert journal.all(AuditFound) == []


def test_while_nothing_is_written_an_audit_looks_at_nothing(store: FakeStore, journal: Journal) -> None:
    """It would have to go through all documents. The proofs show that etcd's revision stands still."""

    class Pauses:
        stopping = False

        def pause(self, seconds: float) -> None:
            assert seconds == 0.05

    with started(store, NEVER) as cache:
        auditor = Auditor(store, cache._state, cache._fleet, interval=0.05, timeout=1, observer=journal)
        cache.put("a", b"1")
        for expected in (1, 1, 1, 2, 2):
            if expected == 2 and store.calls["touched"] == 1:
                store.put_outside("a", b"2")
                cache._reads.prove()
            auditor.run(Pauses())  # type: ignore[arg-type]
            assert store.calls["touched"] == expected
    assert journal.all(AuditFound) == [AuditFound(1)]


def test_only_the_member_in_the_lowest_slot_audits(store: FakeStore, journal: Journal) -> None:
    class Pauses:
        stopping = False

        def pause(self, seconds: float) -> None:
            assert seconds == 0.05

    def audit(cache: DistributedCache) -> None:
        auditor = Auditor(store, cache._state, cache._fleet, interval=0.05, timeout=1, observer=journal)
        auditor.run(Pauses())  # type: ignore[arg-type]

    with started(store, NEVER) as first, started(store, NEVER) as second:
        await_status(second, lambda status: len(status.members) == 2)
        audit(second)
        assert store.calls["touched"] == 0
        audit(first)
        assert store.calls["touched"] == 1
        first.close()
        await_status(second, lambda status: len(status.members) == 1)
        audit(second)
        assert store.calls["touched"] == 2
