"""How each endpoint of etcd is: whether it answers, which one to begin with, and which to look at again. Pure.

Owns what is remembered of the endpoints, and tells of each change, once. Asks nobody; the clock is a parameter.

  The first endpoint that does not fail is asked first, in the order in which they are configured.
  One that failed is passed over until it has answered again: because all others failed too, or because it was looked at
  again. That happens after FIRST_LOOK seconds, and later each time that it fails anew: to go back to an endpoint that
  keeps failing costs a call each time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from consistency.core.events import EndpointDown, EndpointUp, Observer

TRUST = 1.0
"""Seconds for which an endpoint that answered is trusted with a write."""

FIRST_LOOK = 1.0
"""Seconds until an endpoint that failed is looked at again."""

BACKOFF = 0.5
"""Seconds at most between two attempts to connect to an endpoint that refuses: so old may a refusal be."""

LAST_LOOK = 30.0
"""Seconds between two looks at most. An endpoint that was well for so long is looked at after FIRST_LOOK again."""


@dataclass(slots=True)
class _Endpoint:
    answered: float = float("-inf")
    up: bool | None = None  # None: it was not asked yet
    up_since: float = float("-inf")  # when it answered last, having failed before
    pause: float = 0.0  # how long it is left alone
    due: float = 0.0  # when to look again


class Health:
    """Belongs to one loop. `names` are the endpoints, as the events call them; `index` counts in their order.

    on_down: called when one begins to fail.
    """

    def __init__(
        self,
        names: Sequence[str],
        observer: Observer,
        clock: Callable[[], float],
        on_down: Callable[[], object] = lambda: None,
    ) -> None:
        self._names = names
        self._observer = observer
        self._clock = clock
        self._on_down = on_down
        self._endpoints = [_Endpoint() for _ in names]
        self.first = 0
        """The index of the endpoint to begin with."""
        self.refusals_count_from = float("-inf")
        """The moment from which on nobody is there if every endpoint refuses. Until then one that is back may still
        count as refusing:

          1. Endpoint A is away, and gRPC finds it refusing.
          2. A comes back. gRPC looks again half a second later, and calls go on being refused for so long.
          3. Meanwhile B goes, which has answered until now: all refuse, and A is there.
        """

    def trusts(self, index: int) -> bool:
        """Whether it answered so lately that a write may go there unasked."""
        return self._endpoints[index].answered + TRUST >= self._clock()

    def answered(self, index: int) -> None:
        """It gave an answer."""
        endpoint = self._endpoints[index]
        endpoint.answered = self._clock()
        if len(self._endpoints) > 1:  # one alone refuses when it does: there was no call that found out before
            self.refusals_count_from = endpoint.answered + 1.5 * BACKOFF  # gRPC adds a fifth by chance
        news, endpoint.up = not endpoint.up, True
        if news:
            endpoint.up_since = endpoint.answered
        self.first = min(self.first, index)
        if news:
            self._observer(EndpointUp(self._names[index]))

    def failed(self, index: int, finding: str, *, looking: bool = False) -> None:
        """It is to blame for a call that failed. `looking`: the call had no other purpose than to find out.

        The next call begins with another endpoint, and no write goes to this one before it is asked.
        """
        now = self._clock()
        endpoint = self._endpoints[index]
        endpoint.answered = float("-inf")
        news, endpoint.up = endpoint.up is not False, False
        if news or looking:
            well_for_long = news and now - endpoint.up_since > LAST_LOOK
            endpoint.pause = FIRST_LOOK if well_for_long else min(2 * endpoint.pause or FIRST_LOOK, LAST_LOOK)
            endpoint.due = now + endpoint.pause
        if self.first == index:
            self.first = self._next(index)
        if news or looking:
            self._observer(EndpointDown(self._names[index], finding))
        if news:
            self._on_down()

    def due(self) -> list[int]:
        """Those that fail, and should be looked at again by now."""
        now = self._clock()
        return [index for index, each in enumerate(self._endpoints) if each.up is False and each.due <= now]

    def next_look(self) -> float:
        """Seconds until the first of those that fail is due; LAST_LOOK if none does."""
        now = self._clock()
        waits = [each.due - now for each in self._endpoints if each.up is False]
        return max(0.0, min(waits, default=LAST_LOOK))

    def _next(self, index: int) -> int:
        """The one to begin with now that this one failed: the first that doesn't fail, or else just the next."""
        well = (other for other, each in enumerate(self._endpoints) if each.up is not False)
        return next(well, (index + 1) % len(self._endpoints))
