"""The whole fleet through one instance: how each member is, and what each answers to the read of a key.

For people who look, behind a balancer that picks the instance, and where the members' own addresses can't be reached.
Coroutines of one loop, from a request's environment to the answer; whoever speaks HTTP calls them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from operator import itemgetter
from typing import Any

from consistency import AsyncDistributedCache
from consistency.core.events import Observer
from consistency.core.model import Member, Status
from consistency.tasks import Errands
from service.auth.access import MEMBERS
from service.auth.keyring import Keyring
from service.fleet.departed import departed
from service.fleet.members import by_slot
from service.fleet.names import Names
from service.fleet.peers import Heard, Peers
from service.fleet.questions import ASKERS, Latest, Places
from service.fleet.states import STATE, mine, not_served, served, theirs
from service.http.answers import (
    NO_STORE,
    Answer,
    answer_encoded,
    answer_error,
    answer_json,
    answer_reading,
    read_condition,
)
from service.http.parameters import recent_parameter
from service.http.requests import Environ, key_from_path, path_of
from service.json_encoding import encode
from service.tls.trust import Trust

Read = Callable[[str], Awaitable[Answer]]
"""The answer of this instance to `GET` of a path, as to a client without a session. Raises what is a problem."""

RECENT = f"{STATE}?recent=true"


def plain_read(cache: AsyncDistributedCache) -> Read:
    """Reads documents from the cache of this instance."""

    async def read(path: str) -> Answer:
        key = key_from_path(path)
        return answer_reading(key, await cache.get(key), read_condition(None, None))

    return read


class WholeFleet:
    """Answers for all. `status` and `state` (that of this instance and, if True, its last minutes) must not block.

    expected: instances, 0 = not said. askers: who may wait for the same answer at the same time.
    """

    def __init__(
        self,
        status: Callable[[], Status],
        state: Callable[[bool], dict[str, Any]],
        read: Read,
        *,
        expected: int,
        keyring: Keyring | None,
        observer: Observer,
        askers: int = ASKERS,
        trust: Trust | None = None,
    ) -> None:
        self._status = status
        self._state = state
        self._read = read
        self._expected = expected
        self._errands = Errands(observer)
        self._peers = Peers(Names(self._errands), keyring, trust)
        self._latest = Latest(self._ask_for_states, self._errands, askers)
        self._places = Places()

    async def close(self) -> None:
        """Gives up what is under way. A lookup that the system's resolver has begun ends when that does."""
        await self._errands.stop(0.0)

    async def own_state(self, environ: Environ) -> Answer:
        """200: how this instance is. Raises Refused (400)."""
        return answer_json(self._state(_recent(environ)), headers=(NO_STORE,))

    async def states(self, environ: Environ) -> Answer:
        """200: how each instance is. Raises Refused (400, 503)."""
        target = RECENT if _recent(environ) else STATE
        text, age = await self._latest.get(target, _authorization(environ))
        return answer_encoded(b'{"age": %.3f, %b}\n' % (age, text), headers=(NO_STORE,))

    async def served_by_all(self, environ: Environ) -> Answer:
        """200: what each instance answers to the read of the key. Raises Refused (400, 503)."""
        path = environ["PATH_INFO"].removeprefix(MEMBERS)
        key, bearer = key_from_path(path), self._peers.bearer(_authorization(environ))
        with self._places.taken(bearer.token.name if bearer else None):
            status = self._status()
            started = time.perf_counter()
            own = await self._read_own(path)
            seconds = time.perf_counter() - started
            heard = await self._peers.ask(_others(status), path_of(key), bearer)
        headers = {name.lower(): value for name, value in own.headers}
        mine = served(status.me, int(own.status), headers, own.body, seconds)
        rows = await _in_order([lambda: mine, *(partial(_served, each) for each in heard)])
        about = {"key": key, "me": status.slot}
        return answer_encoded(b'{%b, "members": %b}\n' % (encode(about)[1:-1], rows), headers=(NO_STORE,))

    async def _read_own(self, path: str) -> Answer:
        try:
            return await self._read(path)
        except Exception as error:  # noqa: BLE001  # it is what a client would be told
            return answer_error(error)

    async def _ask_for_states(self, target: str, authorization: str) -> bytes:
        status = self._status()
        heard = await self._peers.ask(_others(status), target, self._peers.bearer(authorization))
        own = mine(status, self._state(target == RECENT))
        rows = await _in_order([lambda: own, *(partial(theirs, each) for each in heard)])
        about = {"me": status.slot, "expected": self._expected, "departed": departed(status, time.time())}
        return b'%b, "members": %b' % (encode(about)[1:-1], rows)


Row = dict[str, Any]


async def _in_order(makers: Iterable[Callable[[], Row]]) -> bytes:
    """Rows by their slot, as JSON. One at a time: those of a large fleet would hold the loop for 50 ms."""
    rows = []
    for make in makers:
        row = make()
        rows.append((by_slot(row["slot"]), encode(row)))
        await asyncio.sleep(0)
    return b"[%b]" % b", ".join(text for _, text in sorted(rows, key=itemgetter(0)))


def _served(heard: Heard) -> Row:
    if heard.why_not:
        return not_served(heard)
    return served(heard.member, heard.status, dict(heard.headers), heard.body, heard.seconds)


def _others(status: Status) -> list[Member]:
    return [member for member in status.present if member != status.me]


def _recent(environ: Environ) -> bool:
    return recent_parameter(environ.get("QUERY_STRING", ""))


def _authorization(environ: Environ) -> str:
    return str(environ.get("HTTP_AUTHORIZATION", ""))
