"""The addresses behind the names of members, where a silent name server makes nobody else late.

Owns how many names are looked up at once, and what was found. Belongs to one loop. Opens no connection.

The system's resolver is asked, since names mean what they mean on this machine. It blocks a thread (asyncio's default
executor has five or more for all purposes; libuv, below uvloop, lets two of its threads look names up), and nothing
ends it early. So:

1. A asks for `gone.example`, whose name server is silent. A thread waits in the resolver: 10 s with the usual
   resolv.conf, 5 s twice.
2. A's deadline passes, and A gives up. The thread can't. The lookup goes on without A, and keeps its place until the
   resolver returns: a place that were given up with A would soon be a thread more.
3. B asks for the same name. It joins the lookup that is under way: no second thread.
4. C asks for `here.example`, whose name server answers. There are LOOKUPS places, and names that were silent the last
   time have one of them between them: C takes the other one.
5. Until a name was silent once nobody knows that it will be: a crowd of new ones passes through both places, and C, if
   it is new as well, may wait behind them. Found addresses are remembered, so C waits the first time only.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from consistency.tasks import Errands, within

LOOKUPS = 2
"""Names that are looked up at the same time, and threads that wait for the resolver at most."""

FRESH_FOR = 5.0
"""Seconds for which what was found is used without another lookup."""

PATIENCE = 0.3
"""Seconds after which what was found before is used, however old, instead of the answer that does not come."""

SILENT_FROM = 1.0
"""Seconds from which on a lookup counts as one that nobody answered."""

MOST = 512
"""Names that are remembered: there are at most 128 members at a time. More at once are not looked up."""

Lookup = Callable[[str], Awaitable[tuple[str, ...]]]


class UnknownName(Exception):
    """The resolver knows no address for it, or could not find out; or too many names wait for the resolver."""


@dataclass(slots=True)
class _Name:
    """What is known of one name. `found`: its addresses as of local time `at`, none if it has none that is known."""

    found: tuple[str, ...] = ()
    at: float = 0.0
    silent: bool = False
    ended: asyncio.Event | None = None  # of the lookup that is under way, if one is


async def ask_the_resolver(name: str) -> tuple[str, ...]:
    """Return the addresses of a name, in the resolver's order; none if there is no such name.

    Raises OSError when it can't find out.
    """
    try:
        found = await asyncio.get_running_loop().getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        if error.errno in _NO_SUCH_NAME:
            return ()
        raise
    except UnicodeError:  # a label that is too long
        return ()
    return tuple(dict.fromkeys(str(address[0]) for *_, address in found))


_NO_SUCH_NAME = (socket.EAI_NONAME, socket.EAI_NODATA)


@dataclass(slots=True)
class Names:
    """Finds addresses. `errands` owns the lookups."""

    errands: Errands
    lookup: Lookup = ask_the_resolver
    clock: Callable[[], float] = time.monotonic
    _known: dict[str, _Name] = field(default_factory=dict)
    _places: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(LOOKUPS))
    _places_of_the_silent: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(LOOKUPS - 1))

    async def addresses(self, host: str) -> tuple[str, ...]:
        """The addresses of `host`, itself if it is one. Waits as long as the resolver; the caller has a deadline.

        Raises UnknownName.
        """
        if _is_address(host):
            return (host,)
        name = self._name(host)
        if name.found and self.clock() - name.at <= FRESH_FOR:
            return name.found
        if name.ended is None:
            name.ended = asyncio.Event()
            self.errands.start(self._look_up(host, name, name.ended), "lookup")
        if name.found:
            await within(name.ended, PATIENCE)
        else:
            await name.ended.wait()
        if not name.found:
            raise UnknownName(host)
        return name.found

    def doubt(self, host: str) -> None:
        """Nobody was reached at what was found: look it up again, next time."""
        if host in self._known:
            self._known[host].at = -FRESH_FOR

    def _name(self, host: str) -> _Name:
        if host not in self._known:
            if len(self._known) >= MOST:
                self._forget_one()
            self._known[host] = _Name()
        return self._known[host]

    def _forget_one(self) -> None:
        """The oldest one that nobody waits for. Raises UnknownName."""
        for host, name in self._known.items():
            if name.ended is None:
                del self._known[host]
                return
        raise UnknownName(f"{MOST} other names wait for the name server")

    async def _look_up(self, host: str, name: _Name, ended: asyncio.Event) -> None:
        try:
            async with self._places_of_the_silent if name.silent else contextlib.nullcontext(), self._places:
                begun = self.clock()
                with contextlib.suppress(OSError):  # then what was found before still holds, if anything was
                    name.found = await self.lookup(host)
                    name.at = self.clock()
                name.silent = self.clock() - begun >= SILENT_FROM
        finally:
            name.ended = None
            ended.set()


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
