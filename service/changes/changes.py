"""`GET /changes`: one resource in two encodings, a JSON long poll and a stream of events (text/event-stream).

Owns what both have in common: who is let in, and to what. Belongs to one loop. Holds nothing for a client but its
token: one that doesn't read is told later, from where it stands.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from http import HTTPStatus

from consistency import AsyncDistributedCache
from service.changes.admission import Admission, Place
from service.changes.encoding import Encoder
from service.changes.streams import STREAM, EventStream
from service.http.answers import JSON_TYPE, NO_STORE, Answer
from service.http.door import WAITED
from service.http.parameters import ChangeParameters, change_parameters, token_in
from service.http.problems import Refused, bad_request
from service.http.requests import BEARER, Environ, announced
from service.http.security_headers import SECURITY_HEADERS


class Changes:
    """Over a cache that somebody else starts and closes.

    prefix_of: with what the keys start that a request may be about. check_again: raises Refused when a request has lost
    the rights that it was let in with. lifetime: seconds after which a stream ends, at the latest.
    """

    def __init__(
        self,
        cache: AsyncDistributedCache,
        admission: Admission,
        encoder: Encoder,
        prefix_of: Callable[[Environ], str],
        check_again: Callable[[Environ], None],
        lifetime: float,
    ) -> None:
        self._cache = cache
        self._admission = admission
        self._encoder = encoder
        self._prefix_of = prefix_of
        self._check_again = check_again
        self._lifetime = lifetime

    def start_draining(self) -> None:
        """See `Admission.start_draining`."""
        self._admission.start_draining()

    async def answer(self, environ: Environ) -> Answer:
        """A long poll. Raises Refused, WrongTimeline, and the store's errors."""
        asked = change_parameters(environ.get("QUERY_STRING", ""), self._prefix_of(environ), streams=False)
        wait = 0.0 if environ["REQUEST_METHOD"] == "HEAD" else asked.wait
        with self._place(environ, "json", asked) as place:
            started = time.perf_counter()
            told = await place.following.told(wait)
            body = await self._encoder.answer(told)
        environ[WAITED] = min(wait, time.perf_counter() - started)
        self._check_again(environ)
        revision = ("X-Config-Revision", str(told.to.revision))
        return Answer(HTTPStatus.OK, (("Content-Type", JSON_TYPE), revision, NO_STORE, *SECURITY_HEADERS), body)

    async def stream(self, environ: Environ) -> EventStream:
        """A stream that has begun: the first thing to tell is there. To be closed. Raises as `answer` does."""
        if (
            announced(environ) != 0
        ):  # after other answers it is discarded; here nobody would hear that the client has gone
            raise bad_request("unexpected-body", "A stream is asked for without a body.")
        asked = change_parameters(environ.get("QUERY_STRING", ""), self._prefix_of(environ), streams=True)
        after = token_in(last) if (last := environ.get("HTTP_LAST_EVENT_ID")) else asked.after
        with ExitStack() as stack:
            place = stack.enter_context(self._place(environ, "stream", replace(asked, after=after)))
            first = await place.following.told(0.0)
            stack.pop_all()
        return EventStream(place, self._encoder, partial(self._has_rights, environ), first, self._lifetime)

    def _has_rights(self, environ: Environ) -> bool:
        """Whether a request still has the rights that it was let in with."""
        try:
            self._check_again(environ)
        except Refused:
            return False
        return True

    def _place(self, environ: Environ, encoding: str, asked: ChangeParameters) -> Place:
        following = self._cache.following(asked.scope, after=asked.after, values=asked.values)
        return Place(self._admission, following, encoding, environ.get(BEARER, ""))


def wants_stream(environ: Environ) -> bool:
    """Whether a client that may be told in two encodings has asked for the stream."""
    accepted = environ.get("HTTP_ACCEPT", "")
    return environ["REQUEST_METHOD"] == "GET" and any(
        each.partition(";")[0].strip().lower() == STREAM for each in accepted.split(",")
    )
