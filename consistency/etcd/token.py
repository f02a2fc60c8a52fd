"""One token for all calls, and one Authenticate at a time at each endpoint, however many wait for it.

Owns the token and the flights that fetch a new one; etcd spends some 56 ms of bcrypt on each. Every endpoint of a
cluster takes a token that any of them gave; but what one endpoint made of Authenticate says nothing of the others, so
each has a flight of its own. Knows nothing of gRPC: how to fetch is a parameter, and so are the clock and who owns
the flights. Belongs to one loop.

The race it settles, with calls A and B that both carry token 1:
  1. etcd restarts and forgets token 1; A and B are refused.
  2. A asks for another than token 1: a flight begins, and brings token 2.
  3. B, late, asks for another than token 1: it gets token 2 and starts no flight.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from consistency.core.store import StoreError
from consistency.tasks import Errands

HOLD_OFF = 1.0
"""Seconds for which a refusal stands: a changed password must not make a fleet drown etcd in bcrypt."""


class Tokens:
    """One user's token."""

    def __init__(self, errands: Errands, clock: Callable[[], float] = time.monotonic) -> None:
        self._errands = errands
        self._clock = clock
        self._token: str | None = None  # None: none was fetched yet; "": etcd wants none
        self._flights: dict[str, asyncio.Task[str]] = {}  # by endpoint: the fetch under way, or the one refused
        self._stands_until: dict[str, float] = {}  # until when a refused flight answers for those who come later

    async def other_than(
        self, refused: str | None, endpoint: str, fetch: Callable[[], Awaitable[str]], timeout: float
    ) -> str:
        """The token, fetched anew from the endpoint if it is still the one `refused` (None: just any).

        Waits at most `timeout` seconds for others. Raises what `fetch` raised, to all who waited for it at this
        endpoint or came within HOLD_OFF; TimeoutError when the time is up.
        """
        if self._token is not None and self._token != refused:
            return self._token
        flight = self._flights.get(endpoint)
        if flight is None or (flight.done() and self._clock() >= self._stands_until.get(endpoint, 0.0)):
            flight = self._flights[endpoint] = self._errands.start(self._fly(endpoint, fetch), "authenticate")
        # Who is cancelled takes nothing from the others.
        async with asyncio.timeout(timeout):
            return await asyncio.shield(flight)

    async def _fly(self, endpoint: str, fetch: Callable[[], Awaitable[str]]) -> str:
        try:
            token = await fetch()
        except StoreError:
            self._stands_until[endpoint] = self._clock() + HOLD_OFF
            raise
        self._token = token
        del self._flights[endpoint]
        return token
