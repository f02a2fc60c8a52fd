"""One token for all calls, and one Authenticate at a time at each endpoint, however many wait for it.

Owns the token and the flights that fetch a new one; etcd spends some 56 ms of bcrypt on each. Every endpoint of a
cluster takes a token that any of them gave; but what one endpoint made of Authenticate says nothing of the others, so
each has a flight of its own. Performs no I/O while holding its lock, and knows nothing of gRPC: how to fetch is a
parameter, and so is the clock.

The race it settles, with calls A and B that both carry token 1:
  1. etcd restarts and forgets token 1; A and B are refused.
  2. A asks for another than token 1: a flight begins, and brings token 2.
  3. B, late, asks for another than token 1: it gets token 2 and starts no flight.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

from consistency.core.store import StoreError

HOLD_OFF = 1.0
"""Seconds for which a refusal stands: a changed password must not make a fleet drown etcd in bcrypt."""


class Tokens:
    """Safe for concurrent access."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()  # protects all below
        self._token: str | None = None  # None: none was fetched yet; "": etcd wants none
        self._flights: dict[str, Future[str]] = {}  # by endpoint: the fetch under way, or the one refused
        self._stands_until: dict[str, float] = {}  # until when a refused flight answers for those who come later

    def other_than(self, stale: str | None, endpoint: str, fetch: Callable[[], str], timeout: float) -> str:
        """The token, fetched anew from the endpoint if it is still `stale` (None: just any).

        Waits at most `timeout` seconds for others. Raises what `fetch` raised, to all who waited for it at this
        endpoint or came within HOLD_OFF; TimeoutError when the time is up.
        """
        flight, ours = self._board(stale, endpoint)
        if ours:
            self._fly(flight, endpoint, fetch)
        return flight.result(timeout)

    def _board(self, stale: str | None, endpoint: str) -> tuple[Future[str], bool]:
        """The flight to wait for, and whether the caller has to fly it."""
        with self._lock:
            if self._token is not None and self._token != stale:
                return _landed(self._token), False
            flight = self._flights.get(endpoint)
            if flight and (not flight.done() or self._clock() < self._stands_until[endpoint]):
                return flight, False
            self._flights[endpoint] = flight = Future()
            return flight, True

    def _fly(self, flight: Future[str], endpoint: str, fetch: Callable[[], str]) -> None:
        try:
            token = fetch()
        except StoreError as error:
            with self._lock:
                self._stands_until[endpoint] = self._clock() + HOLD_OFF
                flight.set_exception(error)
            return
        with self._lock:
            self._token = token
            del self._flights[endpoint]
        flight.set_result(token)


def _landed(token: str) -> Future[str]:
    flight: Future[str] = Future()
    flight.set_result(token)
    return flight
