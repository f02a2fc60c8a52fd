"""`GET /changes`: one resource in two encodings, a JSON long poll and a stream of events (text/event-stream).

Owns who waits, and that they end when the instance drains. Belongs to one loop. Holds nothing for a client but its
token: one that doesn't read is told later, from where it stands.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from http import HTTPStatus

from consistency import AsyncDistributedCache
from consistency.core.feed import Told, Unproven
from consistency.core.model import WrongTimeline
from consistency.core.store import StoreError
from consistency.instance.following import Following
from service.changes.admission import Admission
from service.changes.encoding import Encoder, goodbye, stale, sync
from service.http.answers import JSON_TYPE, NO_STORE, Answer
from service.http.door import WAITED
from service.http.environ import Environ
from service.http.parameters import ChangeParameters, change_parameters, token_in
from service.http.problems import Refused
from service.http.request_log import BEARER
from service.http.security_headers import SECURITY_HEADERS

STREAM = "text/event-stream"

SYNC_EVERY = 10.0
"""Seconds after which a stream says that nothing has changed."""

TRY_AGAIN = 1.0
"""Seconds after which what could not be read is asked for again."""

HASTE = 1.0
"""Seconds over which those who wait are let go when the instance drains, each at a moment of its own."""

RETRY = (500, 4000)
"""Milliseconds, between which a client is told by chance when to come back: the others are not to have all at once."""


class Changes:
    """Over a cache that somebody else starts and closes.

    prefix_of: with what the keys start that a request may be about. check_again: raises Refused when a request has lost
    the rights that it was let in with.
    """

    def __init__(
        self,
        cache: AsyncDistributedCache,
        admission: Admission,
        encoder: Encoder,
        prefix_of: Callable[[Environ], str],
        check_again: Callable[[Environ], None],
    ) -> None:
        self._cache = cache
        self._admission = admission
        self._encoder = encoder
        self._prefix_of = prefix_of
        self._check_again = check_again
        self._following: set[Following] = set()
        self.draining = False

    def start_draining(self) -> None:
        """Let everybody go, over HASTE seconds: with what has been told, and nothing is lost."""
        self.draining = True
        for following in self._following:
            asyncio.get_running_loop().call_later(random.uniform(0.0, HASTE), following.hasten)

    async def answer(self, environ: Environ) -> Answer:
        """A long poll. Raises Refused, WrongTimeline, and the store's errors."""
        asked = change_parameters(environ.get("QUERY_STRING", ""), self._prefix_of(environ), streams=False)
        wait = 0.0 if environ["REQUEST_METHOD"] == "HEAD" else asked.wait
        with self._admitted("json", environ), self._followed(asked) as following:
            started = time.perf_counter()
            told = await following.told(wait)
            body = await self._encoder.answer(told)
        environ[WAITED] = min(wait, time.perf_counter() - started)
        self._check_again(environ)
        revision = ("X-Config-Revision", str(told.to.revision))
        return Answer(HTTPStatus.OK, (("Content-Type", JSON_TYPE), revision, NO_STORE, *SECURITY_HEADERS), body)

    async def stream(self, environ: Environ) -> EventStream:
        """A stream that has begun: the first thing to tell is there. To be closed. Raises as `answer` does."""
        asked = change_parameters(environ.get("QUERY_STRING", ""), self._prefix_of(environ), streams=True)
        after = token_in(last) if (last := environ.get("HTTP_LAST_EVENT_ID")) else asked.after
        with ExitStack() as stack:
            stack.enter_context(self._admitted("stream", environ))
            following = stack.enter_context(self._followed(replace(asked, after=after)))
            first = await following.told(0.0)
            held = stack.pop_all()
        return EventStream(self, environ, following, first, held)

    async def events(self, told: Told) -> bytes:
        """What a stream tells of it."""
        return await self._encoder.events(told)

    def has_rights(self, environ: Environ) -> bool:
        """Whether a request still has the rights that it was let in with."""
        try:
            self._check_again(environ)
        except Refused:
            return False
        return True

    def _admitted(self, encoding: str, environ: Environ) -> AbstractContextManager[None]:
        return self._admission.admitted(encoding, environ.get(BEARER, ""))

    @contextmanager
    def _followed(self, asked: ChangeParameters) -> Iterator[Following]:
        with self._cache.following(asked.scope, after=asked.after, values=asked.values) as following:
            self._following.add(following)
            if self.draining:
                following.hasten()
            try:
                yield following
            finally:
                self._following.discard(following)


class EventStream:
    """One stream of events, piece by piece; nothing of the next is made before the last one has been taken."""

    headers = (("Content-Type", STREAM), NO_STORE, ("X-Accel-Buffering", "no"), *SECURITY_HEADERS)

    def __init__(self, changes: Changes, environ: Environ, following: Following, first: Told, held: ExitStack) -> None:
        self._changes = changes
        self._environ = environ
        self._following = following
        self._first = first
        self._held = held

    def close(self) -> None:
        """Follow no more."""
        self._held.close()

    def without_room(self) -> bytes:
        """What is said where the next events are more than can be kept for this client. It has its token."""
        return goodbye("busy", _retry())

    async def pieces(self) -> AsyncIterator[bytes]:
        """Whole events. Ends when the instance drains, and when the client has lost its rights."""
        yield b"retry: %d\n\n" % _retry()
        said: Told | Unproven = self._first
        while True:
            if isinstance(said, Unproven):
                yield stale(said.age)
            else:
                if events := await self._changes.events(said):
                    yield events
                if not said.to.place:  # else it is not the end of a snapshot
                    if not self._changes.has_rights(self._environ):
                        yield goodbye("rights", _retry())
                        return
                    yield sync(said)
            more = isinstance(said, Told) and said.more
            if (self._changes.draining and not more) or self._following.is_over:
                yield goodbye("draining", _retry())
                return
            said = await self._next(0.0 if more else SYNC_EVERY)

    async def _next(self, wait: float) -> Told | Unproven:
        """What comes next. What can't be read is asked for again: the client stays where it is."""
        while True:
            try:
                return await self._following.next(wait)
            except WrongTimeline:
                self._following.begin_anew("history")
            except StoreError:
                if not (self._changes.draining or self._following.is_over):
                    await asyncio.sleep(TRY_AGAIN)
                return self._following.unproven()


def wants_stream(environ: Environ) -> bool:
    """Whether a client that may be told in two encodings has asked for the stream."""
    accepted = environ.get("HTTP_ACCEPT", "")
    return environ["REQUEST_METHOD"] == "GET" and any(
        each.partition(";")[0].strip().lower() == STREAM for each in accepted.split(",")
    )


def _retry() -> int:
    return random.randint(*RETRY)
