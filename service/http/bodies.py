"""Receives the body of a write, whole or not at all, in a time that its length allows and within a budget of bytes; and
has it checked, at once or in turns.

Large bodies take room until they have been written, small ones from a part of it that large ones can't fill. Nobody
who bears a token takes more than half. Servers pass a body that was cut short as if it were whole; counting is done
here.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Generator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import TypeVar

from service.http.clients import LENGTH, Body, allowed
from service.http.problems import Refused, bad_request, refused
from service.http.request_heads import Environ
from service.http.request_log import BEARER
from service.json_text import NotJson
from service.memory.budget import Budget
from service.memory.capacity import COPIES, FOR_SMALL
from service.turns import in_turns

PATIENCE = 0.1
"""Seconds to wait for room."""

LARGE = 32 * 1024
"""Bytes of a document beyond which it is checked in slices, alone: the names in it may take nine times as many."""

LEAST = 4 * 1024
"""Bytes that a write costs, however small its body. One whose client has gone has no connection that would count it."""

CHECKED_WITHIN = 2.0
"""Seconds to wait until other large documents have been checked. One of 1 MiB takes from 10 to 500 ms."""

T = TypeVar("T")


class BodyReader:
    """Reads documents from requests. Belongs to one loop."""

    def __init__(
        self,
        *,
        max_bytes: int,
        room: int,
        patience: float = PATIENCE,
        checked_within: float = CHECKED_WITHIN,
    ) -> None:
        """`max_bytes`: of one body. `room`: bytes that all may take, a large one COPIES times its length.

        `patience`: seconds to wait for room. `checked_within`: seconds to wait for others to be checked.
        """
        self._max_bytes = max_bytes
        self._small = Budget(room // FOR_SMALL)
        self._large = Budget(room - room // FOR_SMALL)
        self._share = room // 2
        self._held: Counter[str] = Counter()  # bytes, by the token's name
        self._patience = patience
        self._checking = Budget(1)
        self._checked_within = checked_within

    @asynccontextmanager
    async def reading(self, environ: Environ, body: Body) -> AsyncIterator[bytes]:
        """What the request carries, byte for byte and unchecked; to be left when it has been written.

        Raises Refused: what `length_of` refuses, 400 when cut short, 408 when it comes too slowly, 503 when others take
        all the room.
        """
        length, bearer = self.length_of(environ), environ.get(BEARER, "")
        large = length > LARGE
        amount = COPIES * length if large else max(length, LEAST)
        room = self._large if large else self._small
        if bearer:
            self._hold(bearer, amount)
        try:
            if not await room.take(amount, self._patience):
                raise _too_many(f"Too many {'large ' * large}bodies are being received or written.")
            try:
                yield await _receive(body, length)
            finally:
                room.give_back(amount)
        finally:
            if bearer:
                self._let_go(bearer, amount)

    async def checked(self, body: bytes, check: Generator[None, None, T]) -> T:
        """Return what a check of a body comes to, which is done in slices: those of a large one have turns.

        Raises what it raises, and Refused: 400 for what is no JSON document, 503 when others are checked for too long.
        """
        try:
            if len(body) <= LARGE:
                return at_once(check)
            async with self._checking.lent(1, self._checked_within) as free:
                if not free:
                    raise _too_many("Too many large documents are being checked.")
                return await in_turns(check)
        except NotJson as error:
            raise bad_request("invalid-json", f"The body is not an acceptable JSON document: {error}.") from None

    def length_of(self, environ: Environ) -> int:
        """The bytes announced. Raises Refused: 411 without a Content-Length, 400, 413, 415 when compressed."""
        length = self._announced_length(environ)
        if environ.get("HTTP_CONTENT_ENCODING", "identity").strip().lower() != "identity":
            raise refused(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "content-encoding", "The body must be sent without Content-Encoding."
            )
        return length

    def _hold(self, bearer: str, amount: int) -> None:
        """Raises Refused (503)."""
        if self._held[bearer] and self._held[bearer] + amount > self._share:
            raise _too_many("This token's bodies take half of the room already.")
        self._held[bearer] += amount

    def _let_go(self, bearer: str, amount: int) -> None:
        self._held[bearer] -= amount
        if not self._held[bearer]:
            del self._held[bearer]

    def _announced_length(self, environ: Environ) -> int:
        given = environ.get("CONTENT_LENGTH", "")
        if not given:
            raise refused(HTTPStatus.LENGTH_REQUIRED, "length-required", "A body needs a Content-Length.")
        if not LENGTH.fullmatch(given):
            raise bad_request("invalid-length", "Content-Length must be a number of bytes.")
        length = int(given)
        if length > self._max_bytes:
            raise refused(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                "too-large",
                f"The document has {length} bytes; at most {self._max_bytes} are accepted.",
            )
        return length


def at_once(check: Generator[None, None, T]) -> T:
    """Do all slices of a check in one go; return what they come to. Raises what the check raises."""
    while True:
        try:
            next(check)
        except StopIteration as end:
            result: T = end.value
            return result


async def _receive(body: Body, length: int) -> bytes:
    try:
        async with asyncio.timeout(allowed(length)):
            document = await body.receive(length)
    except TimeoutError:
        raise refused(
            HTTPStatus.REQUEST_TIMEOUT, "slow-body", f"The body did not come within {allowed(length):.0f} s."
        ) from None
    if len(document) != length:
        raise bad_request(
            "incomplete-body", f"The body ended after {len(document)} bytes; Content-Length promised {length}."
        )
    return document


def _too_many(reason: str) -> Refused:
    return refused(HTTPStatus.SERVICE_UNAVAILABLE, "too-many-bodies", reason, retry_after=1)
