"""Rule 13: what was written past the version key is found, told to the fleet, and counted."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator

import pytest

from consistency import DistributedCache, Scope, Source, Unavailable
from consistency.core.events import AuditFound, Invalidated, WatchStarted
from consistency.core.model import VersionEvent, VersionRecord, VersionState, new_nonce
from consistency.core.store import Header, Listed, Touched
from consistency.instance.auditor import Auditor, Baseline, Outside, perhaps_deleted, undone, unexplained, vanished
from consistency.instance.fleet import Fleet
from consistency.instance.last_looks import LastLooks
from tests.instance.fleet import DEADLINE, QUICK, Background, Journal, await_status, started
from tests.instance.hand import Hand, write
from tests.support.driver import Meanwhile, run
from tests.support.fake_store import FakeStore
from tests.support.gates import At

EAGER = dataclasses.replace(QUICK, audit_interval=0.05)
NEVER = dataclasses.replace(QUICK, audit_interval=3600.0)
K = Scope(frozenset({"k"}))
BEFORE = Baseline(revision=10, version=VersionState(10, 1, 10, "m"), count=3)


def touched(*keys: tuple[str, int, int], count: int = 3) -> Touched:
    """Keys with mod_revision and create_revision."""
    listed = tuple(Listed(*key) for key in keys)
    return Touched(Header(1, 20), VersionState(20, 1, 20, "n"), count, listed, complete=True)


def versions(**names: str | None) -> list[VersionEvent]:
    """`r11="ab"`: the version of revision 11 put a and b; `d12`: of 12, deleted; `a13`: an audit's; None: anything."""
    return [
        VersionEvent(
            VersionState(int(at[1:]), 1, int(at[1:]), "n"),
            None if some is None else frozenset(some),
            op={"r": "put", "d": "delete", "b": "batch", "a": "audit"}[at[0]],
        )
        for at, some in names.items()
    ]


class TestComparison:
    """Pure."""

    def test_a_write_that_its_version_names_is_explained(self) -> None:
        assert unexplained(touched(("a", 11, 5)), versions(r11="a")) == set()

    def test_a_write_at_a_revision_without_a_version_is_not(self) -> None:
        assert unexplained(touched(("a", 12, 5)), versions(r11="a")) == {"a"}

    def test_a_write_whose_version_names_other_keys_is_not(self) -> None:
        assert unexplained(touched(("a", 11, 5)), versions(r11="b")) == {"a"}

    def test_what_came_before_a_version_that_means_anything_is_covered(self) -> None:
        assert unexplained(touched(("a", 12, 5)), versions(r13=None)) == set()
        assert unexplained(touched(("a", 14, 5)), versions(r13=None)) == {"a"}

    def test_what_an_audit_has_named_is_found_once(self) -> None:
        audited = [VersionEvent(VersionState(13, 1, 4, "n13"), frozenset({"a"}), op="audit")]
        assert unexplained(touched(("a", 12, 5), ("b", 12, 5)), audited) == {"b"}
        assert unexplained(touched(("a", 14, 5)), audited) == {"a"}

    def test_names_are_told_where_all_that_happened_is_known_by_name(self) -> None:
        """Rule 18: then whoever follows others hears nothing of it."""
        assert Outside(frozenset({"a", "b"}), 0).to_tell == frozenset("ab")
        assert Outside(frozenset({"a"}), 1).to_tell is None
        assert Outside(frozenset(str(number) for number in range(101)), 0).to_tell is None

    def test_deletions_are_counted_though_keys_come_and_come_back(self) -> None:
        assert vanished(BEFORE, touched(count=3)) == 0
        assert vanished(BEFORE, touched(count=2)) == 1
        assert vanished(BEFORE, touched(("new", 12, 12), count=3)) == 1
        assert vanished(BEFORE, touched(("back", 15, 15), count=3)) == 1

    def test_what_has_lived_on_was_not_deleted(self) -> None:
        events = versions(r11="ab", r12="c", r13=None)
        assert perhaps_deleted(BEFORE, touched(("a", 11, 5), ("c", 12, 12)), events) == ["b", "c"]

    def test_what_a_version_has_put_and_nobody_has_deleted_must_be_there(self) -> None:
        assert undone(touched(("a", 11, 5)), versions(r11="ab")) == {"b"}
        assert undone(touched(("a", 11, 5)), versions(r11="ab", d12="b")) == set()
        assert undone(touched(("a", 11, 5)), versions(d11="ab", r12="b")) == {"b"}
        assert undone(touched(("a", 11, 5)), versions(r11="a", b12="ab")) == set()

    def test_what_an_audit_names_it_has_not_deleted(self) -> None:
        """1. Put from outside; 2. named by an audit; 3. deleted from outside."""
        assert perhaps_deleted(BEFORE, touched(), versions(a11="a", d12="b")) == ["b"]
        assert undone(touched(("b", 11, 5)), versions(r11="ab", a12="a")) == {"a"}


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
    cache.get("other")
    since = cache.changes(K).to
    told = Background(lambda: cache.changes(K, after=since, wait=DEADLINE))
    store.put_outside("k", b"2")
    journal.await_event(lambda event: event == AuditFound(1))
    assert [(change.key, change.value) for change in told.result().changes] == [("k", b"2")], "by name (rule 18)"
    assert cache.get("k").value == b"2"
    assert cache.get("other").source is Source.HIT


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


class Tick:
    """A worker whose pauses pass at once."""

    async def pause(self, seconds: float) -> None:
        assert seconds == 0.05


def auditor_of(cache: DistributedCache, store: FakeStore, journal: Journal) -> Auditor:
    inner = cache._cache
    looks = LastLooks(inner._state, inner._fleet, inner._feed.past)
    return Auditor(store, inner._state, inner._fleet, looks, interval=0.05, timeout=1, observer=journal)


def audit(auditor: Auditor, cache: DistributedCache, store: FakeStore) -> None:
    """One look at all that has been written, and what it leads to, by an instance that knows who leads."""
    await_status(cache, lambda status: status.slot in [member.slot for member in status.members])
    cache._loop.run(cache._cache._reads.prove())
    cache._loop.run(auditor.run(Tick()))  # type: ignore[arg-type]
    await_status(cache, lambda status: status.horizon >= store.revision)


def test_while_nothing_is_written_an_audit_looks_at_nothing(store: FakeStore, journal: Journal) -> None:
    """It would have to go through all documents. The proofs show that etcd's revision stands still."""
    with started(store, NEVER) as cache:
        auditor = auditor_of(cache, store, journal)
        audit(auditor, cache, store)
        audit(auditor, cache, store)
        looked = store.calls["touched"]
        for _ in range(3):
            audit(auditor, cache, store)
            assert store.calls["touched"] == looked
        store.put_outside("a", b"2")
        audit(auditor, cache, store)
        assert store.calls["touched"] == looked + 1
    assert journal.all(AuditFound) == [AuditFound(1)]


def test_only_the_member_in_the_lowest_slot_audits(store: FakeStore, journal: Journal) -> None:
    with started(store, NEVER) as first, started(store, NEVER) as second:
        await_status(second, lambda status: len(status.members) == 2)
        before = store.calls["touched"]
        audit(auditor_of(second, store, journal), second, store)
        assert store.calls["touched"] == before
        audit(auditor_of(first, store, journal), first, store)
        assert store.calls["touched"] == before + 1
        first.close()
        await_status(second, lambda status: len(status.members) == 1)
        audit(auditor_of(second, store, journal), second, store)
        assert store.calls["touched"] == before + 2


class TestFirstLook:
    """There is none before it to compare with."""

    def test_who_comes_to_an_empty_fleet_has_looked_before_and_hits_go_on(self, store: FakeStore) -> None:
        with started(store, EAGER) as cache:
            cache.put("k", b"1")
            cache.get("k")
            await_audits(cache, store, 1)
            assert store.calls["commit"] == len(("genesis", "k", "tick"))
            assert cache.get("k").source is Source.HIT

    def test_what_was_written_before_it_is_validated_by_all(self, store: FakeStore, journal: Journal) -> None:
        """1. Both hold k; 2. who audits dies; 3. k is put from outside; 4. the other comes to audit."""
        with started(store, NEVER) as first, started(store, NEVER) as second:
            await_status(second, lambda status: len(status.members) == 2)
            second.put("k", b"1")
            second.get("k")
            first.close()
            await_status(second, lambda status: len(status.members) == 1)
            store.put_outside("k", b"2")
            audit(auditor_of(second, store, journal), second, store)
            assert second.get("k").value == b"2"

    def test_it_is_no_beginning_when_somebody_has_joined_meanwhile(self, store: FakeStore, journal: Journal) -> None:
        with started(store, NEVER) as cache:
            auditor = auditor_of(cache, store, journal)
            cache._loop.run(auditor.look_first())
            before = store.calls["commit"]
            audit(auditor, cache, store)
            assert store.calls["commit"] == before + 1

    def test_a_new_stream_that_goes_on_where_the_old_one_ended_needs_none(
        self, store: FakeStore, journal: Journal
    ) -> None:
        with started(store, NEVER, journal=journal) as cache:
            auditor = auditor_of(cache, store, journal)
            audit(auditor, cache, store)
            cache.put("k", b"1")
            cache.get("k")
            journal.clear()
            store.cut_watch()
            store.put_outside("k", b"2")
            journal.await_event(lambda event: isinstance(event, WatchStarted))
            await_status(cache, lambda status: status.watch_up)
            audit(auditor, cache, store)
            assert journal.all(AuditFound) == [AuditFound(1)]
            assert cache.get("k").value == b"2"

    def test_who_audits_again_goes_on_from_its_own_last_look(self, store: FakeStore, journal: Journal) -> None:
        with started(store, dataclasses.replace(NEVER, preferred_slot=1)) as second:
            auditor = auditor_of(second, store, journal)
            audit(auditor, second, store)
            with started(store, dataclasses.replace(NEVER, preferred_slot=0)):
                await_status(second, lambda status: len(status.members) == 2)
                audit(auditor, second, store)
                second.put("k", b"1")
                second.get("k")
                store.put_outside("k", b"2")
            await_status(second, lambda status: len(status.members) == 1)
            audit(auditor, second, store)
            assert journal.all(AuditFound) == [AuditFound(1)]
            assert second.get("k").value == b"2"

    def test_another_history_needs_one(self, store: FakeStore, journal: Journal) -> None:
        with started(store, NEVER, journal=journal) as cache:
            auditor = auditor_of(cache, store, journal)
            audit(auditor, cache, store)
            saved = store.snapshot()
            cache.put("k", b"1")
            audit(auditor, cache, store)
            journal.clear()
            store.restore(saved)
            journal.await_event(lambda event: isinstance(event, WatchStarted))
            await_status(cache, lambda status: status.fresh and status.watch_up)
            before = store.calls["commit"]
            audit(auditor, cache, store)
            assert store.calls["commit"] == before + 1

    def test_a_gap_needs_one(self, store: FakeStore, journal: Journal) -> None:
        """What the versions named that were missed, nobody knows: there is nothing to compare with, now or later."""
        with started(store, NEVER, journal=journal) as cache:
            auditor = auditor_of(cache, store, journal)
            cache.put("k", b"1")
            audit(auditor, cache, store)
            cache.get("k")
            journal.clear()
            store.deafen_watch()
            store.put_version(VersionRecord(new_nonce(), frozenset({"other"}), "put"))
            store.put_outside("k", b"2")
            store.compact(store.revision)
            store.cut_watch()
            journal.await_event(lambda event: isinstance(event, WatchStarted))
            await_status(cache, lambda status: status.fresh and status.watch_up)
            before = store.calls["commit"]
            audit(auditor, cache, store)
            assert store.calls["commit"] == before + 1

    def test_another_history_needs_one_even_if_it_shares_the_version_of_the_last_look(
        self, store: FakeStore, journal: Journal
    ) -> None:
        """1. a backup; 2. others write, the revision rises, no version does; 3. a look; 4. the backup is restored;
        5. a document is written from outside, at a revision below that of the last look.
        """
        with started(store, NEVER, journal=journal) as cache:
            auditor = auditor_of(cache, store, journal)
            cache.put("k", b"1")
            audit(auditor, cache, store)
            saved = store.snapshot()
            for _ in range(40):
                store.put_raw(b"elsewhere", b"")
            audit(auditor, cache, store)
            journal.clear()
            store.restore(saved)
            journal.await_event(lambda event: isinstance(event, WatchStarted))
            await_status(cache, lambda status: status.fresh and status.watch_up)
            cache.get("k")
            store.put_outside("k", b"2")
            for _ in range(40):
                store.put_raw(b"elsewhere", b"")
            audit(auditor, cache, store)
            assert cache.get("k").value == b"2"

    def test_what_is_in_memory_when_the_fleet_is_empty_is_validated_after_it(self, store: FakeStore) -> None:
        """1. k is cached; 2. its holder loses its slot, nobody audits; 3. k is put from outside; 4. it joins again."""
        with started(store, NEVER) as cache:
            cache.put("k", b"1")
            cache.get("k")
            gate = store.hold("survey", At.REQUEST)
            store.vanish(cache._cache._state.lease)
            gate.wait_until_held()
            store.put_outside("k", b"2")
            gate.release()
            await_status(cache, lambda status: status.slot is not None and status.fresh)
            assert cache.get("k").value == b"2"


def test_when_too_much_was_written_to_compare_everything_is_validated(
    store: FakeStore, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consistency.instance.auditor.MOST", 3)
    with started(store, NEVER) as cache:
        auditor = auditor_of(cache, store, journal)
        cache.put("k", b"1")
        audit(auditor, cache, store)
        cache.get("k")
        store.put_outside("k", b"2")
        for number in range(3):
            cache.put(f"other{number}", b"1")
        audit(auditor, cache, store)
        assert cache.get("k").value == b"2"


def test_an_audit_whose_past_is_compacted_has_everything_validated(store: FakeStore, journal: Journal) -> None:
    """Otherwise no audit ever ends again:

    1. an audit looks; 2. another member audits for a while, and etcd is compacted; 3. it is the first one's turn again,
    and what existed at its last look can't be asked any more.
    """
    with started(store, NEVER) as cache:
        auditor = auditor_of(cache, store, journal)
        cache.put("k", b"1")
        audit(auditor, cache, store)
        cache.get("k")
        cache.put("other", b"1")
        store.put_outside("k", b"2")
        store.compact(store.revision)
        audit(auditor, cache, store)
        assert cache.get("k").value == b"2"


def test_what_could_not_be_told_is_found_again(store: FakeStore, journal: Journal) -> None:
    with started(store, NEVER) as cache:
        auditor = auditor_of(cache, store, journal)
        cache.put("k", b"1")
        audit(auditor, cache, store)
        cache.get("k")
        store.put_outside("k", b"2")
        store.hold("commit", At.REQUEST).fail(Unavailable("no endpoint"))
        cache._loop.run(cache._cache._reads.prove())
        cache._loop.run(auditor.run(Tick()))  # type: ignore[arg-type]
        audit(auditor, cache, store)
        assert cache.get("k").value == b"2"


def test_an_audit_that_a_first_look_has_overtaken_is_not_what_the_next_one_compares_with() -> None:
    """1. an audit looks; 2. the slot is lost, somebody writes, and a first look is taken; 3. the audit ends.

    To compare with its older look would be to find what lies between a second time; without the order of the two, an
    older one could be kept for good.
    """
    store = FakeStore()
    hand = Hand(store, slot=None)
    fleet = Fleet(1.0, hand.clock, lambda: 0.0)
    looks = LastLooks(hand.state, fleet, hand.feed.past)
    auditor = Auditor(store, hand.state, fleet, looks, interval=1.0, timeout=1.0, observer=lambda _: None)
    run(auditor.look_first())
    lease = hand.join()
    hand.state.watching(True)
    fleet.stream_began(run(store.survey(None, timeout=1)))
    write(store, "a", b"1")
    hand.deliver()
    gate = store.hold("touched")
    audit = Meanwhile(auditor._audit())
    gate.wait_until_held()
    store.vanish(lease)
    write(store, "b", b"1")
    run(auditor.look_first())
    overtook = auditor._before
    gate.release()
    audit.result()
    assert auditor._before == overtook
