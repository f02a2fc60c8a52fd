"""The fleet's id, `P/fleet`: made once, by whoever comes first, and the same ever after, in a restored backup, too.

Owns what this instance knows of it, and the one question under way. Sessions are named by it (rule 10), so that two
fleets on one host, which a browser gives the same cookies to, don't take each other's for their own.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable

from consistency.core.store import OutcomeUnknown, Store, Unavailable
from consistency.tasks import Errands

_TOO_LATE = "the fleet's id could not be asked for in time"


class FleetId:
    """Belongs to one loop, but for `known`: the id; "" while it is not known. clock: local seconds."""

    def __init__(self, store: Store, clock: Callable[[], float], errands: Errands) -> None:
        self._store = store
        self._clock = clock
        self._errands = errands
        self._asking: asyncio.Task[None] | None = None  # for all who wait
        self._histories = 0
        self.known = ""

    async def get(self, deadline: float) -> str:
        """Return the id, asked for if it isn't known. Raises Unavailable, and Rejected and its kinds: nothing was done.

        A caller that goes away gives up its wait; the question goes on for the others.
        """
        while not self.known:
            if (left := deadline - self._clock()) <= 0:
                raise Unavailable(_TOO_LATE)
            if self._asking is None or self._asking.done():
                self._asking = self._errands.start(self._ask(left), "fleet-id")
            # 1. Its answer does not count, since the id was forgotten meanwhile; 2. who wakes first asks anew; 3. we
            # wake, and mean the question that we have waited for.
            asking = self._asking
            done, _ = await asyncio.wait((asking,), timeout=left)
            if not done:
                raise Unavailable(_TOO_LATE)
            if asking.cancelled():
                raise Unavailable("the cache was closed meanwhile")
            asking.result()
        return self.known

    async def _ask(self, timeout: float) -> None:
        """Once for all who wait.

        1. The store is asked, and answers. 2. It is restored from a backup that is older than the fleet's id; somebody
        notices (rule 8), and `forget` is called. 3. The answer arrives: it is of the lost history, and doesn't count.
        """
        asked_of = self._histories
        try:
            found = await self._store.fleet(secrets.token_hex(8), timeout=timeout)
        except OutcomeUnknown as error:  # of making an id; for whoever needs it to write something, nothing is done
            raise Unavailable(f"the fleet's id is not known: {error}") from error
        if self._histories == asked_of:
            self.known = found

    def forget(self) -> None:
        """The store is on another history, which may be older than the id."""
        self._histories += 1
        self.known = ""
