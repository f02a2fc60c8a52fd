"""When streams end that nobody ends: in virtual time, and nothing is ever told them."""

from __future__ import annotations

import asyncio
from typing import cast

from consistency.core.feed import NOTHING_TOLD, Token, Told
from service.changes.admission import Place
from service.changes.encoding import Encoder
from service.changes.streams import SPREAD, SYNC_EVERY, EventStream
from tests.support.virtual import virtually

LIFETIME = 840.0
STREAMS = 400
HERE = Token(5, "0" * 32)
NOTHING = Told(HERE, HERE, 0.0, NOTHING_TOLD)


class Silent:
    """A place, and the way through a scope in which nothing changes."""

    draining = is_over = False

    @property
    def following(self) -> Silent:
        return self

    async def next(self, wait: float) -> Told:
        assert 0 < wait <= SYNC_EVERY
        await asyncio.sleep(wait)
        return NOTHING


async def end_of(stream: EventStream) -> float:
    """When it has said its last, in seconds of the loop."""
    said = [piece async for piece in stream.pieces()]
    assert b"lifetime" in said[-1]
    return asyncio.get_running_loop().time()


async def ends() -> list[float]:
    """Of streams that begin together: seconds after that."""
    begun = asyncio.get_running_loop().time()
    place, encoder = cast(Place, Silent()), Encoder(lambda _: None)
    streams = [EventStream(place, encoder, lambda: True, NOTHING, LIFETIME) for _ in range(STREAMS)]
    return [ended - begun for ended in await asyncio.gather(*map(end_of, streams))]


def test_streams_end_in_the_last_quarter_of_their_lifetime_and_spread_over_it() -> None:
    """Never after it: then a router would end them, without a word."""
    found = virtually(ends())
    assert min(found) >= (1 - SPREAD) * LIFETIME
    assert max(found) <= LIFETIME
    by_part = [int((each - (1 - SPREAD) * LIFETIME) / (SPREAD * LIFETIME) * 5) for each in found]
    assert all(by_part.count(part) > STREAMS / 10 for part in range(5)), "all through the quarter"
