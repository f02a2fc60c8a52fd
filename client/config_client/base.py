"""What the blocking and the asynchronous client have in common: settings, and all that is read from memory."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar, overload

from config_client.connection import Connection
from config_client.core.feed import Feed, FeedOptions
from config_client.core.model import State, View
from config_client.core.requests import DeleteOperation, Operation, PutOperation
from config_client.errors import Closed, ConfigError, StartFailed
from config_client.keeper import Keeper
from config_client.memory import ABSENT, Memory, Snapshot
from config_client.values import encoded

T = TypeVar("T")
WEEK = 7 * 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Put:
    """Part of a batch: any JSON value, a model of pydantic's, or bytes of JSON text.

    if_match: the mod_revision that the document must bear; 0: there must be none.
    """

    name: str
    value: Any
    if_match: int | None = None


@dataclass(frozen=True, slots=True)
class Delete:
    """Part of a batch. if_match: a mod_revision."""

    name: str
    if_match: int | None = None


@dataclass(frozen=True, slots=True)
class Options:
    """fallback: the file of the last known good, used for `fallback_max_age` seconds after it was the newest.

    start_within: seconds that a start may take. feed: how fresh is told from stale, and how connections are spread.
    """

    fallback: str | Path | None = None
    fallback_max_age: float = WEEK
    start_within: float = 5.0
    feed: FeedOptions = field(default_factory=FeedOptions)


class Reading:
    """All that is answered from memory, by any thread, without waiting.

    Values are shared by all who read them: treat them as read-only.
    """

    def __init__(self, connection: Connection, prefix: str, options: Options) -> None:
        self.connection = connection
        self.prefix = prefix
        self._options = options
        self._clock = time.monotonic
        self._keeper: Keeper | None = None
        if options.fallback is not None:
            path = Path(options.fallback)
            self._keeper = Keeper(path, prefix, options.fallback_max_age, wall=time.time, clock=self._clock)
        self._feed = self._make_feed(View(), -math.inf)
        self._memory = Memory(prefix, View())
        self._is_open = False
        self._told = False  # whether the service itself has told of what is held, since the start

    @property
    def is_open(self) -> bool:
        """Whether it was started and is not closed."""
        return self._is_open

    # --- reads

    @overload
    def get(self, name: str) -> Any: ...
    @overload
    def get(self, name: str, kind: type[T], default: T = ...) -> T: ...
    @overload
    def get(self, name: str, kind: Any = None, default: Any = ...) -> Any: ...
    def get(self, name: str, kind: Any = None, default: Any = ABSENT) -> Any:
        """Return the value of a name beneath the prefix: JSON, or as `kind`, any type that pydantic can read.

        A newer document that is none of that kind does not take the place of one that was. Raises NoSuchKey, unless
        there is a default; InvalidValue, if none was ever of that kind; Closed.
        """
        if not self._is_open:
            self._refuse()
        return self._memory.get(name, kind, default)

    def __getitem__(self, name: str) -> Any:
        return self.get(name)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name in self.snapshot()

    def snapshot(self) -> Snapshot:
        """Return all documents beneath the prefix as they were at one revision. Raises Closed."""
        if not self._is_open:
            self._refuse()
        return Snapshot(self.prefix, self._memory.view)

    @property
    def revision(self) -> int:
        """The revision of what is read."""
        return self._memory.view.revision

    @property
    def state(self) -> State:
        """How sure it is that what is read is the newest: Fresh, Stale or Lost. Raises Closed."""
        if not self._is_open:
            self._refuse()
        return replace(self._feed.state(self._clock()), invalid=self._memory.invalid)

    @property
    def fallback_problem(self) -> str:
        """What is wrong with the file of the last known good; "" for nothing, or none."""
        return self._keeper.problem if self._keeper else ""

    # --- for the shells

    def _refuse(self) -> None:
        raise Closed("the client is closed, or was not started: use it as a context manager, or call start()")

    def _make_feed(self, view: View, proven_at: float, *, doubted: bool = False) -> Feed:
        chance: Callable[[], float] = random.random
        return Feed(self.connection.urls, self._options.feed, chance, view=view, proven_at=proven_at, doubted=doubted)

    def _load(self) -> None:
        """Load certificates, and begin with what the file has, if it has something. It may take its time."""
        self.connection = self.connection.secured()
        found = self._keeper.load() if self._keeper else None
        view, proven_at = (found.view, found.proven_at) if found else (View(), -math.inf)
        self._feed = self._make_feed(view, proven_at, doubted=True)  # the file's age is by a clock that may be set
        self._memory = Memory(self.prefix, view)

    def _start_failed(self) -> StartFailed:
        seconds = self._options.start_within
        failures = self._feed.failures
        tried = [f"{url}: {failures.get(url, f'nothing within {seconds:g} s')}" for url in self.connection.urls]
        if self._keeper and self._keeper.problem:
            tried.append(f"the file {self._keeper.problem}")
        return StartFailed(tried)

    def _operation(self, operation: Put | Delete) -> Operation:
        key = self.prefix + operation.name
        if isinstance(operation, Delete):
            return DeleteOperation(key, operation.if_match)
        return PutOperation(key, encoded(operation.value), operation.if_match)


def made_connection(urls: Any, given: dict[str, Any]) -> Connection:
    """Return the connection of a client's arguments. Raises ConfigError."""
    try:
        return Connection(urls, **given)
    except TypeError as error:
        raise ConfigError(str(error).replace("Connection.__init__()", "the client")) from error
