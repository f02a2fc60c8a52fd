"""The way from the loop to Flask: a few threads, and no queue without end.

Owns the threads. What Flask's routes need of the loop they get by `LoopRunner`; a route that hangs takes a thread with
it, and when all are taken, requests are refused at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from http import HTTPStatus
from threading import Lock
from typing import Any, TypeVar

from consistency.core.store import Unavailable
from service.http.problems import refused
from service.http.requests import Environ

T = TypeVar("T")
_Wire = tuple[int, list[tuple[str, str]], bytes]

THREADS = 4
WAITING = 28
"""Requests that may wait for a thread; each is done in milliseconds, unless something hangs."""

ANSWER_WITHIN = 20.0
"""Seconds for Flask's answer."""

ON_LOOP_WITHIN = 15.0
"""Seconds that a route waits for something done on the loop."""

WsgiApplication = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]


class LoopRunner:
    """Has things done on a loop, for threads that wait for the result."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def __call__(self, work: Coroutine[Any, Any, T]) -> T:
        """Return the result of `work`. Raises what it raises, and Unavailable when that takes too long."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(ON_LOOP_WITHIN)
        except TimeoutError:
            future.cancel()
            raise Unavailable(f"no answer within {ON_LOOP_WITHIN:g} s") from None


class MadeWhenAsked:
    """A WSGI application that `make` makes for the first request, on the thread of that request.

    If that fails, this request fails, and the next one tries again. For any thread.
    """

    def __init__(self, make: Callable[[], WsgiApplication]) -> None:
        self._make = make
        self._made: WsgiApplication | None = None
        self._making = Lock()  # protects _made: two first requests may come at once

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Pass the request on. Raises what `make` raises."""
        with self._making:
            application = self._made = self._made or self._make()
        return application(environ, start_response)


class Bridge:
    """Hands requests to a WSGI application. Belongs to one loop; `close` joins the threads."""

    def __init__(self, application: WsgiApplication, threads: int = THREADS, waiting: int = WAITING) -> None:
        self._application = application
        self._pool = ThreadPoolExecutor(threads, "flask")
        self._free = threads + waiting
        self._begun: set[Future[Any]] = set()

    async def answer(self, environ: Environ) -> _Wire:
        """Return the application's status, headers and body. Raises Refused (503), and what the application raises."""
        return await self.ask(partial(self._call, environ))

    async def ask(self, work: Callable[[], T]) -> T:
        """Return the result of `work`, which answers a request, done on one of the threads. Raises Refused (503)."""
        if not self._free:
            detail = "Too many requests for pages, lists and states are being answered."
            raise refused(HTTPStatus.SERVICE_UNAVAILABLE, "too-many-requests", detail, retry_after=1)
        self._free -= 1
        loop = asyncio.get_running_loop()
        begun = self._pool.submit(work)
        self._begun.add(begun)
        # It keeps this callback. If that named `begun`, each answer would lie there until somebody looks for cycles.
        begun.add_done_callback(lambda done: _tell(loop, partial(self._ended, done)))
        return await _answer_of(begun)

    async def close(self, within: float) -> bool:
        """Begin nothing more, and join the threads; whether all have ended in time: one that hangs is left behind."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        left = [asyncio.wrap_future(work) for work in self._begun]
        if left:
            _, late = await asyncio.wait(left, timeout=within)
            if late:
                return False
        self._pool.shutdown()
        return True

    def _ended(self, work: Future[Any]) -> None:
        self._free += 1
        self._begun.discard(work)

    def _call(self, environ: Environ) -> _Wire:
        """On a thread. Flask's routes leave in `environ` what the door has to know."""
        begun: list[Any] = []

        def start_response(status: str, headers: list[tuple[str, str]], error: object = None) -> None:
            del error
            begun[:] = (status, headers)

        environ |= {**_WSGI, "wsgi.input": io.BytesIO(), "wsgi.errors": io.StringIO()}
        answer = self._application(environ, start_response)
        try:
            body = b"".join(answer)
        finally:
            if close := getattr(answer, "close", None):
                close()
        status, headers = begun
        return int(status[:3]), headers, body


async def _answer_of(work: Future[T]) -> T:
    try:
        async with asyncio.timeout(ANSWER_WITHIN):
            return await asyncio.wrap_future(work)
    except TimeoutError:
        detail = f"There was no answer within {ANSWER_WITHIN:g} s."
        raise refused(HTTPStatus.SERVICE_UNAVAILABLE, "no-answer", detail, retry_after=1) from None


def _tell(loop: asyncio.AbstractEventLoop, ended: Callable[[], None]) -> None:
    with contextlib.suppress(RuntimeError):  # the loop has been closed, while a thread hung
        loop.call_soon_threadsafe(ended)


_WSGI = {
    "SCRIPT_NAME": "",
    "SERVER_NAME": "localhost",
    "SERVER_PORT": "80",
    "wsgi.version": (1, 0),
    "wsgi.url_scheme": "http",
    "wsgi.multithread": True,
    "wsgi.multiprocess": False,
    "wsgi.run_once": False,
}
