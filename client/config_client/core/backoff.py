"""Where to connect next, and when: several addresses, full jitter, and what an address has asked for.

Pure: time is an argument, chance a function.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

MOST_OBEYED = 300.0
"""Seconds of a Retry-After that are obeyed: a proxy that says a day shall not stop a client for a day."""


@dataclass(frozen=True, slots=True)
class BackoffOptions:
    """first: the longest first pause in seconds, doubled after each round of all addresses, up to `most`."""

    first: float = 0.2
    most: float = 15.0

    def __post_init__(self) -> None:
        if not 0 < self.first <= self.most:
            raise ValueError(f"0 < first <= most is expected, found first={self.first}, most={self.most}")


class Addresses:
    """The addresses of a service, and when each may be asked. The first one asked is drawn by chance."""

    def __init__(self, urls: Sequence[str], options: BackoffOptions, chance: Callable[[], float]) -> None:
        """Raises ValueError if there is none. chance: numbers in [0, 1)."""
        if not urls:
            raise ValueError("an address is expected, for example http://config.internal:8080, found none")
        self._urls = tuple(dict.fromkeys(urls))
        self._options = options
        self._chance = chance
        self._at = int(chance() * len(self._urls))
        self._failures = 0
        self._pause_until = float("-inf")
        self._not_before = dict.fromkeys(self._urls, float("-inf"))

    @property
    def urls(self) -> tuple[str, ...]:
        """All of them, each once."""
        return self._urls

    def next(self, now: float) -> str | float:
        """Return the address to ask now, or how many seconds to wait before asking this again."""
        if now < self._pause_until:
            return self._pause_until - now
        for step in range(len(self._urls)):
            url = self._urls[(self._at + step) % len(self._urls)]
            if self._not_before[url] <= now:
                self._at = (self._at + step) % len(self._urls)
                return url
        return min(self._not_before.values()) - now

    def failed(self, now: float, retry_after: float | None = None) -> None:
        """The address that was asked last has failed: another is next, after a pause of full jitter.

        retry_after: seconds in which that address does not want to be asked.
        """
        rounds = min(self._failures // len(self._urls), 30)
        self._failures += 1
        self._pause_until = now + self._chance() * min(self._options.most, self._options.first * 2**rounds)
        self._leave(now, retry_after)

    def left(self, now: float, retry: float | None) -> None:
        """The address that was asked last has said goodbye: another is next, at once.

        retry: seconds after which that address may be asked again.
        """
        self._pause_until = now
        self._leave(now, retry, spread=False)

    def worked(self) -> None:
        """The address that was asked last does what it should: the next failure is the first."""
        self._failures = 0

    def _leave(self, now: float, retry: float | None, *, spread: bool = True) -> None:
        if retry is not None:
            # What all are told alike is spread here; a goodbye is spread by who says it.
            seconds = min(retry, MOST_OBEYED) * (1 + self._chance() / 4 if spread else 1)
            self._not_before[self._urls[self._at]] = now + seconds
        self._at = (self._at + 1) % len(self._urls)
