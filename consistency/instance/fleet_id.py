"""The fleet's id, `P/fleet`: made once, by whoever comes first, and the same ever after, in a restored backup, too.

Owns what this instance knows of it, and the one question under way. Sessions are named by it (rule 10), so that two
fleets on one host, which a browser gives the same cookies to, don't take each other's for their own.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable

from consistency.core.store import OutcomeUnknown, Store, Unavailable


class FleetId:
    """Safe for concurrent use. `known`: the id; "" while it is not known. clock: local seconds."""

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock
        self._asking = threading.Lock()  # held while the store is asked: one asks for all who wait
        self._lock = threading.Lock()  # protects the next two; `known` is written under it, and read without
        self._histories = 0
        self.known = ""

    def get(self, deadline: float) -> str:
        """The id, asked for if it isn't known. Raises Unavailable, and Rejected and its kinds: nothing was done."""
        while not self.known:
            left = deadline - self._clock()
            if left <= 0 or not self._asking.acquire(timeout=left):
                raise Unavailable("the fleet's id could not be asked for in time")
            try:
                self._ask(deadline)
            finally:
                self._asking.release()
        return self.known

    def _ask(self, deadline: float) -> None:
        """Once, unless somebody else has.

        1. The store is asked, and answers. 2. It is restored from a backup that is older than the fleet's id; somebody
        notices (rule 8), and `forget` is called. 3. The answer arrives: it is of the lost history, and doesn't count.
        """
        with self._lock:
            if self.known:
                return
            asked_of = self._histories
        try:
            found = self._store.fleet(secrets.token_hex(8), timeout=deadline - self._clock())
        except OutcomeUnknown as error:  # of making an id; for whoever needs it to write something, nothing is done
            raise Unavailable(f"the fleet's id is not known: {error}") from error
        with self._lock:
            if self._histories == asked_of:
                self.known = found

    def forget(self) -> None:
        """The store is on another history, which may be older than the id."""
        with self._lock:
            self._histories += 1
            self.known = ""
