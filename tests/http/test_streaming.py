"""An answer without an end: nobody is waited for without end, and whatever makes it is ended with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from service.changes.streams import LARGE as AT_MOST_COPIED
from service.changes.streams import _together
from service.http.sending import LARGE, PIECE, Room
from service.http.streaming import TAKEN_WITHIN, send_stream
from service.memory.capacity import OF_ANSWER
from tests.support.virtual import virtually

BUSY = b"event: goodbye\n\n"
LONG = 10 * TAKEN_WITHIN
SMALL = b"small"
END = {"type": "http.response.body", "body": b""}


class Client:
    """Takes so many messages, and then no more. Its seconds are the loop's, which are virtual."""

    def __init__(self, takes: int) -> None:
        self._takes = takes
        self.offered: list[dict[str, Any]] = []

    async def send(self, message: dict[str, Any]) -> None:
        self.offered.append(message)
        if len(self.offered) > self._takes:
            await asyncio.get_running_loop().create_future()

    @property
    def bodies(self) -> list[bytes]:
        return [message["body"] for message in self.offered[1:]]


class Pieces:
    """What is sent, and how much of it has been made."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = pieces
        self.made = 0

    async def __call__(self) -> AsyncGenerator[bytes]:
        for piece in self._pieces:
            self.made += 1
            yield piece


async def sent(client: Client, pieces: Pieces, *, has_room: bool = True) -> float:
    """Seconds until the stream is over. Raises TimeoutError when it is not after LONG."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    made = pieces()
    room = Room(8 * PIECE)
    try:
        async with asyncio.timeout(LONG):
            with room.loan() as of_others, room.loan() as loan:
                assert has_room or await of_others.take(8 * PIECE)
                await send_stream(client.send, [], made, loan, lambda: BUSY)
    finally:
        assert await anext(made, None) is None, "what makes the pieces is closed"
    return loop.time() - begun


def test_all_pieces_and_the_end() -> None:
    client, pieces = Client(takes=9), Pieces(SMALL, b"x" * (PIECE + 1))
    assert virtually(sent(client, pieces)) == 0
    assert client.bodies == [SMALL, b"x" * PIECE, b"x", b""]
    assert client.offered[-1] == END


@pytest.mark.parametrize(
    ("takes", "offered"),
    [(0, []), (1, [SMALL]), (2, [SMALL, BUSY]), (3, [SMALL, BUSY, b""])],
    ids=["nothing", "no piece", "not the busy goodbye", "not the end"],
)
def test_who_takes_no_more_is_let_go_wherever_that_is(takes: int, offered: list[bytes]) -> None:
    """There is no room for the second piece: in its place a goodbye is said, and then the end."""
    client, pieces = Client(takes), Pieces(SMALL, b"x" * (LARGE + 1), SMALL)
    assert virtually(sent(client, pieces, has_room=False)) == pytest.approx(TAKEN_WITHIN, abs=1.0)
    assert client.bodies == offered
    assert pieces.made <= 2, "nothing is made for who is let go"


def test_who_takes_all_but_the_end_is_let_go() -> None:
    client, pieces = Client(takes=2), Pieces(SMALL)
    assert virtually(sent(client, pieces)) == TAKEN_WITHIN
    assert client.bodies == [SMALL, b""]


def test_whose_client_has_gone_is_ended_with_its_request() -> None:
    """Its request is cancelled, wherever it stands."""
    client, pieces = Client(takes=1), Pieces(SMALL, SMALL)

    async def leave() -> None:
        task = asyncio.create_task(sent(client, pieces))
        await asyncio.sleep(1.0)
        task.cancel()
        await asyncio.wait((task,))
        assert (task.cancelled(), pieces.made) == (True, 1)

    virtually(leave())


class TestRoom:
    """Of a container of 256 MB: 26 MB for large answers."""

    MOST = 26 * 1024 * 1024
    LENGTH = 1024 * 1024

    @staticmethod
    async def taken(room: Room, pieces: list[bytes]) -> tuple[int, int]:
        """How many of the streams have found room for their piece, none of which is given back, and what is left."""
        loans = [room.loan() for _ in pieces]
        found = [await loan.take_shared(piece) for loan, piece in zip(loans, pieces, strict=True)]
        left = room.budget.free
        for loan in loans:
            loan.give_back()
        assert room.budget.free == room.most, "all of it has been given back"
        return sum(found), left

    def test_what_many_are_told_takes_room_once_and_each_what_is_on_its_way(self) -> None:
        piece = b"x" * self.LENGTH
        found, left = virtually(self.taken(Room(self.MOST), [piece] * 60))
        assert (found, left) == (60, self.MOST - self.LENGTH - 60 * OF_ANSWER * PIECE)

    def test_what_each_is_told_alone_takes_room_each_time(self) -> None:
        """Equal, and not the same: as many times in memory."""
        pieces = [bytes([65]) * self.LENGTH + b"%d" % number for number in range(60)]
        found, left = virtually(self.taken(Room(self.MOST), pieces))
        assert found == self.MOST // (self.LENGTH + 2 + OF_ANSWER * PIECE)
        assert left < self.LENGTH + OF_ANSWER * PIECE

    def test_those_on_the_way_are_bounded_though_they_share_what_they_are_told(self) -> None:
        found, left = virtually(self.taken(Room(self.MOST), [b"x" * self.LENGTH] * 1_000))
        assert found == (self.MOST - self.LENGTH) // (OF_ANSWER * PIECE)
        assert 0 <= left < OF_ANSWER * PIECE

    def test_a_piece_that_is_larger_than_all_of_the_room_is_sent_alone(self) -> None:
        pieces = [b"x" * self.LENGTH, b"y" * self.LENGTH]
        assert virtually(self.taken(Room(self.LENGTH), pieces)) == (1, 0)

    def test_who_waits_for_room_for_what_another_has_found_room_for_meanwhile_takes_none(self) -> None:
        """1. Two wait for room for the same piece; 2. there is; 3. both find it, and it is taken once."""

        async def both() -> None:
            room, piece = Room(self.MOST), b"x" * self.LENGTH
            others = room.loan()
            assert await others.take(room.most)
            loans = [room.loan(), room.loan()]
            found = [asyncio.create_task(loan.take_shared(piece)) for loan in loans]
            await asyncio.sleep(0.01)
            others.give_back()
            assert await asyncio.gather(*found) == [True, True]
            assert room.budget.free == room.most - self.LENGTH - 2 * OF_ANSWER * PIECE

        virtually(both())

    def test_small_pieces_take_none(self) -> None:
        assert virtually(self.taken(Room(0), [b"x" * LARGE] * 9)) == (9, 0)


@pytest.mark.parametrize("beginning", [b"", b"reset"])
@pytest.mark.parametrize("end", [b"", b"sync"])
def test_small_events_are_one_piece_with_what_is_around_them(beginning: bytes, end: bytes) -> None:
    """What is sent costs by the piece; large ones are the very bytes that all are told."""
    for events in (b"", b"put", b"x" * AT_MOST_COPIED):
        whole = beginning + events + end
        assert _together(beginning, events, end) == ((whole,) if whole else ())
    large = b"x" * (AT_MOST_COPIED + 1)
    pieces = _together(beginning, large, end)
    assert pieces == tuple(each for each in (beginning, large, end) if each)
    assert any(each is large for each in pieces)
