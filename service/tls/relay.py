"""Ends TLS in front of the server, to learn which certificate each client shows: the server itself does not tell.

It joins each client's connection to one of its own to the server, in plain text (`service.tls.inside`). Both HTTP/1.1
and HTTP/2 pass through untouched: nothing here reads them.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable

import structlog

from service.process.listener import listen_beside
from service.tls.client_certificates import certificate_of
from service.tls.inside import Address, Inside
from service.tls.pipe import END_WITHIN, Side

BEGIN_WITHIN = 10.0
"""Seconds for a client that has connected to begin, as many to agree on TLS, and as many to reach the server then."""

PAUSE = 0.1
"""Seconds before the next try to accept when that fails: what is missing, files mostly, others give back."""

LOOK = 0.01
FAREWELL = 0.5
"""Seconds for clients to take note that it ends, once they have all that was meant for them."""

TOLD_EVERY = 10.0
"""Seconds between lines in the log about clients that were not let in."""

NO_CERTIFICATE = "PEER_DID_NOT_RETURN_A_CERTIFICATE"
"""As OpenSSL says it."""

log = structlog.stdlib.get_logger("config.tls")


class Relay:
    """At one public address. Belongs to one loop; `start` once, `stop` once, then `end`."""

    def __init__(self, address: Address, *, connections: int, silent: int) -> None:
        """connections: that may be open at once. silent: how many more may have begun nothing yet, which cost little
        but a file."""
        self.inside = Inside()
        self._address = address
        self._places = asyncio.Semaphore(connections)
        self._accepted = asyncio.Semaphore(connections + silent)
        self._to: tuple[ssl.SSLContext, Address] | None = None
        self._listener: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._told_until, self._untold = 0.0, 0
        self._served: dict[asyncio.Task[None], Side | None] = {}  # with the client's side, once it is joined

    def start(
        self, context: ssl.SSLContext, server: Address, failed: Callable[[BaseException], object] = lambda _: None
    ) -> None:
        """Accept clients from now on. server: where it listens, on this machine. failed: called with what ended this
        before `stop`, which nothing should. Raises OSError."""
        self.switch(context, server)
        self._listener = listen_beside(self._address)
        self._accepting = asyncio.create_task(self._accept(self._listener), name="accept")
        self._accepting.add_done_callback(
            lambda task: None if task.cancelled() or not (error := task.exception()) else failed(error)
        )

    def switch(self, context: ssl.SSLContext, server: Address) -> None:
        """For connections from now on: what they are shown, and where they lead."""
        self._to = context, server

    def stop(self) -> None:
        """Accept nobody any more. The server answers what has been asked, and then ends these connections."""
        if self._accepting is not None:
            self._accepting.cancel()
        if self._listener is not None:
            self._listener.close()
        for task, joined in self._served.items():
            if joined is None:
                task.cancel()

    async def end(self, within: float) -> None:
        """After `stop`, and after the server has ended: until clients have taken the rest, at most so many seconds."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within
        while any(side and side.unsent for side in self._served.values()) and loop.time() < deadline:
            await asyncio.sleep(LOOK)
        if self._served:
            await asyncio.wait(self._served, timeout=max(0.0, min(FAREWELL, deadline - loop.time())))
        for task in self._served:
            task.cancel()
        tasks = {*self._served, *filter(None, (self._accepting,))}
        if tasks:
            await asyncio.wait(tasks)

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        failing = False
        while True:
            await self._accepted.acquire()
            try:
                client, address = await loop.sock_accept(listener)
            except OSError as error:
                self._accepted.release()
                if not failing:
                    log.error("no connection can be accepted at the moment", reason=error.strerror)
                failing = True
                await asyncio.sleep(PAUSE)
                continue
            failing = False
            task = asyncio.create_task(self._serve(client, address[0]), name="client")
            self._served[task] = None
            task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        del self._served[task]
        self._accepted.release()
        if not task.cancelled() and (error := task.exception()):
            told = {"message": "a connection failed", "exception": error}
            asyncio.get_running_loop().call_exception_handler(told)

    async def _serve(self, client: socket.socket, address: str) -> None:
        """One connection, to its end. address: of the client."""
        if not await self._begins(client):
            client.close()
            return
        try:
            await self._lead(client)
        except ssl.SSLError as error:
            self._tell(error, address)
        except OSError:
            return  # it has gone, or the server takes no more
        finally:
            self._places.release()

    async def _begins(self, client: socket.socket) -> bool:
        """Whether it has begun, and then has a place. Its socket stays ours if it has not, or this is cut short."""
        try:
            async with asyncio.timeout(BEGIN_WITHIN):
                await _readable(client)
                await self._places.acquire()
        except TimeoutError:
            return False
        except BaseException:
            client.close()
            raise
        return True

    def _tell(self, error: ssl.SSLError, address: str) -> None:
        """Log why a client was not let in, if its certificate is missing or does not count: the client itself learns
        nothing from this library. Nothing is logged of others, which speak no TLS, or not as we do."""
        why = error.verify_message if isinstance(error, ssl.SSLCertVerificationError) else error.reason or ""
        if not isinstance(error, ssl.SSLCertVerificationError) and why != NO_CERTIFICATE:
            return
        now = asyncio.get_running_loop().time()
        if now < self._told_until:
            self._untold += 1
            return
        log.warning("a client was not let in", reason=why, address=address, others_before=self._untold)
        self._told_until, self._untold = now + TOLD_EVERY, 0

    async def _lead(self, client: socket.socket) -> None:
        """The socket is the loop's from here on: nobody else closes it. Raises OSError."""
        assert self._to is not None, "it was started"
        context, server = self._to
        outer = Side()  # uvloop returns another protocol than this one
        transport, _ = await asyncio.get_running_loop().connect_accepted_socket(
            lambda: outer, client, ssl=context, ssl_handshake_timeout=BEGIN_WITHIN, ssl_shutdown_timeout=END_WITHIN
        )
        try:
            # A client that has finished its handshake may wait for this with its first request (Nagle's algorithm):
            # without tickets there is no other answer to it, and the kernel takes 40 ms.
            transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            shown = certificate_of(transport.get_extra_info("peercert"))
            async with asyncio.timeout(BEGIN_WITHIN):  # the kernel would try for two minutes
                inner = await self.inside.connect(server, outer, shown)
            try:
                await self._until_ended(outer, inner)
            finally:
                inner.abort()
        finally:
            outer.abort()

    async def _until_ended(self, outer: Side, inner: Side) -> None:
        task = asyncio.current_task()
        assert task is not None, "it is one of these"
        self._served[task] = outer
        await outer.ended.wait()
        await inner.ended.wait()


async def _readable(client: socket.socket) -> None:
    """Wait until it has sent something, or has gone."""
    loop = asyncio.get_running_loop()
    bell = asyncio.Event()
    loop.add_reader(client, bell.set)
    try:
        await bell.wait()
    finally:
        loop.remove_reader(client)
