"""What the server calls for each request (ASGI): through the door, to whoever answers, and out again.

Served here, on the loop: documents, batches, probes, and questions to the fleet. All else goes over the bridge to
Flask. No request has a thread here, so however many wait, the others are answered.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from http import HTTPStatus
from typing import Any

from consistency.core.events import Observer
from consistency.core.store import OutcomeUnknown
from consistency.tasks import Errands
from service.auth.access import COLLECTION, MEMBERS
from service.documents.documents import Documents
from service.documents.hits import Hit, Hits
from service.http.answers import Answer
from service.http.bodies import StreamedBody
from service.http.bridge import Bridge
from service.http.departures import Departed, Departures
from service.http.door import DOCUMENT, FAILURE, ROUTE, Door
from service.http.environ import Environ, carries_body, environ_of
from service.http.failures import answer_failure
from service.http.keys import ROOT
from service.http.problems import Refused, refused
from service.http.request_log import GONE
from service.http.sending import LARGE, Loan, Room, Send, send_in_pieces
from service.http.unread import discard, waits_to_be_asked
from service.http.wire import CLOSE, head, headers_of

Receive = Callable[[], Awaitable[dict[str, Any]]]
Probe = Callable[[Environ], Answer]
Question = Callable[[Environ], Awaitable[Answer]]

ANSWER_EXCEEDS = 4096
"""Bytes by which the answer to a write may be longer than its body: a batch of the most operations is."""

_READS = ("GET", "HEAD")
_WRITES = ("PUT", "POST")
_Wire = tuple[int, list[tuple[str, str]], bytes]


class Front:
    """An ASGI application. Belongs to one loop."""

    def __init__(
        self,
        door: Door,
        documents: Documents,
        hits: Hits,
        probes: Mapping[str, Probe],
        questions: Mapping[str, Question],
        bridge: Bridge,
        *,
        answers: int,
        observer: Observer,
    ) -> None:
        """probes: by path, what answers at once. questions: by route, what asks the fleet.

        answers: bytes that large ones may take while they are sent."""
        self._door = door
        self._documents = documents
        self._hits = hits
        self._probes = probes
        self._questions = questions
        self._bridge = bridge
        self._room = Room(answers)
        self._errands = Errands(observer)
        self._departures = Departures(self._errands)
        self.under_way = 0

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            raise NotImplementedError(f"nothing but HTTP is served, not {scope['type']}")
        started = time.perf_counter()
        environ = environ_of(scope)
        self.under_way += 1
        try:
            if hit := self._hit(environ):
                await self._send_hit(*hit, environ, send, started)
            else:
                with self._room.lending() as loan:
                    await self._serve(environ, StreamedBody(receive, environ), send, loan, started)
        except Departed:
            self._door.leave(environ, GONE, (), started)
        finally:
            self.under_way -= 1

    async def close(self, within: float) -> None:
        """End what looks after requests. After the server has ended."""
        await self._errands.stop(within)

    def _hit(self, environ: Environ) -> Hit | None:
        """The answer to most requests, there and then. None: it takes the long way, which also finds what is wrong."""
        path: str = environ["PATH_INFO"]
        if environ["REQUEST_METHOD"] not in _READS or not path.startswith(ROOT) or carries_body(environ):
            return None
        try:
            self._door.admit(environ)
            environ[ROUTE] = DOCUMENT
            return self._hits.find(environ)
        except Refused:
            return None
        except Exception as error:  # noqa: BLE001  # as below
            status, headers, body = _failed(environ, error)
            return status, head(headers), body

    async def _serve(self, environ: Environ, body: StreamedBody, send: Send, loan: Loan, started: float) -> None:
        try:
            self._door.admit(environ)
            with self._departures.watched(body):
                wire = await self._answer(environ, body, loan)
        except Departed:
            raise
        except Exception as error:  # noqa: BLE001  # as Flask's own handler
            wire = _failed(environ, error)
        if body.is_whole:
            await self._send(wire, environ, send, loan, started)
            return
        status, headers, content = wire
        await self._send((status, [*headers, CLOSE], content), environ, send, loan, started)
        loan.give_back()
        if not waits_to_be_asked(environ, body):
            await discard(body)

    async def _answer(self, environ: Environ, body: StreamedBody, loan: Loan) -> _Wire:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        if path.startswith(ROOT) and path != ROOT:
            environ[ROUTE] = DOCUMENT
            if method in _READS:
                return _wire(await self._documents.read(environ))
            if method in _WRITES:
                await self._find_room(environ, body, loan)
                return await self._see_through(self._documents.put(environ, body))
            if method == "DELETE":
                return await self._see_through(self._documents.delete(environ))
        elif method == "POST" and path in COLLECTION:
            environ[ROUTE] = path
            await self._find_room(environ, body, loan)
            return await self._see_through(self._documents.batch(environ, body))
        elif method in _READS and (probe := self._probes.get(path)):
            environ[ROUTE] = path
            return _wire(probe(environ))
        elif method in _READS and (question := self._questions.get(route := _question_in(path))):
            environ[ROUTE] = route
            return _wire(await question(environ))
        return await self._bridge.answer(environ)

    async def _find_room(self, environ: Environ, body: StreamedBody, loan: Loan) -> None:
        """For the answer to a write. Raises Refused, also what the write would be refused with by its head."""
        if body.is_small(LARGE - ANSWER_EXCEEDS):
            return
        if not await loan.take(self._documents.expected_body(environ) + ANSWER_EXCEEDS):
            raise _too_many()

    async def _see_through(self, write: Coroutine[Any, Any, Answer]) -> _Wire:
        """Who waits may go away; what was sent goes on, and its bytes are counted until it is done."""
        lost = OutcomeUnknown("this instance ended before there was an answer")
        outcome = await self._errands.see_through(_outcome(write), "request", lost=lost)
        if isinstance(outcome, Exception):
            raise outcome
        return _wire(outcome)

    async def _send_hit(
        self, status: int, ready: list[tuple[bytes, bytes]], body: bytes, environ: Environ, send: Send, started: float
    ) -> None:
        if len(body) > LARGE:
            headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in ready]
            with self._room.lending() as loan:
                await self._send((status, headers, body), environ, send, loan, started)
            return
        if more := self._door.leave(environ, status, (), started):
            ready = [*ready, *head(more)]
        await send({"type": "http.response.start", "status": status, "headers": ready})
        await send({"type": "http.response.body", "body": b"" if environ["REQUEST_METHOD"] == "HEAD" else body})

    async def _send(self, wire: _Wire, environ: Environ, send: Send, loan: Loan, started: float) -> None:
        status, headers, body = wire
        if environ["REQUEST_METHOD"] == "HEAD":
            body = b""
        if not await loan.take(len(body)):
            closing = [pair for pair in headers if pair == CLOSE]
            status, headers, body = _failed(environ, _too_many())
            headers += closing
        ready = head([*headers, *self._door.leave(environ, status, headers, started)])
        if len(body) > LARGE:
            await send_in_pieces(send, status, ready, body)
            return
        await send({"type": "http.response.start", "status": status, "headers": ready})
        await send({"type": "http.response.body", "body": body})


async def _outcome(work: Coroutine[Any, Any, Answer]) -> Answer | Exception:
    """What came of it, for who still waits; nobody else need be told."""
    try:
        return await work
    except Exception as error:  # noqa: BLE001  # raised where it is awaited
        return error


def _too_many() -> Refused:
    detail = "Too many large answers are being sent."
    return refused(HTTPStatus.SERVICE_UNAVAILABLE, "too-many-answers", detail, retry_after=1)


def _question_in(path: str) -> str:
    """The route of a question to the fleet, if it is one."""
    about_one = path.startswith(MEMBERS + ROOT) and path != MEMBERS + ROOT
    return MEMBERS + DOCUMENT if about_one else path


def _wire(answer: Answer) -> _Wire:
    return int(answer.status), headers_of(answer), answer.body


def _failed(environ: Environ, error: Exception) -> _Wire:
    environ[FAILURE] = error
    return _wire(answer_failure(error, environ["REQUEST_METHOD"], environ["PATH_INFO"]))
