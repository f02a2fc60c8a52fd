"""Serves one instance with Granian, in the process's own loop, until it is told to stop.

One process: the loop, Granian's thread for the connections, Flask's, the log's, and (as a child) the embedded etcd.
Order at the end: readiness off, wait for the load balancer if asked to, no new connections, requests in flight.

Granian reads a certificate once. So with a renewed one another Granian listens beside the first, which is let go of:

    1. Both listen. New connections are given to the later one (`service.process.handover`).
    2. Clients of the earlier one go on. The next answer over HTTP/1.1 ends the connection, and says so.
    3. Idle connections of HTTP/1.1 have ended by themselves after a minute. Then the earlier one is told to stop: over
       HTTP/2 it says so, and what is under way is answered, streams to their end. At a port that workers share this
       comes after a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Collection, Coroutine, Iterator
from pathlib import Path
from typing import Any

from consistency.core.events import Observer
from consistency.tasks import Errands, within
from service.http.accepting import Accepting, Address, ServerFailed
from service.http.front import Front
from service.process import handover
from service.tls.files import written
from service.tls.renewal import NotRenewed
from service.tls.shown import Material
from service.workers.shared_port import SharedPort

DRAIN_WITHIN = 6.0
"""Seconds for requests in flight to be answered; none takes longer unless its client is slow or hangs."""

LOOK = 0.01
"""Seconds between looks at the requests that are still in flight."""

SEEN_OFF_AFTER = 75.0
"""Seconds that clients have to leave by themselves; idle ones are sent away after 60."""

SHARED_FOR = 1.0
"""The same where other workers share the port: meanwhile they get no new connections."""

CLOSES_WITHIN = 2.0
"""Seconds for one that was told to stop to listen no more, or for those who wait there to be accepted."""

MOST_EARLIER = 3
"""Renewed certificates whose predecessors still answer requests. A stream lasts for STREAM_LIFETIME at most."""


class Server:
    """On a port that is reserved (`service.process.listener.reserve`)."""

    def __init__(
        self,
        front: Front | SharedPort,
        held: socket.socket,
        *,
        connections: int,
        observer: Observer,
        material: Material | None = None,
        shared: bool = False,
    ) -> None:
        """connections: that may be open at once. observer: is told when an earlier server could not be seen off in
        order. material: with it, HTTPS is spoken. shared: whether other processes listen there, too."""
        self._linger = SHARED_FOR if shared else SEEN_OFF_AFTER
        self._front = front
        self._address: Address = held.getsockname()[:2]
        self._connections = connections
        self._material = material
        self._current: Accepting | None = None
        self._errands = Errands(observer)
        self._earlier: list[Accepting] = []
        self._is_ending = False
        self._bell = asyncio.Event()
        self._turn = asyncio.Lock()  # protects what the kernel was told last

    async def start(self) -> None:
        """Return when clients are accepted. Raises ServerFailed."""
        try:
            with _files_of(self._material) as files:
                self._current = self._with(files)
                await self._current.start((), self._tell)
        except OSError as error:
            raise ServerFailed(f"{type(error).__name__}: {error.strerror}") from None

    async def renew(self, material: Material) -> None:
        """Show new clients another certificate. Raises NotRenewed, and is as it was."""
        async with self._turn:
            try:
                await self._renew(material)
            except (OSError, ServerFailed) as error:
                raise NotRenewed(f"no server could be started with it: {error}") from None

    async def _renew(self, material: Material) -> None:
        """Raises NotRenewed, OSError, ServerFailed; then nothing that has begun goes on."""
        self._check_earlier()
        await self._finish_earlier()
        beside = await asyncio.to_thread(handover.listening_at, self._address)
        with _files_of(material) as files:
            later = self._with(files)
            try:
                await later.start(beside, self._tell)
                self._check_not_ending()
                taken_over = await asyncio.to_thread(handover.take_over, later.inode)
            except BaseException:
                later.stop()
                raise
        earlier = self._replace_by(later)
        self._keep(earlier, self._see_off(earlier, later, taken_over=taken_over))

    async def ended(self) -> None:
        """Return when the server has ended by itself, which it never should. Raises ServerFailed then."""
        await self._bell.wait()
        assert self._current is not None, "it was started"
        raise ServerFailed(self._current.why_it_ended())

    def refuse(self) -> None:
        """Accept nobody any more."""
        assert self._current is not None, "it was started"
        self._is_ending = True
        for each in (self._current, *self._earlier):
            each.stop()

    async def stop(self, within: float) -> bool:
        """Accept nobody any more, and let requests in flight be answered; whether all were within so many seconds."""
        assert self._current is not None, "it was started"
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within
        ends = [each.serving for each in (self._current, *self._earlier)]
        self.refuse()
        while self._front.under_way and loop.time() < deadline:
            await asyncio.sleep(LOOK)
        _, late = await asyncio.wait(ends, timeout=max(LOOK, deadline - loop.time()))
        if late:
            loop.set_exception_handler(_hear_granian_out)
        await self._errands.stop(max(LOOK, deadline - loop.time()))
        return not self._front.under_way

    def _replace_by(self, later: Accepting) -> Accepting:
        """Go on with that one. Return the one before."""
        earlier, self._current = self._current, later
        assert earlier is not None, "it was started"
        return earlier

    def _keep(self, earlier: Accepting, seen_off: Coroutine[Any, Any, None]) -> None:
        """Until its last request has been answered."""
        self._earlier.append(earlier)
        self._errands.start(self._until_ended(earlier, seen_off), "earlier-server")

    async def _until_ended(self, earlier: Accepting, seen_off: Coroutine[Any, Any, None]) -> None:
        """Whatever becomes of seeing it off, it is told to stop, and forgotten when it has ended."""
        await asyncio.wait((self._errands.start(seen_off, "see-off"),))
        earlier.stop()
        await asyncio.wait((earlier.serving,))
        self._forget(earlier)

    def _forget(self, earlier: Accepting) -> None:
        self._earlier.remove(earlier)

    def _check_not_ending(self) -> None:
        if self._is_ending:
            raise ServerFailed("this instance ends")

    def _check_earlier(self) -> None:
        if len(self._earlier) >= MOST_EARLIER:
            raise NotRenewed("requests are still answered under several earlier certificates; it is tried again")

    def _with(self, files: Collection[Path]) -> Accepting:
        return Accepting(self._front, self._address, connections=self._connections, tls=files)

    def _tell(self, ended: Accepting) -> None:
        if ended is self._current and not ended.is_stopped:
            self._bell.set()

    async def _finish_earlier(self) -> None:
        """No more than two may listen at once. Raises NotRenewed."""
        for each in tuple(self._earlier):  # whoever has answered all goes meanwhile
            each.stop()
            if not await self._until_closed(each):
                raise NotRenewed("the server with the certificate before this one still listens; it is tried again")

    async def _until_closed(self, stopped: Accepting) -> bool:
        """Wait until it listens no more; whether it came to be in time."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + CLOSES_WITHIN
        while stopped.inode in await asyncio.to_thread(handover.listening_at, self._address):
            if loop.time() > deadline:
                return False
            await asyncio.sleep(LOOK)
        return True

    async def _see_off(self, earlier: Accepting, later: Accepting, *, taken_over: bool) -> None:
        """Let its clients leave by themselves, then tell it to stop.

            1. A is seen off, since B has taken over.  2. C takes over from B.  3. A has ended: were the kernel told now
            to share again, B would get connections, and lose those that wait there when it is closed.

        So that is told by who sees off the predecessor of the present one alone, and not while another one begins.
        """
        loop = asyncio.get_running_loop()
        earlier.close_connections()
        if taken_over:
            await within(earlier.hurry, self._linger)
            deadline = loop.time() + CLOSES_WITHIN
            while not earlier.is_stopped and loop.time() < deadline:
                if not await asyncio.to_thread(handover.waiting, earlier.inode):
                    break
                await asyncio.sleep(LOOK)
        async with self._turn:
            earlier.stop()
            if taken_over and self._current is later:
                await self._until_closed(earlier)
                await asyncio.to_thread(handover.give_back, later.inode)


@contextlib.contextmanager
def _files_of(material: Material | None) -> Iterator[tuple[Path, ...]]:
    """What Granian is told of TLS. Raises OSError."""
    if material is None:
        yield ()
        return
    with written(*filter(None, (material.cert, material.key, material.client_ca))) as files:
        yield files


def _hear_granian_out(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Leave unsaid what Granian says too late: 1. a request hangs; 2. its time is up, and the task that serves is
    cancelled with all others; 3. Granian ends, and tells so to what that task waited for.
    """
    if not isinstance(context.get("exception"), asyncio.InvalidStateError):
        loop.default_exception_handler(context)
