"""Batches and their leaders (rules 4 and 14): who travels together, who sends, who may leave."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from consistency.core.decisions import Ticket
from consistency.core.entries import Entry
from consistency.core.model import NO_VERSION
from consistency.core.store import Answer, Found, Header, Unavailable
from consistency.instance.read_batches import MAX_WANTS, Batch, Batcher, Errand, Part
from tests.instance.hand import PATIENCE, Background, ManualClock


class Road:
    """What batches travel on: each send is held until the test opens it."""

    def __init__(self, lanes: int) -> None:
        self.clock = ManualClock()
        self.sent: list[Batch] = []
        self.timeouts: list[float] = []
        self.error: Exception | None = None
        self._arrivals = threading.Condition()  # protects everything below and above
        self._open = 0
        self._answered: list[Batch] = []
        self._tickets = 0
        self.batcher = Batcher(stamp=self._stamp, send=self._send, clock=self.clock, lanes=lanes)

    def _stamp(self) -> Ticket:
        self._tickets += 1
        return Ticket(self.clock(), epoch=self._tickets, horizon=0, seen=0, slot=None, lease=0)

    def _send(self, batch: Batch, timeout: float) -> None:
        with self._arrivals:
            self.sent.append(batch)
            self.timeouts.append(timeout)
            self._arrivals.notify_all()
            assert self._arrivals.wait_for(lambda: batch in self._answered or self._open > 0, PATIENCE)
            if batch not in self._answered:
                self._open -= 1
            if self.error is not None:
                raise self.error
            assert batch.ticket is not None
            wants = tuple(batch.wants.values())
            answer = Answer(Header(1, 1), NO_VERSION, 0, tuple(Found(False, None) for _ in wants))
            batch.parts = [Part(batch.ticket, wants, answer)]

    def await_sent(self, count: int) -> Batch:
        with self._arrivals:
            assert self._arrivals.wait_for(lambda: len(self.sent) >= count, PATIENCE)
            return self.sent[count - 1]

    def open(self, count: int = 1) -> None:
        with self._arrivals:
            self._open += count
            self._arrivals.notify_all()

    def answer(self, *batches: Batch) -> None:
        """Opens the road for these alone, now or later."""
        with self._arrivals:
            self._answered += batches
            self._arrivals.notify_all()

    def join(self, key: str | None, deadline: float = PATIENCE) -> Background[Batch]:
        return Background(lambda: self.batcher.join(Errand(key), self.clock() + deadline))

    def await_waiting(self, readers: int) -> None:
        """Until so many readers wait in batches that have not been sent."""
        self._await(lambda: sum(len(batch.seats) for batch in self.batcher._queue) >= readers)

    def await_seats(self, batch: Batch, readers: int) -> None:
        """Until so many readers are in the batch, those who follow a load of it included."""
        self._await(lambda: len(batch.seats) >= readers)

    def _await(self, claim: Callable[[], bool]) -> None:
        for _ in range(10_000):
            with self.batcher._lock:
                if claim():
                    return
            threading.Event().wait(0.001)
        raise AssertionError("the readers did not come")


@pytest.fixture
def road() -> Iterator[Road]:
    road = Road(lanes=1)
    yield road
    road.open(100)


def test_a_lone_reader_sends_at_once_with_all_of_its_time(road: Road) -> None:
    reader = road.join("a")
    road.await_sent(1)
    assert road.timeouts == [PATIENCE]
    road.open()
    assert list(reader.result().wants) == ["a"]


def test_readers_who_come_while_the_lane_is_taken_travel_together(road: Road) -> None:
    """Rule 4: one transaction for all who wait, and none of them joins the one in flight."""
    first = road.join("a")
    road.await_sent(1)
    others = [road.join(key) for key in ("a", "b", "b", None)]
    road.await_waiting(4)
    road.open(2)
    batches = {id(reader.result()) for reader in others}
    assert len(batches) == 1
    assert id(first.result()) not in batches
    second = road.await_sent(2)
    assert sorted(second.wants) == ["a", "b"]
    assert second.readers == 4
    assert len(road.sent) == 2


def test_a_ticket_is_drawn_when_nobody_can_join_any_more(road: Road) -> None:
    """Rule 4's t0 is before the send, and after every reader has come."""
    road.join("a")
    road.await_sent(1)
    waiting = road.join("b")
    road.await_waiting(1)
    road.clock.advance(5.0)
    road.open(2)
    ticket = waiting.result().ticket
    assert ticket is not None
    assert ticket.sent_at == road.clock()


def test_two_lanes_carry_two_batches_and_no_third() -> None:
    road = Road(lanes=2)
    for key in ("a", "b"):
        road.join(key)
    road.await_sent(2)
    third = road.join("c")
    road.await_waiting(1)
    assert len(road.sent) == 2
    road.open(3)
    third.result()


def test_a_full_batch_makes_room_for_another(road: Road) -> None:
    road.join("first")
    road.await_sent(1)
    readers = [road.join(f"k{number}") for number in range(MAX_WANTS + 1)]
    road.await_waiting(MAX_WANTS + 1)
    road.open(3)
    sizes = sorted({id(batch): len(batch.wants) for batch in (reader.result() for reader in readers)}.values())
    assert sizes == [1, MAX_WANTS]


def test_two_readers_with_different_entries_of_a_key_get_the_whole_value() -> None:
    batch = Batch()
    entry = Entry(b"1", 3, 5, 0.0)
    batch.add(Errand("a", entry, fill=True))
    batch.add(Errand("a", entry, fill=False))
    assert batch.wants["a"] == Errand("a", entry, fill=True)
    batch.add(Errand("a", None, fill=False))
    assert batch.wants["a"] == Errand("a", None, fill=True)


def test_a_failed_batch_fails_all_of_its_readers_and_frees_the_lane(road: Road) -> None:
    readers = [road.join("a")]
    road.await_sent(1)
    readers += [road.join("b"), road.join("c")]
    road.await_waiting(2)
    road.error = Unavailable("etcd is away")
    road.open(2)
    for reader in readers:
        with pytest.raises(Unavailable, match="etcd is away"):
            reader.result().part(None)
    road.error = None
    road.open()
    assert road.join("d").result().part("d")


def test_a_reader_out_of_time_leaves_and_the_others_travel_on(road: Road) -> None:
    """The one who would lead is the latest; here it is the one who leaves."""
    road.join("a")
    road.await_sent(1)
    patient = road.join("b")
    road.await_waiting(1)
    hasty = road.join("c", deadline=0.0)
    with pytest.raises(Unavailable):
        hasty.result()
    road.open(2)
    assert patient.result().part("b")


def test_a_batch_whose_readers_have_all_left_is_not_sent(road: Road) -> None:
    first = road.join("a")
    road.await_sent(1)
    hasty = road.join("b", deadline=0.0)
    with pytest.raises(Unavailable):
        hasty.result()
    road.open()
    first.result()
    assert len(road.sent) == 1
    road.open()
    road.join("c").result()
    assert len(road.sent) == 2


def test_a_leader_out_of_time_hands_the_lane_on(road: Road) -> None:
    """1. R is named the next leader; 2. it runs out of time before it hears of it; 3. its neighbour leads."""
    first = road.join("a")
    road.await_sent(1)
    neighbour = road.join("b")
    road.await_waiting(1)
    with road.batcher._lock:
        batch, seat, leads = road.batcher._board(Errand("c"))
    assert not leads
    road.open()
    first.result()
    assert batch.leader is seat  # step 1
    road.batcher._leave(batch, seat)  # step 2
    road.open()
    assert neighbour.result().part("b")


def test_a_batch_smaller_than_one_on_its_way_waits_for_company() -> None:
    """Although a lane is free: else the first of a crowd that was just let go would take it for themselves alone."""
    road = Road(lanes=2)
    readers = [road.join("a"), road.join("b")]
    lone = [road.await_sent(1), road.await_sent(2)]
    readers += [road.join(key) for key in "cde"]
    road.await_waiting(3)
    road.answer(*lone)
    crowd = road.await_sent(3)
    assert crowd.boarded == 3
    readers += [road.join("f"), road.join("g")]
    road.await_waiting(2)
    assert len(road.sent) == 3
    readers.append(road.join("h"))
    company = road.await_sent(4)
    assert company.boarded == 3
    road.answer(crowd, company)
    assert all(reader.result().done for reader in readers)


def test_a_batch_that_finds_no_company_goes_when_nothing_is_on_its_way() -> None:
    road = Road(lanes=2)
    readers = [road.join("a"), road.join("b")]
    lone = [road.await_sent(1), road.await_sent(2)]
    readers += [road.join("c"), road.join("d")]
    road.await_waiting(2)
    road.answer(*lone)
    crowd = road.await_sent(3)
    assert all(reader.result().done for reader in readers[:2])  # both have gone: one lane is free
    readers.append(road.join("e"))
    road.await_waiting(1)
    road.answer(crowd)
    late = road.await_sent(4)
    assert late.boarded == 1
    road.answer(late)
    assert all(reader.result().done for reader in readers)


def test_a_lane_is_free_when_every_reader_of_its_batch_has_woken(road: Road) -> None:
    """So that those who come back travel together, and not each as soon as it wakes."""
    first = road.join("a")
    road.await_sent(1)
    with road.batcher._lock:
        batch, slow, _ = road.batcher._board(Errand("b"))
    quick = road.join("b")
    road.await_waiting(2)
    road.open(2)
    first.result()
    assert quick.result() is batch
    back = road.join("c")
    road.await_waiting(1)
    assert len(road.sent) == 2
    road.batcher._leave(batch, slow)
    assert road.await_sent(3).boarded == 1
    road.open()
    back.result()


def test_a_load_that_was_displaced_does_not_take_the_newer_one_with_it() -> None:
    """1. L1 loads a key; 2. L2 loads it again, since it may not follow; 3. L1 arrives; 4. the next one follows L2."""
    road = Road(lanes=2)
    first = road.join("a")
    road.await_sent(1)
    with road.batcher._lock:
        second, seat, leads = road.batcher._board(Errand("a"))
    assert leads
    road.open()
    first.result()
    deadline = road.clock() + PATIENCE
    follower = Background(
        lambda: road.batcher.share(Errand("a"), deadline, follow=lambda _: True, answered=lambda: False)
    )
    road.await_seats(second, 2)
    road.open()
    road.batcher._lead(second, deadline)
    road.batcher._leave(second, seat)
    assert follower.result() is second


def test_a_reader_follows_a_load_in_flight_only_if_it_may(road: Road) -> None:
    """Rule 14."""
    first = road.join("a")
    road.await_sent(1)

    def share(agree: bool) -> Background[Batch | None]:
        return Background(
            lambda: road.batcher.share(
                Errand("a"), road.clock() + PATIENCE, follow=lambda _: agree, answered=lambda: False
            )
        )

    follower, loner = share(True), share(False)
    road.await_waiting(1)
    road.open(2)
    assert follower.result() is first.result()
    assert loner.result() is road.await_sent(2)


def test_a_reader_whose_key_was_filled_meanwhile_does_not_load_again(road: Road) -> None:
    """Rule 14: the load it meant to join is over, and the cache has the answer."""
    batch = road.batcher.share(Errand("a"), road.clock() + PATIENCE, follow=lambda _: True, answered=lambda: True)
    assert batch is None
    assert road.sent == []
