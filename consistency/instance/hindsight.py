"""Whether what a write has overwritten has left no record: then its history has to say so (rule 19).

1. A document is put through the service, at M. 2. Somebody puts another one with etcdctl, at P. 3. Before an audit has
looked, it is put through the service again: no trace of P is left, and the record of M seems to tell what stood up to
this moment. But this last transaction has seen P, at which no version names the key. So it is with a P that an instance
of an earlier release has put: its version names the key, and has left no record.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

from consistency.core.model import Revision
from consistency.core.store import Store, StoreError
from consistency.instance.state import LocalState
from consistency.tasks import Errands


class Hindsight:
    """Belongs to one loop. timeout: seconds for what it reads and writes. Nobody waits for it."""

    def __init__(
        self, store: Store, state: LocalState, errands: Errands, timeout: float, clock: Callable[[], float]
    ) -> None:
        self._store = store
        self._state = state
        self._errands = errands
        self._timeout = timeout
        self._clock = clock

    def look(self, found: Sequence[tuple[str, Revision]], revision: Revision, nonce: str) -> None:
        """At what a write has found that no version applied here explains; in the background.

        revision: of the write, up to which versions are waited for if there is one to come that may explain it.
        """
        applied = self._state.applied.revision
        late = any(before > applied for _, before in found)
        if late or self._unexplained(found):
            self._errands.start(self._settle(found, revision if late else 0, nonce), "hindsight")

    async def _settle(self, found: Sequence[tuple[str, Revision]], revision: Revision, nonce: str) -> None:
        await self._state.await_horizon(revision, self._clock() + self._timeout)
        if keys := self._unexplained(found):
            with contextlib.suppress(StoreError):  # then this can't be known any more: see PROTOCOL.md, "Not promised"
                await self._store.doubt(keys, nonce, timeout=self._timeout)

    def _unexplained(self, found: Sequence[tuple[str, Revision]]) -> list[str]:
        return [key for key, before in found if self._state.explains(key, before) is False]
