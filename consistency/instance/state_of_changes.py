"""What the state of an instance says of changes (rule 18): what a token is owed, and which entries tell it.

A part of `state`, which owns all of it. Changes nothing, but for how far back the events are remembered.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from consistency.core.feed import MOST_NAMES, NotYet, Owed, Scope, Token, is_value_at, owed, token_at
from consistency.core.freshness import Freshness
from consistency.core.known import Entry, NearCache
from consistency.core.model import Revision, VersionEvent, VersionState

Follow = Callable[[VersionEvent | None], None]
"""Called with each version that has been applied; with None when all begins anew, and anything may be different."""


def nobody(_: VersionEvent | None) -> None:
    """Takes the place of a listener as long as nobody follows."""


class StateOfChanges:
    """Belongs to one loop."""

    _fresh: Freshness
    _entries: NearCache
    _follow: Follow
    _owed: tuple[tuple[object, ...], Owed] = (), NotYet()  # what was asked last, and the answer

    def tell_changes_to(self, follow: Follow) -> None:
        """Tell `follow` of each change of what has been applied, from now on."""
        self._follow = follow

    def owed(self, token: Token, scope: Scope, most: int = MOST_NAMES) -> Owed:
        """What is owed of the scope after the token, as of what has been applied.

        Decided once for a crowd that asks the same, one after the other: a transaction may name thousands of keys, and
        concern thousands of clients. Nothing but what is asked and compared here decides it.
        """
        history, horizon = self._fresh.history, self._fresh.horizon
        asked = (token, scope, most, horizon, history, history.base, history.applied, history.all_named)
        if self._owed[0] != asked:
            self._owed = asked, owed(history, horizon, token, scope, most)
        return self._owed[1]

    def here(self) -> Token | None:
        """The token of the horizon; None while nothing has been applied."""
        applied = self._fresh.history.applied
        return token_at(self._fresh.horizon, applied) if applied.count else None

    def value_at(self, key: str, revision: Revision) -> Entry | None:
        """The entry, if what it holds is what the key had at `revision`."""
        entry, fresh = self._entries.get(key), self._fresh
        return entry if entry and is_value_at(entry, fresh.floor, fresh.horizon, revision) else None

    @property
    def complete_at(self) -> float | None:
        """See `Freshness.complete_at`."""
        return self._fresh.complete_at

    @property
    def remembered(self) -> VersionState:
        """The version after which all events are in memory."""
        return self._fresh.history.base

    @property
    def room(self) -> int:
        """See `History.room`."""
        return self._fresh.history.room

    def lengthen(self, start: VersionState, events: Sequence[VersionEvent]) -> bool:
        """See `History.lengthen`."""
        return self._fresh.history.lengthen(start, events)

    @property
    def everything_at(self) -> Revision:
        """The last version in memory that may have changed anything; 0 for none."""
        return self._fresh.history.all_named
