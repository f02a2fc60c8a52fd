"""Read batches (rules 4 and 14): which reads go together, when a batch is sent, who may leave."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from consistency.core.decisions import Ticket
from consistency.core.events import Event, WorkerFailed
from consistency.core.known import Entry
from consistency.core.model import NO_VERSION
from consistency.core.store import Found, Header, ReadAnswer, Unavailable
from consistency.instance.read_batches import MAX_WANTS, Batch, Need, Part, ReadBatches
from consistency.tasks import Errands
from tests.instance.hand import PATIENCE, ManualClock
from tests.support.bell import Bell
from tests.support.driver import Meanwhile, run, settle, until


class Road:
    """What batches travel on: each send is held until the test opens it."""

    def __init__(self, lanes: int) -> None:
        self.clock = ManualClock()
        self.sent: list[Batch] = []
        self.timeouts: list[float] = []
        self.failed: list[Event] = []
        self.error: Exception | None = None
        self._news = Bell()
        self._open = 0
        self._answered: list[Batch] = []
        self._tickets = 0
        self.batches = ReadBatches(
            stamp=self._stamp, send=self._send, clock=self.clock, errands=Errands(self.failed.append), lanes=lanes
        )

    def _stamp(self) -> Ticket:
        self._tickets += 1
        return Ticket(self.clock(), epoch=self._tickets, horizon=0, seen=0, slot=None, lease=0)

    async def _send(self, batch: Batch, timeout: float) -> None:
        self.sent.append(batch)
        self.timeouts.append(timeout)
        await self._news.until(lambda: batch in self._answered or self._open > 0)
        if batch not in self._answered:
            self._open -= 1
        if self.error is not None:
            raise self.error
        assert batch.ticket is not None
        needs = tuple(batch.needs.values())
        answer = ReadAnswer(Header(1, 1), NO_VERSION, 0, tuple(Found(False, None) for _ in needs))
        batch.parts = [Part(batch.ticket, needs, answer)]

    def await_sent(self, count: int) -> Batch:
        assert until(lambda: len(self.sent) >= count)
        return self.sent[count - 1]

    def open(self, count: int = 1) -> None:
        self._open += count
        self._news.ring()

    def answer(self, *batches: Batch) -> None:
        """Opens the road for these alone, now or later."""
        self._answered += batches
        self._news.ring()

    def join(self, key: str | None, deadline: float = PATIENCE) -> Meanwhile[Batch]:
        return Meanwhile(self.batches.join(Need(key), self.clock() + deadline))

    def await_waiting(self, readers: int) -> None:
        """Until so many readers wait in batches that have not been sent."""
        assert until(lambda: sum(batch.waiting for batch in self.batches._calls.queue) >= readers)


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
    assert list(reader.result().needs) == ["a"]


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
    assert sorted(second.needs) == ["a", "b"]
    assert second.joined == 4
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
    sizes = sorted({id(batch): len(batch.needs) for batch in (reader.result() for reader in readers)}.values())
    assert sizes == [1, MAX_WANTS]


def test_two_readers_with_different_entries_of_a_key_get_the_whole_value() -> None:
    batch = Batch()
    entry = Entry(b"1", 3, 5, 0.0)
    batch.add(Need("a", entry, fill=True))
    batch.add(Need("a", entry, fill=False))
    assert batch.needs["a"] == Need("a", entry, fill=True)
    batch.add(Need("a", None, fill=False))
    assert batch.needs["a"] == Need("a", None, fill=True)


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
    assert "d" in road.join("d").result().part("d").finds


def test_a_reader_out_of_time_leaves_and_the_others_travel_on(road: Road) -> None:
    road.join("a")
    road.await_sent(1)
    patient = road.join("b")
    road.await_waiting(1)
    hasty = road.join("c", deadline=0.0)
    with pytest.raises(Unavailable):
        hasty.result()
    road.open(2)
    assert "b" in patient.result().part("b").finds


def test_a_reader_whose_client_has_gone_takes_nothing_from_the_others(road: Road) -> None:
    """Neither the first reader of a batch, which began it, nor one that waits."""
    first = road.join("a")
    road.await_sent(1)
    same = Meanwhile(road.batches.share(Need("a"), PATIENCE * 1000, follow=lambda _: True, answered=lambda: False))
    gone, stays = road.join("b"), road.join("b")
    first.cancel()
    gone.cancel()
    road.open(2)
    followed = same.result()
    assert followed is not None
    assert "a" in followed.part("a").finds
    assert "b" in stays.result().part("b").finds
    assert len(road.sent) == 2


def test_a_batch_that_all_have_left_in_flight_frees_its_lane_when_its_answer_comes(road: Road) -> None:
    """What it proves is worth having; and its lane is taken until etcd has done with it."""
    gone = road.join("a")
    road.await_sent(1)
    gone.cancel()
    later = road.join("b")
    settle()
    assert len(road.sent) == 1
    road.open(2)
    assert "b" in later.result().part("b").finds


def test_an_error_that_nobody_foresaw_fails_the_readers_and_is_told(road: Road) -> None:
    reader = road.join("a")
    road.error = MemoryError("no more")
    road.open()
    with pytest.raises(Unavailable, match="abandoned"):
        reader.result().part("a")
    assert road.failed == [WorkerFailed("read-batch", "MemoryError: no more")]


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


def test_a_batch_smaller_than_one_on_its_way_waits_for_company() -> None:
    """Although a lane is free: else the first of a crowd that was just let go would take it for themselves alone."""
    road = Road(lanes=2)
    readers = [road.join("a"), road.join("b")]
    lone = [road.await_sent(1), road.await_sent(2)]
    readers += [road.join(key) for key in "cde"]
    road.await_waiting(3)
    road.answer(*lone)
    crowd = road.await_sent(3)
    assert crowd.joined == 3
    readers += [road.join("f"), road.join("g")]
    road.await_waiting(2)
    assert len(road.sent) == 3
    readers.append(road.join("h"))
    company = road.await_sent(4)
    assert company.joined == 3
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
    assert late.joined == 1
    road.answer(late)
    assert all(reader.result().done for reader in readers)


def test_those_whom_an_answer_has_woken_go_together(road: Road) -> None:
    """And not each as soon as it wakes, though the lane is free when the answer comes."""
    road.join("a")
    road.await_sent(1)

    async def come_back() -> Batch:
        await road.batches.join(Need("b"), road.clock() + PATIENCE)
        return await road.batches.join(Need("c"), road.clock() + PATIENCE)

    back = [Meanwhile(come_back()), Meanwhile(come_back())]
    slow = road.join("b")
    road.open(3)
    slow.result()
    assert back[0].result() is back[1].result() is road.await_sent(3)


def test_a_load_that_was_displaced_does_not_take_the_newer_one_with_it() -> None:
    """1. L1 loads a key; 2. L2 loads it again, since it may not follow; 3. L1 arrives; 4. the next one follows L2."""
    road = Road(lanes=2)
    first = road.join("a")
    second = road.join("a")
    older, newer = road.await_sent(1), road.await_sent(2)
    road.answer(older)
    first.result()
    deadline = road.clock() + PATIENCE
    follower = Meanwhile(road.batches.share(Need("a"), deadline, follow=lambda _: True, answered=lambda: False))
    road.answer(newer)
    assert follower.result() is second.result() is newer


def test_a_reader_follows_a_load_in_flight_only_if_it_may(road: Road) -> None:
    """Rule 14."""
    first = road.join("a")
    road.await_sent(1)

    def share(agree: bool) -> Meanwhile[Batch | None]:
        return Meanwhile(
            road.batches.share(Need("a"), road.clock() + PATIENCE, follow=lambda _: agree, answered=lambda: False)
        )

    follower, loner = share(True), share(False)
    road.await_waiting(1)
    road.open(2)
    assert follower.result() is first.result()
    assert loner.result() is road.await_sent(2)


def test_a_reader_whose_key_was_filled_meanwhile_does_not_load_again(road: Road) -> None:
    """Rule 14: the load it meant to join is over, and the cache has the answer."""
    batch = run(road.batches.share(Need("a"), road.clock() + PATIENCE, follow=lambda _: True, answered=lambda: True))
    assert batch is None
    assert road.sent == []
