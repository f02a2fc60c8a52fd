"""Calls an ASGI application as a server would: bytes of a path and of header lines, a body in pieces, a slow reader.

An exchange belongs to the loop that its application runs on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import quote_from_bytes

Application = Callable[[dict[str, Any], Any, Any], Awaitable[None]]
Lines = tuple[tuple[bytes, bytes], ...]

_MOST = 64 * 1024 * 1024
_END = {"type": "http.disconnect"}
_NOT_HTTP = {"CONTENT_LENGTH": b"content-length", "CONTENT_TYPE": b"content-type"}


@dataclass(frozen=True)
class Request:
    """What comes over a connection. target: the path, with its query, percent-encoded. headers: line by line."""

    method: str
    target: bytes
    headers: Lines = ((b"host", b"localhost"),)
    body: bytes = b""
    http_version: str = "1.1"

    @property
    def scope(self) -> dict[str, Any]:
        """As an ASGI server tells of it."""
        path, _, query = self.target.partition(b"?")
        return {
            "type": "http",
            "method": self.method,
            "raw_path": path,
            "query_string": query,
            "http_version": self.http_version,
            "headers": list(self.headers),
        }


@dataclass(frozen=True)
class Answer:
    """What has been sent. `is_whole`: whether the end of it was."""

    status: int
    headers: Lines
    body: bytes
    is_whole: bool = True

    def header(self, name: bytes) -> bytes:
        """The value of the one line of that name; empty if there is none."""
        found = [value for each, value in self.headers if each == name]
        assert len(found) < 2, f"{name!r} stands there twice"
        return found[0] if found else b""


@dataclass
class Exchange:
    """One request, of which the body comes as it is told to, and the answer as far as it is taken."""

    request: Request
    takes: bool = True
    """Whether the client takes what is sent to it; else `send` waits, as a server's does."""
    sent: list[dict[str, Any]] = field(default_factory=list)
    received: int = 0
    """Times that the application has asked for more."""
    _coming: asyncio.Queue[dict[str, Any]] = field(default_factory=asyncio.Queue)
    _taken: asyncio.Event = field(default_factory=asyncio.Event)
    _begun: asyncio.Event = field(default_factory=asyncio.Event)

    def say(self, piece: bytes, *, more: bool = True) -> None:
        """The client sends the next bytes of its body."""
        self._coming.put_nowait({"type": "http.request", "body": piece, "more_body": more})

    def leave(self) -> None:
        """The client goes away."""
        self._coming.put_nowait(_END)

    def take(self) -> None:
        """The client takes all that is sent from now on."""
        self._taken.set()

    async def begun(self) -> int:
        """Wait for the beginning of the answer; its status."""
        await self._begun.wait()
        return int(self.sent[0]["status"])

    async def receive(self) -> dict[str, Any]:
        """For the application."""
        self.received += 1
        message = await self._coming.get()
        if message is _END:
            self.leave()  # whoever asks again is told the same
        return message

    async def send(self, message: dict[str, Any]) -> None:
        """For the application."""
        self.sent.append(message)
        self._begun.set()
        if not self.takes and message["type"] == "http.response.body":
            await self._taken.wait()

    async def run(self, application: Application) -> Answer:
        """Return the answer once the application has ended with the request."""
        await application(self.request.scope, self.receive, self.send)
        return self.answer()

    def answer(self) -> Answer:
        """What has been sent so far. Raises AssertionError when that is in no order."""
        assert self.sent, "nothing was answered"
        start, *rest = self.sent
        assert start["type"] == "http.response.start"
        assert all(message["type"] == "http.response.body" for message in rest)
        body = b"".join(message["body"] for message in rest)
        whole = bool(rest) and not rest[-1].get("more_body", False)
        return Answer(start["status"], tuple(start["headers"]), body, whole)


async def ask(application: Application, request: Request) -> Answer:
    """Return the answer to a request whose body comes at once."""
    exchange = Exchange(request)
    exchange.say(request.body, more=False)
    return await exchange.run(application)


class AsWsgi:
    """A WSGI application that an ASGI application answers, for clients that know no other.

    run: has a coroutine done on the application's loop, and returns its result.
    """

    def __init__(self, application: Application, run: Callable[[Any], Any]) -> None:
        self._application = application
        self._run = run

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer one request."""
        answer: Answer = self._run(ask(self._application, request_of(environ)))
        headers = [(name.decode("latin-1").title(), value.decode("latin-1")) for name, value in answer.headers]
        start_response(f"{answer.status} {phrase(answer.status)}", headers)
        return [answer.body]


def phrase(status: int) -> str:
    """As Flask has it."""
    return HTTPStatus(status).phrase.upper()


def request_of(environ: dict[str, Any]) -> Request:
    """The request that a WSGI server would have told of in this way."""
    target = quote_from_bytes(environ["PATH_INFO"].encode("latin-1"), safe="/").encode()
    if query := environ.get("QUERY_STRING", ""):
        target += b"?" + query.encode("latin-1")
    stream = environ["wsgi.input"]
    length = environ.get("CONTENT_LENGTH", "")
    body = stream.read(min(int(length), _MOST)) if length.isascii() and length.isdigit() else b""
    version = environ.get("SERVER_PROTOCOL", "HTTP/1.1").removeprefix("HTTP/")
    return Request(environ["REQUEST_METHOD"], target, tuple(_lines(environ)), body, version)


def _lines(environ: dict[str, Any]) -> Iterator[tuple[bytes, bytes]]:
    for name, value in environ.items():
        if header := _NOT_HTTP.get(name):
            if value:
                yield header, value.encode("latin-1")
        elif name.startswith("HTTP_"):
            yield name.removeprefix("HTTP_").replace("_", "-").lower().encode(), value.encode("latin-1")
