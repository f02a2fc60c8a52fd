"""Changes for those who want to be told of them: gathered for each, so that a slow one loses nothing and stops nobody.

There is no queue: for each name that a listener has not been told of, what it was told last is kept. So what is kept
has the bound of the scope, however slow the listener, and it is told the last change of each.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from typing import Any

from config_client.core.model import NOBODY, Author, Document
from config_client.core.replica import Update
from config_client.errors import InvalidValue


@dataclass(frozen=True, slots=True)
class Change:
    """A name, its document before and now (None: there is none), and the revision at which that is so.

    author: who made the last change of it, and why, where the service tells.
    """

    name: str
    before: Document | None
    now: Document | None
    revision: int
    author: Author = NOBODY

    @property
    def value(self) -> Any:
        """The JSON value now; None if there is none."""
        return None if self.now is None else json.loads(self.now.value)


class Backlog:
    """The changes that one listener has not been told yet. `_lock` keeps gathering and taking apart."""

    def __init__(self, prefix: str, name: str) -> None:
        """name: of a document, or the beginning of names if it ends with a slash or is empty."""
        self._prefix = prefix
        self._name = name
        self._lock = threading.Lock()
        self._before: dict[str, Document | None] = {}
        self._last: Update | None = None
        self._authors: dict[str, Author] = {}

    def add(self, update: Update) -> bool:
        """Gather an update; return whether there is something to tell."""
        wanted = self._prefix + self._name
        if self._name == "" or self._name.endswith("/"):
            keys = [key for key in update.names if key.startswith(wanted)]
        else:
            keys = [key for key in update.names if key == wanted]
        with self._lock:
            for key in keys:
                self._before.setdefault(key, update.before.documents.get(key))
                self._authors[key] = update.authors.get(key, NOBODY)
            self._last = update
            return bool(self._before)

    def after_fork(self) -> None:
        """Make the lock anew: whoever held it is not in this process."""
        self._lock = threading.Lock()

    def take(self) -> list[Change]:
        """Return what has changed since this was asked last."""
        with self._lock:
            before, last, authors = self._before, self._last, self._authors
            self._before, self._last, self._authors = {}, None, {}
        if last is None:
            return []
        after = last.after
        changes = (
            Change(key.removeprefix(self._prefix), old, after.documents.get(key), after.revision, authors[key])
            for key, old in before.items()
        )
        return [each for each in changes if each.before != each.now]


class Refusals:
    """What its type refuses, and `on_invalid` has not been told yet: the last of each name."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._refused: dict[str, InvalidValue] = {}

    def add(self, refused: InvalidValue) -> None:
        """Gather one."""
        with self._lock:
            self._refused[refused.key] = refused

    def after_fork(self) -> None:
        """Make the lock anew: whoever held it is not in this process."""
        self._lock = threading.Lock()

    def take(self) -> list[InvalidValue]:
        """Return what has been refused since this was asked last."""
        with self._lock:
            taken, self._refused = self._refused, {}
        return list(taken.values())
