"""The fake's own hand: gates, paused streams, time turned back. What else it does is in the contract suite."""

from __future__ import annotations

from contextlib import suppress

import pytest

from consistency.core.model import VersionEvent
from consistency.core.store import NoSpace, OutcomeUnknown, Put, ReadAnswer, Unavailable, Want
from tests.etcd.conftest import TIMEOUT, version
from tests.support.driver import Meanwhile, each, run
from tests.support.fake_store import FakeStore
from tests.support.fake_watch import FakeStream
from tests.support.gates import At, ForgottenGateError


def put(store: FakeStore, value: bytes) -> int:
    return run(store.commit([Put("a", value)], version("a"), timeout=TIMEOUT)).header.revision


def read(store: FakeStore) -> ReadAnswer:
    return run(store.read([Want("a")], None, timeout=TIMEOUT))


def value(answer: ReadAnswer) -> bytes | None:
    return answer.found[0].document.data if answer.found[0].document else None


def test_a_read_held_at_its_answer_does_not_see_what_comes_after(fake_store: FakeStore) -> None:
    """An answer on its way while a write commits."""
    put(fake_store, b"1")
    gate = fake_store.hold("read")
    reading = Meanwhile(fake_store.read([Want("a")], None, timeout=TIMEOUT))
    gate.wait_until_held()
    put(fake_store, b"2")
    gate.release()
    assert value(reading.result()) == b"1"


def test_a_read_held_at_its_request_sees_what_comes_before(fake_store: FakeStore) -> None:
    """A request on its way while a write commits."""
    gate = fake_store.hold("read", At.REQUEST)
    reading = Meanwhile(fake_store.read([Want("a")], None, timeout=TIMEOUT))
    gate.wait_until_held()
    put(fake_store, b"2")
    gate.release()
    assert value(reading.result()) == b"2"


@pytest.mark.parametrize(("at", "happened"), [(At.REQUEST, None), (At.ANSWER, b"1")])
def test_a_failed_write_has_happened_or_not_as_the_test_wants(
    fake_store: FakeStore, at: At, happened: bytes | None
) -> None:
    """Outcome unknown, both ways."""
    fake_store.hold("commit", at).fail(OutcomeUnknown("lost"))
    with pytest.raises(OutcomeUnknown):
        put(fake_store, b"1")
    assert fake_store.document("a") == happened


def test_gates_hold_one_call_each_in_turn(fake_store: FakeStore) -> None:
    """The first gate meets the first call, and other kinds pass."""
    fake_store.hold("read").fail(Unavailable("first"))
    fake_store.hold("read").fail(Unavailable("second"))
    put(fake_store, b"1")
    for expected in ("first", "second"):
        with pytest.raises(Unavailable, match=expected):
            read(fake_store)
    assert value(read(fake_store)) == b"1"


def test_a_gate_that_nobody_comes_to_fails_loudly(fake_store: FakeStore) -> None:
    """A test that waits for nothing must not hang."""
    with pytest.raises(ForgottenGateError, match="no read came"):
        fake_store.hold("read").wait_until_held(0.01)


def test_a_paused_watch_delivers_step_by_step(fake_store: FakeStore) -> None:
    """Events lag behind the answers of reads, as far as the test wants."""
    seen: list[int] = []
    Meanwhile(follow(run(fake_store.watch(1, 1, timeout=TIMEOUT)), seen))
    fake_store.pause_watch()
    revisions = [put(fake_store, b"1") for _ in range(4)]
    fake_store.step_watch()
    assert seen == revisions[:1]
    fake_store.step_watch(2)
    assert seen == revisions[:3]
    fake_store.resume_watch()
    fake_store.settle_watch()
    assert seen == revisions


async def follow(stream: FakeStream, seen: list[int]) -> None:
    """Until the store is closed."""
    with suppress(Unavailable):
        async for event in stream:
            assert isinstance(event, VersionEvent)
            seen.append(event.state.revision)


def test_stepping_further_than_there_are_events_fails_loudly(fake_store: FakeStore) -> None:
    """A test that expects an event which never was is wrong."""
    run(fake_store.watch(1, 1, timeout=TIMEOUT))
    fake_store.pause_watch()
    with pytest.raises(ForgottenGateError, match="asked to deliver 1"):
        fake_store.step_watch()


def test_a_deafened_watch_stays_open_and_sees_nothing_more(fake_store: FakeStore) -> None:
    """Silence is not health (rule 7); a stream opened later sees."""
    seen: list[int] = []
    Meanwhile(follow(run(fake_store.watch(1, 1, timeout=TIMEOUT)), seen))
    fake_store.deafen_watch()
    revision = put(fake_store, b"1")
    fake_store.settle_watch()
    assert seen == []
    Meanwhile(follow(run(fake_store.watch(1, 1, timeout=TIMEOUT)), seen))
    fake_store.settle_watch()
    assert seen == [revision]


def test_a_store_without_space_refuses_writes_only(fake_store: FakeStore) -> None:
    """Fault matrix: NOSPACE."""
    lease = run(fake_store.grant(10, timeout=TIMEOUT)).id
    run(fake_store.claim(1, lease, "{}", timeout=TIMEOUT))
    fake_store.no_space = True
    for write in (
        lambda: put(fake_store, b"1"),
        lambda: run(fake_store.grant(10, timeout=TIMEOUT)),
        lambda: run(fake_store.claim(0, lease, "{}", timeout=TIMEOUT)),
        lambda: run(fake_store.acknowledge(1, lease, 1, timeout=TIMEOUT)),
    ):
        with pytest.raises(NoSpace):
            write()
    assert not read(fake_store).found[0].present


def test_a_cut_watch_loses_what_it_had_not_delivered(fake_store: FakeStore) -> None:
    """And a later one, from the right revision, brings it."""
    stream = run(fake_store.watch(1, 1, timeout=TIMEOUT))
    fake_store.pause_watch()
    revision = put(fake_store, b"1")
    fake_store.cut_watch()
    with pytest.raises(Unavailable, match="cut"):
        next(each(stream))
    fake_store.resume_watch()
    event = next(each(run(fake_store.watch(revision, revision, timeout=TIMEOUT))))
    assert isinstance(event, VersionEvent)
    assert event.state.revision == revision


def test_a_restored_store_goes_on_from_the_past_under_the_same_name(fake_store: FakeStore) -> None:
    """Hazard: same cluster id; the same revision bears another write (rule 8)."""
    put(fake_store, b"old")
    saved = fake_store.snapshot()
    lost = put(fake_store, b"lost")
    before = read(fake_store)
    fake_store.restore(saved)
    assert value(read(fake_store)) == b"old"
    assert put(fake_store, b"new") == lost
    after = read(fake_store)
    assert after.header == before.header
    assert after.version.nonce != before.version.nonce


def test_a_watch_from_beyond_a_restored_history_stays_silent(fake_store: FakeStore) -> None:
    """Hazard: it is accepted and says nothing."""
    saved = fake_store.snapshot()
    for _ in range(3):
        put(fake_store, b"1")
    fake_store.restore(saved)
    stream = run(fake_store.watch(5, 5, timeout=TIMEOUT))
    silence = Meanwhile(follow(stream, []))
    put(fake_store, b"2")
    fake_store.settle_watch()
    assert silence.running
    stream.close()
    silence.result()


def test_an_expired_lease_frees_its_slot_when_its_time_has_come(fake_store: FakeStore) -> None:
    """Rule 9; the clock is moved by hand, and a renewal starts it anew."""
    lease = run(fake_store.grant(10, timeout=TIMEOUT))
    run(fake_store.claim(3, lease.id, "{}", timeout=TIMEOUT))
    fake_store.advance(9)
    run(fake_store.keep_alive(lease.id, timeout=TIMEOUT))
    fake_store.advance(9)
    assert run(fake_store.read([], 3, timeout=TIMEOUT)).member == lease.id
    fake_store.advance(1)
    assert run(fake_store.read([], 3, timeout=TIMEOUT)).member == 0
    assert run(fake_store.keep_alive(lease.id, timeout=TIMEOUT)) == 0


def test_an_acknowledgement_vanishes_with_its_lease(fake_store: FakeStore) -> None:
    """Rule 12: as in etcd; the next holder of the slot begins without one."""
    lease = run(fake_store.grant(10, timeout=TIMEOUT)).id
    run(fake_store.claim(3, lease, "{}", timeout=TIMEOUT))
    run(fake_store.acknowledge(3, lease, 5, timeout=TIMEOUT))
    assert fake_store.snapshot().get(fake_store.layout.ack(3)) is not None
    fake_store.vanish(lease)
    assert fake_store.snapshot().get(fake_store.layout.ack(3)) is None


def test_an_unreachable_store_does_nothing(fake_store: FakeStore) -> None:
    """Unavailable means that nothing was done."""
    fake_store.reachable = False
    with pytest.raises(Unavailable):
        put(fake_store, b"1")
    fake_store.reachable = True
    assert fake_store.document("a") is None


def test_calls_and_values_moved_are_counted(fake_store: FakeStore) -> None:
    """What the protocol's tests claim about costs."""
    revision = put(fake_store, b"1")
    run(fake_store.read([Want("a"), Want("a", revision), Want("b")], None, timeout=TIMEOUT))
    assert (fake_store.calls["read"], fake_store.wants_asked, fake_store.values_moved) == (1, 3, 1)
