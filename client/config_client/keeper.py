"""Keeps the last known good in a file, and reads it at the start.

Owns the file, and what went wrong with it last (`problem`). Persisting fails without stopping anything: a full disk
shall not keep news from a program.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from config_client.core.last_good import LastGood, read, written
from config_client.core.model import View
from config_client.errors import BadFallback
from config_client.files import read_private, write_whole

AGE_WRITTEN = 60.0
"""Seconds after which a file is written anew though nothing has changed: so that it tells how old it is."""

log = logging.getLogger("config_client")


class Keeper:
    """See the module's opening. wall: seconds since 1970; clock: of the feed."""

    def __init__(
        self, path: Path, prefix: str, max_age: float, *, wall: Callable[[], float], clock: Callable[[], float]
    ) -> None:
        self.path = path
        self._prefix = prefix
        self._max_age = max_age
        self._wall = wall
        self._clock = clock
        self._written_at = float("-inf")
        self.problem = ""

    def load(self) -> LastGood | None:
        """Return what the file has, its `proven_at` by our clock; None, and `problem` says why."""
        try:
            found = read(read_private(self.path), self._prefix, self._wall(), self._max_age)
        except (BadFallback, OSError) as error:
            self.problem = f"{self.path}: {getattr(error, 'strerror', None) or error}"
            if not isinstance(error, FileNotFoundError):
                log.warning("the last known good is refused: %s", self.problem)
            return None
        return LastGood(found.view, self._clock() - max(0.0, self._wall() - found.proven_at))

    def is_due(self) -> bool:
        """Whether the file is to be written though nothing has changed."""
        return self._clock() - self._written_at >= AGE_WRITTEN

    def keep(self, view: View, proven_at: float) -> None:
        """Write a view. proven_at: by our clock."""
        now = self._clock()
        try:
            write_whole(self.path, written(view, self._prefix, self._wall() - (now - proven_at)))
        except OSError as error:
            if not self.problem:
                log.warning("the last known good can't be written: %s: %s", self.path, error.strerror)
            self.problem = f"{self.path}: {error.strerror}"
            return
        self._written_at, self.problem = now, ""
