"""An answer without an end: nobody is waited for without end, and whatever makes it is ended with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from service.http.sending import LARGE, PIECE, Room
from service.http.streaming import TAKEN_WITHIN, send_stream
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
