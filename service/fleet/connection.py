"""One connection to one member, and what is asked over it: httpx's client over a transport that never connects again.

A pool, httpx's own, opens another connection when one was closed: to whoever listens there by then, and with the token
that only the first one has proven to be for. The transport here has the one stream that it was given. What is closed
stays closed, and a request on it fails before a byte is sent.

Owns the bounds on what the other side can make this instance read, and the words for what went wrong. No redirection is
followed, no proxy of the environment is used, nothing is decompressed. The only importer of httpx, which takes a while
to load: it is imported when the fleet is asked for the first time.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Sequence
from dataclasses import asdict
from http import HTTPStatus
from typing import Any, NamedTuple
from urllib.parse import urlencode

import httpcore
import httpx

from service.fleet.foreign import LONGEST, Said, read_object
from service.fleet.proofs import PROOF, Bearer, Challenge
from service.tls.trust import Trust

MOST_READ = 4 * LONGEST
"""Bytes that are read from a connection, whatever they are: heads, chunks of one byte, answers before the answer."""

AT_A_TIME = 1024
"""Bytes that are taken apart before others have their turn on the loop: all of a flood at once would hold it.

As chunks of one byte each they take some 3 ms.
"""

NEXT_ADDRESS_AFTER = 0.4
"""Seconds after which the next address of a name is tried, if there is one."""

NOT_PROVEN = "did not prove that its address is its own; not asked"


class NotProven(Exception):
    """The listener is an instance of an earlier release, or no instance of this fleet."""


async def ask(
    address: str, found: Sequence[str], target: str, bearer: Bearer | None, trust: Trust | None = None
) -> Said:
    """GET `target` at `address` ("host:port"), whose host was found at these addresses; with the token, once proven.

    trust: of who is asked over TLS; without it, over plain HTTP. Waits as long as the other side does: the caller has a
    deadline.
    """
    host, _, port = address.rpartition(":")
    origin = httpcore.Origin(b"https" if trust else b"http", host.encode(), int(port))
    try:
        secured = Secured(trust.context(), trust.name_of(host.strip("[]"))) if trust else None
        stream = await _connect(found, int(port), secured)
        async with httpcore.AsyncHTTP11Connection(origin, stream) as connection:
            return await _converse(connection, _Transport(connection, origin), address, target, bearer)
    except NotProven:
        return Said(why_not=NOT_PROVEN)
    except ConnectionRefusedError:
        return Said(why_not="nobody listens at its address")
    except ssl.SSLCertVerificationError as error:
        return Said(why_not=f"its certificate is not trusted: {error.verify_message}"[:LONGEST_WORDS])
    except ssl.SSLError as error:
        return Said(why_not=f"no TLS with it: {error.reason or error}"[:LONGEST_WORDS])
    except Exception as error:  # noqa: BLE001  # whatever he makes of HTTP costs him his row, and nobody else's
        return Said(why_not=f"{type(error).__name__}: {error}"[:LONGEST_WORDS])


LONGEST_WORDS = 200
"""Characters of what went wrong: some errors repeat what the other side said."""


async def _converse(
    connection: httpcore.AsyncHTTP11Connection, transport: _Transport, address: str, target: str, bearer: Bearer | None
) -> Said:
    async with httpx.AsyncClient(
        transport=transport,
        base_url=f"{transport.scheme}://{address}",
        headers={"Accept-Encoding": "identity"},
        timeout=None,
        follow_redirects=False,
        trust_env=False,
    ) as client:
        if bearer is None:
            return await _get(client, target)
        await _demand_proof(client, Challenge.to(address, bearer.token))
        if not connection.is_idle():
            raise NotProven  # closed: whoever would answer another connection has proven nothing
        return await _get(client, target, {"Authorization": bearer.header})


async def _demand_proof(client: httpx.AsyncClient, challenge: Challenge) -> None:
    """Raises NotProven."""
    said = await _get(client, f"{PROOF}?{urlencode(asdict(challenge.ask))}")
    document = read_object(said.body)
    if said.status != HTTPStatus.OK or not challenge.is_met_by(document.get("proof") if document else None):
        raise NotProven


async def _get(client: httpx.AsyncClient, target: str, headers: dict[str, str] | None = None) -> Said:
    async with client.stream("GET", target, headers=headers) as response:
        named = tuple((name.lower(), value) for name, value in response.headers.multi_items())
        return Said(response.status_code, named, b"".join([piece async for piece in response.aiter_raw()]))


class _Transport(httpx.AsyncBaseTransport):
    """Sends requests over one connection, wherever their addresses lead."""

    def __init__(self, connection: httpcore.AsyncHTTP11Connection, origin: httpcore.Origin) -> None:
        self._connection = connection
        self._origin = origin
        self.scheme = origin.scheme.decode()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """See `httpx.AsyncBaseTransport`. Raises what httpcore raises, ConnectionNotAvailable once it is closed."""
        origin = self._origin
        asked = httpcore.Request(
            request.method,
            httpcore.URL(scheme=origin.scheme, host=origin.host, port=origin.port, target=request.url.raw_path),
            headers=request.headers.raw,
        )
        answer = await self._connection.handle_async_request(asked)
        return httpx.Response(answer.status, headers=answer.headers, stream=_Body(answer.stream))


class _Body(httpx.AsyncByteStream):
    """httpcore's stream as httpx has it, up to LONGEST."""

    def __init__(self, stream: Iterable[bytes] | AsyncIterable[bytes]) -> None:
        self._stream: Any = stream  # httpcore's own kind, which can be closed

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = LONGEST
        async with contextlib.aclosing(aiter(self._stream)) as pieces:
            async for piece in pieces:
                yield piece[:left]
                left -= len(piece)
                if left <= 0:
                    return

    async def aclose(self) -> None:
        await self._stream.aclose()


class _Stream(httpcore.AsyncNetworkStream):
    """asyncio's streams as httpcore has them, with bounds. Deadlines are the caller's."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._left = MOST_READ

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002
        """Some bytes, none at the end. Raises OSError."""
        if self._left <= 0:
            raise httpcore.RemoteProtocolError(f"it said more than {MOST_READ} bytes")
        await asyncio.sleep(0)  # a reader that has something does not wait
        piece = await self._reader.read(min(max_bytes, AT_A_TIME, self._left))
        self._left -= len(piece)
        return piece

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        """Raises OSError."""
        self._writer.write(buffer)
        await self._writer.drain()

    async def aclose(self) -> None:
        """At once: there is nothing left to send."""
        self._writer.transport.abort()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        """Raises NotImplementedError: a connection is encrypted from its beginning, or never."""
        raise NotImplementedError

    def get_extra_info(self, info: str) -> None:
        """Nothing: nobody needs it."""


class Secured(NamedTuple):
    """How a connection is encrypted, and for which name the certificate of the other side has to be."""

    context: ssl.SSLContext
    name: str


async def _connect(found: Sequence[str], port: int, secured: Secured | None) -> _Stream:
    """To the first of these addresses that answers. Raises OSError."""
    more: dict[str, Any] = {"ssl": secured.context, "server_hostname": secured.name} if secured else {}
    *first, last = found
    for host in first:
        try:
            async with asyncio.timeout(NEXT_ADDRESS_AFTER):
                return _Stream(*await asyncio.open_connection(host, port, **more))
        except ssl.SSLCertVerificationError:
            raise  # somebody answered, and is not trusted
        except OSError:  # TimeoutError is one
            continue
    return _Stream(*await asyncio.open_connection(last, port, **more))
