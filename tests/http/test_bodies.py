"""How a body is received. Hazard: servers pass a body that was cut short as if it were whole."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any, TypeVar

import pytest

from service.http import requests
from service.http.problems import Refused
from service.http.requests import (
    BEARER,
    COPIES,
    FOR_SMALL,
    LARGE_BODY,
    LEAST_BODY,
    LEAST_RATE,
    TRANSFER_GRACE,
    BodyReader,
    Environ,
    StreamedBody,
    WholeBody,
    allowed,
)
from service.json_text import scan
from tests.support.asgi import Exchange, Request

T = TypeVar("T")

DEADLINE = 10.0
ROOM = 1024 * 1024


def do(work: Coroutine[Any, Any, T]) -> T:
    """On a loop of its own."""

    async def bounded() -> T:
        async with asyncio.timeout(DEADLINE):
            return await work

    return asyncio.run(bounded())


def environ(body: bytes, **more: str) -> Environ:
    """A request with this body."""
    return {"CONTENT_LENGTH": str(len(body)), **more}


def reader_of(max_bytes: int = 100, room: int = ROOM, **more: float) -> BodyReader:
    return BodyReader(max_bytes=max_bytes, room=room, **more)


async def read(reader: BodyReader, body: bytes, **more: str) -> bytes:
    """The document of a request that has been received already, checked."""
    async with reader.reading(environ(body, **more), WholeBody(body)) as document:
        await reader.checked(document, scan(document))
        return document


async def slug_of(work: Coroutine[Any, Any, object]) -> tuple[int, str]:
    """Status and type of what it is refused with."""
    with pytest.raises(Refused) as refusal:
        await work
    kind = refusal.value.problem.kind
    return int(kind.status), kind.slug


def refusal_of(body: bytes, **more: str) -> int:
    """The status with which a reader refuses this request."""
    return do(slug_of(read(reader_of(), body, **more)))[0]


def test_a_whole_body_is_returned_byte_for_byte() -> None:
    """The contract."""
    assert do(read(reader_of(), b' {"b":1,  "a":2}\n')) == b' {"b":1,  "a":2}\n'


@pytest.mark.parametrize("length", ["6", "100"])
def test_a_body_that_was_cut_short_is_refused(length: str) -> None:
    """Hazard: `12345` cut from `123456` is JSON as well."""
    assert refusal_of(b"12345", CONTENT_LENGTH=length) == 400


def test_a_body_without_a_length_is_refused() -> None:
    """The contract: 411."""
    assert refusal_of(b"1", CONTENT_LENGTH="") == 411


@pytest.mark.parametrize("length", ["+5", "-1", "5, 5", "5,6", "0x5", " 5", "1_0", "\u0665", "1e1", "9" * 30])
def test_a_length_that_is_not_a_number_is_refused(length: str) -> None:
    """Python's int() takes most of these; proxies don't, and disagreeing is how requests are smuggled."""
    assert refusal_of(b"12345", CONTENT_LENGTH=length) == 400


class Untouched(WholeBody):
    """A body that nobody may ask for."""

    async def receive(self, length: int) -> bytes:
        raise AssertionError(f"{length} bytes were received")


@pytest.mark.parametrize(
    ("more", "status"),
    [({"CONTENT_LENGTH": "101"}, 413), ({"HTTP_CONTENT_ENCODING": "gzip"}, 415), ({"CONTENT_LENGTH": ""}, 411)],
)
@pytest.mark.fault("malformed input of any kind")
def test_what_is_refused_by_its_head_is_not_received(more: dict[str, str], status: int) -> None:
    """A compressed body, stored as it came, would be returned as if it were JSON."""

    async def scenario() -> tuple[int, str]:
        async def enter() -> None:
            async with reader_of().reading(environ(b"1", **more), Untouched(b"1")):
                pass

        return await slug_of(enter())

    assert do(scenario())[0] == status


def test_a_body_at_the_limit_is_accepted() -> None:
    """The limit is the largest size that passes."""
    assert do(read(reader_of(), b"1" * 100)) == b"1" * 100


def streamed(length: int) -> tuple[Exchange, StreamedBody, Environ]:
    """A body that comes as the test says."""
    exchange, head = Exchange(Request("PUT", b"/config/a")), environ(b"1" * length)
    return exchange, StreamedBody(exchange.receive, head), head


def test_a_body_that_comes_in_pieces_is_put_together() -> None:
    """Down to the last byte; and what a client sends beyond its length is no part of it."""

    async def scenario() -> bytes:
        exchange, body, head = streamed(9)
        for piece in (b"[", b"", b"1, 2, ", b"3]"):
            exchange.say(piece)
        async with reader_of().reading(head, body) as document:
            assert body.is_whole
            return document

    assert do(scenario()) == b"[1, 2, 3]"


def test_a_client_that_goes_in_the_middle_of_a_body_has_written_nothing() -> None:
    """Cut short; a second request is told the same at once."""

    async def scenario() -> tuple[int, str]:
        exchange, body, head = streamed(9)
        exchange.say(b"[1]")
        exchange.leave()

        async def enter() -> None:
            async with reader_of().reading(head, body):
                pass

        found = await slug_of(enter())
        assert (body.ended, body.is_whole, await body.piece()) == (True, False, b"")
        return found

    assert do(scenario()) == (400, "incomplete-body")


def test_a_body_may_take_a_while_and_more_if_it_is_longer() -> None:
    """Whatever comes at the least rate is in time."""
    assert allowed(0) == TRANSFER_GRACE
    assert allowed(1024 * 1024) == TRANSFER_GRACE + 1024 * 1024 / LEAST_RATE
    assert allowed(1024 * 1024) < 30, "a router's patience"


@pytest.mark.fault("1,000 slow clients")
def test_a_body_that_comes_too_slowly_is_refused_and_gives_its_room_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drop by drop is no way to keep it: the deadline is for the whole, not for each piece."""
    monkeypatch.setattr(requests, "allowed", lambda length: 0.2 if length == LARGE_BODY + 1 else DEADLINE)

    async def drip(exchange: Exchange) -> None:
        while True:
            exchange.say(b"1")
            await asyncio.sleep(0.01)

    async def scenario() -> tuple[int, str]:
        reader = reader_of(2 * LARGE_BODY, COPIES * 2 * LARGE_BODY)
        exchange, body, head = streamed(LARGE_BODY + 1)
        dripping = asyncio.create_task(drip(exchange))

        async def enter() -> None:
            async with reader.reading(head, body):
                pass

        found = await slug_of(enter())
        dripping.cancel()
        assert await read(reader, b"1" * (LARGE_BODY + 2)), "the room is free again"
        return found

    assert do(scenario()) == (408, "slow-body")


async def stuck(stack: AsyncExitStack, reader: BodyReader, length: int, bearer: str = "") -> asyncio.Task[None]:
    """A body of which nothing comes, once it has been given room."""
    exchange, body, head = streamed(length)
    entered = asyncio.create_task(_entered(reader, head | ({BEARER: bearer} if bearer else {}), body))
    stack.callback(entered.cancel)
    while not exchange.received and not entered.done():
        await asyncio.sleep(0)
    return entered


async def _entered(reader: BodyReader, head: Environ, body: StreamedBody) -> None:
    async with reader.reading(head, body):
        raise AssertionError("it never comes")


def of_length(length: int) -> bytes:
    return b"[" + b" " * (length - 2) + b"]"


def test_large_bodies_take_room_until_they_are_written() -> None:
    """COPIES times their length, from before they are received on; who finds no room is told that nothing was done."""

    async def scenario() -> None:
        size = 2 * LARGE_BODY
        reader = reader_of(size, COPIES * size * FOR_SMALL // (FOR_SMALL - 1) + FOR_SMALL, patience=0.01)
        async with reader.reading(environ(of_length(size)), WholeBody(of_length(size))):
            assert await slug_of(read(reader, of_length(LARGE_BODY + 1))) == (503, "too-many-bodies")
            assert await read(reader, of_length(LARGE_BODY)), "of the part that is kept for small ones"
        assert (await slug_of(read(reader, b"x" * size)))[0] == 400
        assert (await slug_of(read(reader, of_length(size)[:-1], CONTENT_LENGTH=str(size))))[0] == 400
        assert await read(reader, of_length(size)), "what was refused gives its room back"

    do(scenario())


def test_small_bodies_leave_room_for_large_ones() -> None:
    """However many of them never come."""

    async def scenario() -> None:
        reader = reader_of(2 * LARGE_BODY, ROOM, patience=0.01)
        async with AsyncExitStack() as stack:
            for _ in range(ROOM // FOR_SMALL // LARGE_BODY):
                await stuck(stack, reader, LARGE_BODY)
            assert await slug_of(read(reader, b"1" * LARGE_BODY)) == (503, "too-many-bodies")
            assert await read(reader, b"1" * (LARGE_BODY + 1))

    do(scenario())


def test_a_small_body_costs_what_a_request_does() -> None:
    """Else a million of one byte each, whose clients have gone, would be as nothing."""

    async def scenario() -> None:
        reader = reader_of(100, 3 * LEAST_BODY * FOR_SMALL, patience=0.01)
        async with AsyncExitStack() as stack:
            for _ in range(3):
                await stuck(stack, reader, 1)
            assert await slug_of(read(reader, b"1")) == (503, "too-many-bodies")

    do(scenario())


def test_who_waits_a_moment_for_room_is_served() -> None:
    """A client that comes at that moment has done nothing to be refused for."""

    async def scenario() -> bytes:
        size = 2 * LARGE_BODY
        reader = reader_of(size, COPIES * size * 2, patience=DEADLINE)
        async with reader.reading(environ(of_length(size)), WholeBody(of_length(size))):
            other = asyncio.create_task(read(reader, of_length(size)))
            await asyncio.sleep(0.01)
            assert not other.done()
        return await other

    assert do(scenario()) == of_length(2 * LARGE_BODY)


def test_one_token_takes_half_of_the_room_at_most() -> None:
    """A client that is let in must not keep all others out; what it holds is counted, not what it has sent."""

    async def scenario() -> None:
        size = 2 * LARGE_BODY
        # Room for four large ones; small ones besides.
        reader = reader_of(size, 4 * COPIES * size * FOR_SMALL // (FOR_SMALL - 1) + FOR_SMALL, patience=0.01)
        async with AsyncExitStack() as stack:
            first, second = [await stuck(stack, reader, size, "greedy") for _ in range(2)]
            greedy = {BEARER: "greedy"}
            assert await slug_of(read(reader, of_length(size), **greedy)) == (503, "too-many-bodies")
            assert await read(reader, of_length(size), **{BEARER: "other"})
            assert await read(reader, of_length(size))
            first.cancel()
            await asyncio.wait((first,))
            assert await read(reader, of_length(size), **greedy), "it has given some back"
            assert not second.done()

    do(scenario())


def test_one_body_is_received_though_it_is_more_than_half_of_the_room() -> None:
    """Else a token could write nothing large at all where there is room for one."""
    size = 2 * LARGE_BODY
    reader = reader_of(size, COPIES * size * FOR_SMALL // (FOR_SMALL - 1) + FOR_SMALL)
    assert do(read(reader, of_length(size), **{BEARER: "only"})) == of_length(size)


OF_64_KB = b"[" + b"1," * (LARGE_BODY - 2) + b"11]"


def test_large_documents_are_checked_one_at_a_time() -> None:
    """What a check needs is needed once, however many send large documents. Small ones don't wait."""

    async def scenario() -> None:
        reader = reader_of(2 * LARGE_BODY, 4 * ROOM, patience=DEADLINE, checked_within=DEADLINE)
        reads = [asyncio.create_task(read(reader, OF_64_KB)) for _ in range(2)]
        while reader._checking.free:
            await asyncio.sleep(0)
        assert await read(reader, b"[1]") == b"[1]"
        assert not any(each.done() for each in reads), "a check is done in slices"
        done, _ = await asyncio.wait(reads, return_when=asyncio.FIRST_COMPLETED)
        assert len(done) == 1
        assert await asyncio.gather(*reads) == [OF_64_KB] * 2

    do(scenario())


def test_a_large_document_that_waits_too_long_for_others_is_refused() -> None:
    """503, and nothing was done; what keeps room while it waits keeps it that long at most."""

    async def scenario() -> None:
        reader = reader_of(2 * LARGE_BODY, 4 * ROOM, checked_within=0.0)
        first = asyncio.create_task(read(reader, OF_64_KB))
        while reader._checking.free:
            await asyncio.sleep(0)
        assert await slug_of(read(reader, OF_64_KB)) == (503, "too-many-bodies")
        assert await first == OF_64_KB
        assert (await slug_of(read(reader, OF_64_KB[:-1])))[0] == 400, "refused as a document"
        assert await read(reader, OF_64_KB) == OF_64_KB, "a refused one does not keep the others waiting"

    do(scenario())


@pytest.mark.parametrize("body", [b"[1", OF_64_KB[:-1]], ids=["small", "large"])
def test_what_is_no_document_is_refused_with_what_is_wrong_and_where(body: bytes) -> None:
    with pytest.raises(Refused) as refusal:
        do(read(reader_of(2 * LARGE_BODY, 4 * ROOM), body))
    kind, detail = refusal.value.problem.kind, refusal.value.problem.detail
    assert (int(kind.status), kind.slug) == (400, "invalid-json")
    place = f"line 1, column {len(body) + 1}"
    assert detail == f"The body is not an acceptable JSON document: what is open here is not ended at {place}."


def test_a_request_that_is_given_up_gives_its_room_back() -> None:
    """While it is received, and while its document is being written."""

    async def scenario() -> None:
        size = 2 * LARGE_BODY
        reader = reader_of(size, COPIES * size * FOR_SMALL // (FOR_SMALL - 1) + FOR_SMALL, patience=0.01)
        for _ in range(3):
            async with AsyncExitStack() as stack:
                given_up = await stuck(stack, reader, size)
                assert (await slug_of(read(reader, of_length(size))))[0] == 503
            await asyncio.wait((given_up,))
            assert await read(reader, of_length(size))
        assert not reader._held, "nothing is remembered of who has gone"

    do(scenario())
