"""The past that all who are told of changes share (rule 18): the events of long ago, and the revisions of resets.

Owns that the version key's past is read once for all who wait for it, and that who begins anew at about the same time
begins at one revision. Keeps no events: those are the history's. Belongs to one loop.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from consistency.core.events import Observer, PastRead
from consistency.core.feed import Scope, Token
from consistency.core.model import NO_VERSION, Revision, WrongTimeline
from consistency.core.options import CacheOptions
from consistency.core.store import Compacted, Store, StoreError, TooLarge, Unavailable
from consistency.instance.crowd import Crowd
from consistency.instance.state import LocalState


class NoWay(StoreError):
    """The past does not lead to what is remembered here without a gap: anything may have changed."""


@dataclass(frozen=True, slots=True)
class Reset:
    """A snapshot that others may share: of which token, and when what it shows was the newest."""

    token: Token
    complete_at: float


class SharedPast:
    """See the module's opening. begun: rises when the history begins anew; what was known of a token counts no more."""

    def __init__(
        self,
        store: Store,
        state: LocalState,
        options: CacheOptions,
        crowd: Crowd,
        *,
        observer: Observer,
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._state = state
        self._options = options
        self._crowd = crowd
        self._observer = observer
        self._clock = clock
        self.begun = 0
        self._resets: dict[tuple[Scope, bool], Reset] = {}
        self._reading = False
        self._wanted: Revision = 0  # the oldest that somebody waits for

    def begin_anew(self) -> None:
        """Forget what was of the history before."""
        self.begun += 1
        self._resets.clear()

    async def read(self, revision: Revision) -> None:
        """Have the events from `revision` on in memory: one read for all who wait for them.

        Raises Compacted, TooLarge and NoWay: they can't be had. WrongTimeline: there was no version then. Denied,
        Unavailable. A caller that was not the first returns when the first has read, and decides again; the next to
        read asks for the oldest that anybody still waits for.
        """
        self._wanted = min(self._wanted or revision, revision)
        if self._reading:
            await self._state.await_move(self._options.timeout)
            await self._crowd.turn()
            return
        self._reading = True
        wanted, self._wanted = self._wanted, 0
        try:
            await self._read(min(wanted, revision))
        except (Compacted, TooLarge, NoWay, WrongTimeline):
            if wanted >= revision:
                raise
            await self._read(revision)  # another's was older than can be had; ours may not be
        finally:
            self._reading = False
            self._state.tell_moved()

    async def _read(self, revision: Revision) -> None:
        begun, base = self.begun, self._state.remembered
        past = await self._store.versions(revision, base.revision, most=self._state.room, timeout=self._options.timeout)
        if begun != self.begun or self._state.remembered != base:
            return  # decide again
        if past.start == NO_VERSION:
            raise WrongTimeline(revision, base.revision)
        if not self._state.lengthen(past.start, past.events):
            raise NoWay("the version key was deleted, or overwritten, since then")
        self._observer(PastRead(len(past.events)))

    def reset_of(self, scope: Scope, values: bool, at_least: Revision) -> Reset:
        """Return the reset to tell: one that others have been told lately, if it will do."""
        key, now = (scope, values), self._clock()
        found = self._resets.get(key)
        if found and found.token.revision >= at_least and now - found.complete_at < self._options.staleness_bound:
            return found
        self._resets = {
            each: reset
            for each, reset in self._resets.items()
            if now - reset.complete_at < self._options.staleness_bound
        }
        here, complete_at = self._state.here(), self._state.complete_at
        if here is None:  # another history has been found meanwhile
            raise Unavailable("the history begins anew")
        self._resets[key] = made = Reset(here, now if complete_at is None else complete_at)
        return made
