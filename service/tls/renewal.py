"""Looks for a renewed certificate, and has clients shown it.

The files are looked at again and again, and read once they have changed and then stayed as they are:

    1. Somebody writes the new certificate, and then its key. A look in between finds a pair that does not belong
       together. It was read too early, and nothing is shown.
    2. The next look finds the files changed again: they are read once more.
    3. Kubernetes replaces both at once, by another link on the way to them. That is a change as any other.

What can't be used changes nothing: clients are shown what they were shown before.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import structlog

from service.process.startup import StartupError
from service.tls.shown import Material

if TYPE_CHECKING:
    from service.tls.material import Sources

log = structlog.stdlib.get_logger("config.tls")


TURN = 3.0
"""Seconds between two workers that read a changed file: each tries it in a process of its own, and has the machine's
new connections for a second."""


class NotRenewed(Exception):
    """The server goes on with what it has. The message says why."""


class Renewal:
    """Renews the certificate of one instance. material: what clients are shown now. trouble: why the files can't be
    used, "" if they can."""

    def __init__(self, sources: Sources, check: Callable[[Material], None], turn: int = 0) -> None:
        """Reads the files. Raises StartupError. check: raises it for what the server would not take; may block.

        turn: of several that see the same change, which one this is.
        """
        self._sources = sources
        self._after = turn * TURN
        self._due: float | None = None
        self._check = check
        self._read = self._seen = sources.states()  # before they are read: what changes meanwhile is a change
        self.material = sources.read()
        check(self.material)
        self.trouble = ""
        self._again = False
        self._show: Callable[[Material], Awaitable[None]] | None = None

    @property
    def has_files(self) -> bool:
        """Whether there is anything to look at."""
        return bool(self._sources.files)

    def tell(self, show: Callable[[Material], Awaitable[None]]) -> None:
        """Set what shows clients another certificate; it may raise NotRenewed. Before this call nothing is read."""
        self._show = show

    async def look(self, at_once: bool) -> None:
        """Read the files if they have changed, and are as they were at the last look; `at_once`: in any case."""
        if self._show is None:
            return
        now = await asyncio.to_thread(self._sources.states)  # they may be far away
        settled = now != self._read and now == self._seen
        self._seen = now
        if at_once or self._again or (settled and self._is_its_turn()):
            self._read, self._due = now, None
            await self._read_again(self._show)

    def _is_its_turn(self) -> bool:
        now = time.monotonic()
        if self._due is None:
            self._due = now + self._after
        return now >= self._due

    async def _read_again(self, show: Callable[[Material], Awaitable[None]]) -> None:
        self._again = True  # unless it comes to an end
        try:
            found = await asyncio.to_thread(self._sources.read)
            if found != self.material:
                await asyncio.to_thread(self._check, found)
                await show(found)
                self.material = found
                log.info("the certificate has been renewed", certificate=found.describe())
        except StartupError as error:
            self._again = False
            self._stays(str(error).partition(". Expected")[0], str(error))
        except NotRenewed as error:
            self._stays(str(error), str(error))
        else:
            self._again, self.trouble = False, ""

    def _stays(self, trouble: str, reason: str) -> None:
        if trouble != self.trouble:
            log.error("the certificate stays as it was, since it can't be renewed", reason=reason)
        self.trouble = trouble
