"""What the server calls for each request (ASGI): through the door, to whoever answers, and out again.

The loop itself serves documents, batches, changes, probes, and questions to the fleet and of Prometheus. All else goes
over the bridge to Flask. No request has a thread here, so however many wait, the others are answered. Who waits for a
client that has gone is told to stop; what was sent to etcd goes on.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from http import HTTPStatus
from types import TracebackType
from typing import Any

from consistency.core.events import Observer
from consistency.tasks import TICK, Errands
from service.auth.access import CHANGES, COLLECTION, HISTORY, MEMBERS, POLICY, ROLLBACK
from service.changes.changes import Changes, wants_stream
from service.changes.streams import EventStream
from service.documents.documents import Documents
from service.documents.hits import Hits, wire_of_reading
from service.history.rollbacks import Rollbacks
from service.http.answers import CLOSE, Answer, Head, Wire, head, wire_of
from service.http.bridge import Bridge
from service.http.door import DOCUMENT, FAILURE, GONE, HISTORY_OF_KEY, ROUTE, Door
from service.http.failures import answer_failure
from service.http.problems import Refused, refused
from service.http.requests import ROOT, Environ, Receive, StreamedBody, carries_body, environ_of
from service.http.sending import LARGE, Loan, Room, Send, send_in_pieces
from service.http.streaming import send_stream
from service.http.unread import discard, waits_to_be_asked
from service.policy.policies import Policies

Probe = Callable[[Environ], Answer]
Question = Callable[[Environ], Awaitable[Answer]]

ANSWER_EXCEEDS = 4096
"""Bytes by which the answer to a write may be longer than its body: a batch of the most operations is."""

_READS = ("GET", "HEAD")
_WRITES = ("PUT", "POST", "DELETE")


# Clients that go away

LOOK_AFTER = 0.1
"""Seconds a request takes before its client is looked after; most are answered by then, and spared it."""


class Departed(Exception):
    """The client has gone."""


class Departures:
    """Looks after the clients of requests: nobody waits in the place of one that has gone. Belongs to one loop.

    One timer looks at all requests under way, and only those that take long have their client looked after: to do so is
    to ask the server, with a task that waits for its answer.
    """

    def __init__(self, errands: Errands) -> None:
        self._errands = errands
        self._young: dict[Watch, float] = {}  # whom nobody looks after yet, with the loop's seconds of their coming
        self._timer: asyncio.TimerHandle | None = None

    def watched(self, body: StreamedBody, gone: Callable[[], object], *, sees_through: bool = False) -> Watch:
        """A block that ends with Departed when the client has gone: at once, or, if it `sees_through`, when it is done.

        gone: called when it goes.
        """
        return Watch(self, body, gone, sees_through)

    def add(self, watch: Watch) -> None:
        """It begins."""
        loop = asyncio.get_running_loop()
        self._young[watch] = loop.time()
        if self._timer is None:
            self._timer = loop.call_later(LOOK_AFTER, self._look)

    def remove(self, watch: Watch) -> None:
        """It has ended."""
        self._young.pop(watch, None)
        if watch.look is not None:
            self._errands.cut_short(watch.look)

    def _look(self) -> None:
        """At those who have been here for long enough; the others stand behind them."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._timer = None
        while self._young:
            watch, since = next(iter(self._young.items()))
            if since + LOOK_AFTER > now:
                self._timer = loop.call_later(max(TICK, since + LOOK_AFTER - now), self._look)
                return
            del self._young[watch]
            if watch.body.is_whole:
                watch.look = self._errands.start(watch.body.departure(watch.tell), "departure")
            elif not watch.body.ended:  # who receives the body sees the end of it; later it may be all here
                self._young[watch] = now


class Watch:
    """Over one request, which is the running task."""

    __slots__ = ("_departures", "_gone", "_has_gone", "_request", "_sees_through", "body", "look")

    def __init__(
        self, departures: Departures, body: StreamedBody, gone: Callable[[], object], sees_through: bool
    ) -> None:
        self._departures = departures
        self._gone = gone
        self._has_gone = False
        self._sees_through = sees_through
        self._request: asyncio.Task[object] | None = None
        self.body = body
        self.look: asyncio.Task[None] | None = None

    def __enter__(self) -> None:
        self._request = asyncio.current_task()
        self._departures.add(self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._departures.remove(self)
        if self._has_gone and (kind is None or issubclass(kind, Exception) or self._claims_cancellation()):
            raise Departed from None

    def tell(self) -> None:
        """The client has gone: see to it that its request knows."""
        self._has_gone = True
        self._gone()
        if not self._sees_through and self._request is not None:
            self._request.cancel()

    def _claims_cancellation(self) -> bool:
        """Whether the request's task was cancelled by this, and by nobody else."""
        return not self._sees_through and self._request is not None and not self._request.uncancel()


# The way of a request


class Front:
    """An ASGI application. Belongs to one loop."""

    def __init__(
        self,
        door: Door,
        documents: Documents,
        hits: Hits,
        probes: Mapping[str, Probe],
        questions: Mapping[str, Question],
        changes: Changes,
        policies: Policies,
        rollbacks: Rollbacks,
        bridge: Bridge,
        *,
        answers: int,
        observer: Observer,
        requests: int = sys.maxsize,
    ) -> None:
        """probes: by path, what answers at once. questions: by route, what is awaited.

        answers: bytes that large ones may take while they are sent. requests: that may be under way at once; where each
        has a connection, the server's bound comes first.
        """
        self._requests = requests
        self._door = door
        self._documents = documents
        self._hits = hits
        self._probes = probes
        self._questions = questions
        self._changes = changes
        self._policies = policies
        self._rollbacks = rollbacks
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
            hit, refusal = self._at_once(environ)
            if hit is not None:
                await self._send(hit, environ, send, started)
            else:
                scope.clear()  # the server keeps it as long as the request lasts, which may be minutes
                body = StreamedBody(receive, environ)
                if (stream := await self._serve(environ, body, send, started, refusal)) is not None:
                    await self._send_stream(stream, environ, body, send, started)
        except Departed:
            return  # it has been counted when it left
        finally:
            self.under_way -= 1

    async def close(self, within: float) -> None:
        """End what looks after requests. After the server has ended."""
        await self._errands.stop(within)

    def _at_once(self, environ: Environ) -> tuple[Wire | None, Exception | None]:
        """The answer to most requests, there and then; or what is wrong with this one. Neither: it has to wait."""
        try:
            self._door.admit(environ)
            path: str = environ["PATH_INFO"]
            if self.under_way > self._requests and path not in self._probes:
                return None, _too_many_requests()
            if environ["REQUEST_METHOD"] not in _READS or not path.startswith(ROOT) or carries_body(environ):
                return None, None
            environ[ROUTE] = DOCUMENT
            return self._hits.find(environ), None
        except Exception as error:  # noqa: BLE001  # as Flask's own handler
            return None, error

    async def _serve(
        self,
        environ: Environ,
        body: StreamedBody,
        send: Send,
        started: float,
        refusal: Exception | None,
    ) -> EventStream | None:
        """Answer a request; or return the stream that it is to be sent, which has begun and is to be closed."""
        gone = partial(self._door.leave, environ, GONE, (), started)
        loan = None if body.is_small(LARGE - ANSWER_EXCEEDS) else self._room.loan()  # for the answer to a large body
        try:
            try:
                if refusal is not None:
                    wire = _failed(environ, refusal)
                elif environ["PATH_INFO"] == CHANGES and wants_stream(environ):
                    return await self._stream(environ, body, gone)
                else:
                    wire = await self._answer(environ, body, loan, gone)
            except Departed:
                raise
            except Exception as error:  # noqa: BLE001  # as Flask's own handler
                wire = _failed(environ, error)
            if body.is_whole:
                await self._send(wire, environ, send, started, loan)
                return None
            status, headers, content = wire
            await self._send((status, [*headers, CLOSE], content), environ, send, started, loan)
        finally:
            if loan is not None:
                loan.give_back()
        if not waits_to_be_asked(environ, body):
            await discard(body)
        return None

    async def _answer(
        self, environ: Environ, body: StreamedBody, loan: Loan | None, gone: Callable[[], object]
    ) -> Wire:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        about_one = path.startswith(ROOT) and path != ROOT
        if _is_write(method, path, about_one=about_one):
            environ[ROUTE] = DOCUMENT if about_one else path
            with self._departures.watched(body, gone, sees_through=True):
                return wire_of(await self._write(method, environ, body, loan))
        with self._departures.watched(body, gone):
            if about_one and method in _READS:
                environ[ROUTE] = DOCUMENT
                return wire_of_reading(*await self._documents.reading(environ))
            return await self._look(method, path, environ)

    async def _write(self, method: str, environ: Environ, body: StreamedBody, loan: Loan | None) -> Answer:
        """What it holds is given back when it is done, even if its client goes before."""
        if method == "DELETE":
            return await self._documents.delete(environ)
        if loan is not None:
            await self._find_room(environ, loan)
        if environ[ROUTE] == DOCUMENT:
            return await self._documents.put(environ, body)
        if environ[ROUTE] == POLICY:
            return await self._policies.put(environ, body)
        if environ[ROUTE] == ROLLBACK:
            return await self._rollbacks.answer(environ, body)
        return await self._documents.batch(environ, body)

    async def _find_room(self, environ: Environ, loan: Loan) -> None:
        """For the answer to a write. Raises Refused, also what the write would be refused with by its head."""
        others = {POLICY: self._policies.expected_body, ROLLBACK: self._rollbacks.expected_body}
        expected_body = others.get(environ[ROUTE], self._documents.expected_body)
        if not await loan.take(expected_body(environ) + ANSWER_EXCEEDS):
            raise _too_many()

    async def _look(self, method: str, path: str, environ: Environ) -> Wire:
        """At what is not one document."""
        if method in _READS and (probe := self._probes.get(path)):
            environ[ROUTE] = path
            return wire_of(probe(environ))
        if method in _READS and path == POLICY:
            environ[ROUTE] = POLICY
            return wire_of(await self._policies.get(environ))
        if method in _READS and path == CHANGES:
            environ[ROUTE] = CHANGES
            return wire_of(await self._changes.answer(environ))
        if method in _READS and (question := self._questions.get(route := _question_in(path))):
            environ[ROUTE] = route
            return wire_of(await question(environ))
        status, headers, body = await self._bridge.answer(environ)
        return status, head(headers), body

    async def _stream(self, environ: Environ, body: StreamedBody, gone: Callable[[], object]) -> EventStream:
        environ[ROUTE] = CHANGES
        with self._departures.watched(body, gone):
            return await self._changes.stream(environ)

    async def _send_stream(
        self, stream: EventStream, environ: Environ, body: StreamedBody, send: Send, started: float
    ) -> None:
        """It is counted, and timed, as it begins: that its client goes is how it mostly ends."""
        try:
            with self._departures.watched(body, _nothing), self._room.loan() as loan:
                await send_stream(
                    send, self._leave(stream, environ, started), stream.pieces(), loan, stream.without_room
                )
        except Departed:
            raise
        except Exception as error:  # noqa: BLE001  # in the middle of an answer there is no other answer
            asyncio.get_running_loop().call_exception_handler({"message": "a stream failed", "exception": error})
        finally:
            stream.close()

    def _leave(self, stream: EventStream, environ: Environ, started: float) -> Head:
        headers = head([*stream.headers, *self._door.leave(environ, HTTPStatus.OK, stream.headers, started)])
        self._door.keep_rights(environ)
        return headers

    async def _send(self, wire: Wire, environ: Environ, send: Send, started: float, loan: Loan | None = None) -> None:
        """loan: what was taken for this answer before there was one."""
        status, headers, body = wire
        if environ["REQUEST_METHOD"] == "HEAD":
            body = b""
        if len(body) > LARGE:
            await self._send_large(wire, environ, send, started, loan or self._room.loan())
            return
        if more := self._door.leave(environ, status, headers, started):
            headers = [*headers, *head(more)]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _send_large(self, wire: Wire, environ: Environ, send: Send, started: float, loan: Loan) -> None:
        status, headers, body = wire
        with loan:
            if await loan.take(len(body)):
                ready = [*headers, *head(self._door.leave(environ, status, headers, started))]
                await send_in_pieces(send, status, ready, body)
                return
        status, problem, body = _failed(environ, _too_many())
        closing = [pair for pair in headers if pair == CLOSE]
        await self._send((status, [*problem, *closing], body), environ, send, started)


def _is_write(method: str, path: str, *, about_one: bool) -> bool:
    if about_one:
        return method in _WRITES
    return (method == "POST" and (path in COLLECTION or path == ROLLBACK)) or (method == "PUT" and path == POLICY)


def _nothing() -> None:
    """Do nothing: there is no more to tell once a stream's client has gone."""


def _too_many() -> Refused:
    detail = "Too many large answers are being sent."
    return refused(HTTPStatus.SERVICE_UNAVAILABLE, "too-many-answers", detail, retry_after=1)


def _too_many_requests() -> Refused:
    detail = "Too many requests are under way, over connections that carry several at once."
    return refused(HTTPStatus.SERVICE_UNAVAILABLE, "too-many-requests", detail, retry_after=1)


def _question_in(path: str) -> str:
    """The route of a question to the fleet, if it is one."""
    if path.startswith(MEMBERS + ROOT) and path != MEMBERS + ROOT:
        return MEMBERS + DOCUMENT
    return HISTORY_OF_KEY if path.startswith(HISTORY) and path != HISTORY else path


def _failed(environ: Environ, error: Exception) -> Wire:
    environ[FAILURE] = error
    return wire_of(answer_failure(error, environ["REQUEST_METHOD"], environ["PATH_INFO"]))
