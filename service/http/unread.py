"""What becomes of a body that the answer did not wait for: it is received and discarded, and the connection ends.

A server that ends a connection because a part of a body was not read, without having said so, makes others lose
requests:

    1. a proxy passes on a PUT that is refused by its headers, and its answer: for the proxy the exchange is over,
    2. over the same connection it sends a request of another client,
    3. the server meanwhile ends the connection, as it can't tell where in what comes the next request begins. The other
       client gets nothing, and can't know whether it was done.

So the answer says `Connection: close`. And a connection that ends while the client still sends is reset: the answer may
be lost with it, and is lost if there is a proxy between. So once the answer is out, what still comes is received and
discarded, until the client has sent all or has gone. A client that waits for `100 Continue` need not send the body.

The answer is never held back until the body is there: a client may send no more before it has read it.
"""

from __future__ import annotations

import asyncio

from service.http.requests import Environ, StreamedBody

LINGER = 5.0
"""Seconds for which is received what comes."""


def waits_to_be_asked(environ: Environ, body: StreamedBody) -> bool:
    """Return whether the client sends its body only once it is told to."""
    return "HTTP_EXPECT" in environ and not body.received


async def discard(body: StreamedBody) -> None:
    """Receive what still comes, for a while."""
    try:
        async with asyncio.timeout(LINGER):
            while await body.piece():
                pass
    except TimeoutError:
        return
