"""The watch (rules 6, 7, 8) and the prover, on a store that misbehaves on demand."""

from __future__ import annotations

import asyncio

import pytest

from consistency import AsyncDistributedCache, Reading, Source, Status
from consistency.core.events import Left, TimeWentBackwards, WatchEnded, WatchStarted, WorkerFailed
from consistency.core.model import MemberEvent, VersionRecord
from consistency.core.store import Compacted, Denied, Unavailable
from consistency.instance import patrol
from consistency.tasks import Worker
from tests.instance.fleet import QUICK, Journal, await_status, started
from tests.support.driver import run, until
from tests.support.fake_store import FakeStore


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


def started_again(journal: Journal, *, kept: bool) -> None:
    journal.await_event(lambda event: isinstance(event, WatchStarted) and event.history_kept is kept)


def test_the_first_instance_founds_the_history(store: FakeStore) -> None:
    with started(store):
        assert run(store.survey(None, timeout=1)).version.count == 1
    with started(store):
        assert run(store.survey(None, timeout=1)).version.count == 1, "only the first one does"


@pytest.mark.parametrize("cause", ["unavailable", "denied"])
def test_a_stream_that_ends_is_replaced_and_nothing_is_lost(store: FakeStore, cause: str) -> None:
    journal = Journal()
    with started(store, journal=journal) as cache:
        cache.put("k", b"1")
        cache.get("k")
        journal.clear()
        store.cut_watch(Denied("no") if cause == "denied" else Unavailable("cut"))
        started_again(journal, kept=True)
        assert any(isinstance(e, WatchEnded) and e.cause == cause for e in journal.all(WatchEnded))
        assert cache.get("k").source is Source.HIT


def test_writes_during_an_outage_of_the_watch_are_seen_after_it(store: FakeStore) -> None:
    journal = Journal()
    with started(store, journal=journal) as one, started(store) as two:
        two.put("k", b"1")
        one.get("k")
        gate = store.hold("survey")
        store.cut_watch()
        gate.wait_until_held()
        token = two.put("k", b"2").revision
        gate.release()
        assert one.get("k", min_revision=token).value == b"2"
        await_status(one, lambda status: status.horizon >= token)
        assert one.get("k").value == b"2"


@pytest.mark.fault("compaction past our horizon while cut off")
def test_a_compaction_past_the_horizon_drops_the_entries(store: FakeStore) -> None:
    """Fault matrix: cut off while the history is compacted; one load per key afterwards."""
    journal = Journal()
    with started(store, journal=journal) as cache:
        cache.put("k", b"1")
        cache.get("k")
        journal.clear()
        gate = store.hold("survey")
        store.cut_watch()
        gate.wait_until_held()
        store.put_version(VersionRecord("x", frozenset({"other"}), "put"))
        store.compact(store.revision)
        gate.fail(Unavailable("cut"))
        started_again(journal, kept=False)
        await_status(cache, lambda status: status.fresh)
        assert [cache.get("k").source for _ in range(2)] == [Source.MISS, Source.HIT]


def test_a_stream_refused_for_its_start_revision_starts_from_a_new_survey(store: FakeStore) -> None:
    """1. the survey says "go on after r"; 2. r is compacted; 3. the stream is refused: a gap, history still ours."""
    journal = Journal()
    with started(store, journal=journal) as cache:
        journal.clear()
        store.hold("watch").fail(Compacted("compacted meanwhile"))
        store.cut_watch()
        started_again(journal, kept=True)
        assert any(isinstance(e, WatchEnded) and e.cause == "compacted" for e in journal.all(WatchEnded))
        await_status(cache, lambda status: status.fresh)


def test_a_deleted_version_key_is_founded_again(store: FakeStore) -> None:
    journal = Journal()
    with started(store, journal=journal) as cache:
        cache.put("k", b"1")
        cache.get("k")
        journal.clear()
        store.delete_version()
        journal.await_event(lambda event: isinstance(event, WatchStarted))
        await_status(cache, lambda status: status.fresh and status.watch_up and status.slot is not None)
        assert run(store.survey(None, timeout=1)).version.count == 1
        cache.put("k", b"2")
        assert cache.get("k").value == b"2"
        assert not journal.all(WorkerFailed)


def test_a_restore_makes_the_instance_start_over(store: FakeStore) -> None:
    """Rule 8: drop all, rejoin."""
    journal = Journal()
    with started(store, journal=journal) as cache:
        cache.put("k", b"1")
        saved = store.snapshot()
        cache.put("k", b"2")
        cache.get("k")
        store.restore(saved)
        journal.await_event(lambda event: isinstance(event, TimeWentBackwards))
        journal.await_event(lambda event: event == Left(0, "history"))
        await_status(cache, lambda status: status.fresh and status.watch_up and status.slot is not None)
        assert cache.get("k").value == b"1"


@pytest.mark.fault("only the watch broken")
def test_a_watch_that_is_up_but_silent_is_restarted(store: FakeStore) -> None:
    """Silence is not health: the proofs see versions that the stream does not bring."""
    journal = Journal()
    with started(store, journal=journal) as cache:
        cache.put("k", b"1")
        cache.get("k")
        store.deafen_watch()
        store.put_version(VersionRecord("x", frozenset({"k"}), "put"))
        journal.await_event(lambda event: isinstance(event, WatchEnded) and event.cause == "stuck")
        await_status(cache, lambda status: status.fresh)


@pytest.mark.fault("only the watch broken")
def test_a_watch_that_is_silent_is_restarted_though_nobody_writes(store: FakeStore) -> None:
    """Found by seed 331 of the simulation. 1. The watch falls silent; 2. the slot is lost, and another is claimed;
    3. nobody writes a version: the fleet that the watch has told lacks us, so the audit, which is ours, is not done."""
    journal = Journal()
    with started(store, journal=journal) as cache:
        store.deafen_watch()
        store.vanish(cache.status().lease)
        journal.await_event(lambda event: isinstance(event, WatchEnded) and event.cause == "stuck")
        await_status(cache, lambda status: [each.slot for each in status.members] == [status.slot])


@pytest.mark.fault("only the watch broken")
def test_a_watch_that_is_silent_about_who_has_gone_is_restarted(
    store: FakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1. The watch falls silent; 2. the instance in the lowest slot goes; 3. nobody writes a version, and no audit is
    done: the one whose turn it is takes another for the lowest."""
    monkeypatch.setattr(patrol, "SILENCE", 0.05)
    journal = Journal()
    with started(store) as lowest, started(store, journal=journal) as cache:
        await_status(cache, lambda status: len(status.members) == 2)
        store.deafen_watch()
        lowest.close()
        journal.await_event(lambda event: isinstance(event, WatchEnded) and event.cause == "stuck")
        await_status(cache, lambda status: [each.slot for each in status.members] == [status.slot])


def test_a_watch_that_has_nothing_to_tell_is_let_be(store: FakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patrol, "SILENCE", 0.02)
    journal = Journal()
    with started(store, journal=journal) as cache:
        asked = store.calls["survey"]
        assert until(lambda: store.calls["survey"] > asked + 3)
        assert cache.status().watch_up
        assert not journal.all(WatchEnded)


def test_a_survey_that_fails_is_tried_again(store: FakeStore) -> None:
    journal = Journal()
    gates = [store.hold("survey") for _ in range(3)]
    for gate in gates:
        gate.fail(Unavailable("not yet"))
    with started(store, journal=journal):
        assert len(journal.all(WatchEnded)) >= 1


def test_closing_ends_a_stream_that_is_being_opened(store: FakeStore) -> None:
    """1. the watch is being opened; 2. the instance closes; 3. the open stream must not be followed for ever."""
    gate = store.hold("watch")
    with started(store, await_fresh=False):
        gate.wait_until_held()
    assert store.streams == 0


def test_after_closing_reads_are_answered_uncached(store: FakeStore) -> None:
    async def use() -> tuple[Reading, Status]:
        cache = AsyncDistributedCache(store, QUICK)
        await cache.put("k", b"1")
        async with cache:
            await cache.get("k")
        return await cache.get("k"), cache.status()

    reading, status = run(use())
    assert reading.source is Source.BYPASS
    assert status.why_not_ready == "this instance is shutting down"


def test_a_worker_that_fails_unexpectedly_says_so_and_starts_over() -> None:
    journal = Journal()
    runs: list[int] = []

    async def work(_: Worker) -> None:
        runs.append(1)
        if len(runs) == 1:
            raise ZeroDivisionError("never expected")
        await asyncio.Event().wait()

    async def live() -> bool:
        worker = Worker("fragile", work, journal)
        worker.start()
        await asyncio.sleep(0)
        worker.wake()
        while len(runs) < 2:
            await asyncio.sleep(0.001)
        worker.cancel()
        return await worker.ended(10)

    assert run(live())
    assert journal.all(WorkerFailed) == [WorkerFailed("fragile", "ZeroDivisionError: never expected")]


def test_member_events_of_other_slots_cast_no_doubt(store: FakeStore) -> None:
    with started(store) as cache:
        assert not cache._cache._state.doubts(MemberEvent(store.revision, 9, None))
        assert cache.status().fresh
