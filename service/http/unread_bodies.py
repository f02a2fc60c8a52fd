"""What becomes of a body that the answer did not wait for: it is received and discarded, and the connection ends.

In front of every way in, so that no answer gets past. A server that ends a connection because a part of a body was not
read, without having said so, makes others lose requests:

    1. a proxy passes on a PUT that is refused by its headers, and its answer: for the proxy the exchange is over,
    2. over the same connection it sends a request of another client,
    3. the server meanwhile ends the connection, as it can't tell where in what comes the next request begins. The other
       client gets nothing, and can't know whether it was done.

So the answer says `Connection: close`. And a connection that ends while the client still sends is reset: the answer may
be lost with it, and is lost if there is a proxy between. So once the answer is out, what still comes is received and
discarded, until the client has sent all or has gone. Who waits for `100 Continue` is spared the body.

The answer is never held back until the body is there: a client may send no more before it has read it. Nor is a body
received by another thread: Granian, once the application has returned, waits for a read that is under way, and holds
the interpreter meanwhile. So this takes the request's thread, and a place (`service/http/places.py`); where none is
free, `Connection: close` stands alone.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Any

from service.documents.reads import Environ
from service.http.hit_path import StartResponse, WsgiApplication
from service.http.places import Places

CLOSE = ("Connection", "close")

LINGER = 5.0
"""Seconds for which is received what comes. A client that sends nothing, and stays, keeps its place."""

PIECE = 16 * 1024
"""Bytes that are received at a time."""

_LENGTH = re.compile(r"[0-9]{1,18}", re.ASCII)
_NOTHING = ("", "0")


class Body:
    """The body of a request, which counts what is read of it."""

    def __init__(self, stream: IO[bytes], length: int | None) -> None:
        """`length`: the bytes that were announced; None: that can't be told."""
        self._stream = stream
        self._length = length
        self.received = 0

    def read(self, size: int) -> bytes:
        """Up to `size` bytes; none at the end. Waits for them."""
        piece = self._stream.read(size)
        self.received += len(piece)
        return piece

    @property
    def is_whole(self) -> bool:
        """Whether all of it has been read."""
        return self.received == self._length


class UnreadBodies:
    """WSGI middleware: `app.wsgi_app = UnreadBodies(app.wsgi_app, places)`."""

    def __init__(self, rest: WsgiApplication, places: Places, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._rest = rest
        self._places = places
        self._clock = clock

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Has the request answered, and sees to what is left of it."""
        if environ.get("CONTENT_LENGTH", "") in _NOTHING and "HTTP_TRANSFER_ENCODING" not in environ:
            return self._rest(environ, start_response)
        body = environ["wsgi.input"] = Body(environ["wsgi.input"], _length(environ))
        head: tuple[Any, ...] = ()

        def begin(*begun: Any) -> None:
            nonlocal head
            head = begun  # once more, where another answer takes the place of the first

        answer = self._rest(environ, begin)
        if body.is_whole:
            start_response(*head)
            return answer
        status, headers, *error = head
        start_response(status, [*headers, CLOSE], *error)
        if "HTTP_EXPECT" in environ and not body.received:
            return answer
        return self._followed_by_discarding(answer, body)

    def _followed_by_discarding(self, answer: Iterable[bytes], body: Body) -> Iterator[bytes]:
        """The answer; who asks for more of it after its end waits for the client."""
        try:
            yield from answer
        finally:
            if close := getattr(answer, "close", None):
                close()
        until = self._clock() + LINGER
        with self._places.unwanted() as free:
            while free and self._clock() < until and body.read(PIECE):
                pass


def _length(environ: Environ) -> int | None:
    """The bytes announced. With a Transfer-Encoding that can't be trusted: a proxy may have seen another end."""
    announced = environ.get("CONTENT_LENGTH", "")
    trusted = "HTTP_TRANSFER_ENCODING" not in environ and _LENGTH.fullmatch(announced)
    return int(announced) if trusted else None
