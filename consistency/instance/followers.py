"""The clients that wait for changes, by what they follow: an event costs as much as the clients that it concerns.

Owns the index and the waiting. Knows nothing of what is told. Belongs to one loop.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator

from consistency.core.feed import Scope
from consistency.core.model import Revision
from consistency.instance.alarms import Alarms
from consistency.instance.crowd import Crowd, Waiter


class Followers:
    """All who follow one scope. since: their scope has been looked after since this revision was applied, with no gap.

    touched: the last revision since at which an event concerned it; 0 for none. waiters: with their alarms.
    """

    __slots__ = ("scope", "since", "touched", "users", "waiters")

    def __init__(self, scope: Scope, since: Revision) -> None:
        self.scope = scope
        self.since = since
        self.touched: Revision = 0
        self.users = 0
        self.waiters: dict[Waiter, int] = {}

    def has_seen_nothing_since(self, revision: Revision) -> bool:
        """Whether no event after `revision` has concerned the scope; False also when that can't be told."""
        return self.since <= revision and self.touched <= revision


class Index:
    """See the module's opening. crowd: by which all are woken."""

    def __init__(self, crowd: Crowd) -> None:
        self._crowd = crowd
        self._all: dict[Scope, Followers] = {}
        self._by_key: dict[str, dict[Followers, None]] = {}
        self._by_prefix: dict[str, dict[Followers, None]] = {}
        self._lengths: Counter[int] = Counter()  # of the prefixes; a name is looked up under each of them
        self._alarms = Alarms(crowd.wake)

    def __bool__(self) -> bool:
        return bool(self._all)

    def join(self, scope: Scope, horizon: Revision) -> Followers:
        """Follow a scope, of which all up to `horizon` has been applied. Each `join` has its `leave`."""
        followers = self._all.get(scope)
        if followers is None:
            followers = self._all[scope] = Followers(scope, horizon)
            for key in scope.keys:
                self._by_key.setdefault(key, {})[followers] = None
            for prefix in scope.prefixes:
                self._by_prefix.setdefault(prefix, {})[followers] = None
                self._lengths[len(prefix)] += 1
        followers.users += 1
        return followers

    def leave(self, followers: Followers) -> None:
        """Follow it no more."""
        followers.users -= 1
        if followers.users:
            return
        scope = followers.scope
        del self._all[scope]
        for key in scope.keys:
            _take_out(self._by_key, key, followers)
        for prefix in scope.prefixes:
            _take_out(self._by_prefix, prefix, followers)
            self._lengths[len(prefix)] -= 1
            if not self._lengths[len(prefix)]:
                del self._lengths[len(prefix)]

    def see(self, names: Iterable[str] | None, revision: Revision) -> None:
        """An event names these, or may have changed anything: wake whom it concerns."""
        for followers in self._all.values() if names is None else self._concerned(names):
            followers.touched = revision
            self._wake(followers)

    def begin_anew(self, horizon: Revision) -> None:
        """No event tells of what lies between the last one and `horizon`: all look after their scopes from there on.

        1. A stream misses versions that concern a scope. 2. The next one begins after them, and the past up to there is
        read. 3. A client is told a first part of it, up to a version in the middle: what came after that has touched
        the scope, and nobody has seen it.
        """
        for followers in self._all.values():
            followers.since = horizon
        self.wake_all()

    def wake_all(self) -> None:
        """Have everybody look again."""
        for followers in self._all.values():
            self._wake(followers)

    def waiter(self, followers: Followers, seconds: float) -> Waiter:
        """A future, done when it is worth looking again, or after `seconds`; its owner may `wake` it. To be `left`.

        No coroutine, so that it costs a waiter no frame.
        """
        waiter = asyncio.get_running_loop().create_future()
        followers.waiters[waiter] = self._alarms.set(waiter, seconds)
        return waiter

    def left(self, followers: Followers, waiter: Waiter) -> None:
        """Nobody waits by this any more."""
        if (step := followers.waiters.pop(waiter, None)) is not None:
            self._alarms.unset(waiter, step)

    def _concerned(self, names: Iterable[str]) -> Iterator[Followers]:
        found: dict[Followers, None] = {}
        for name in names:
            found |= self._by_key.get(name, {})
            for length in self._lengths:
                if length <= len(name):
                    found |= self._by_prefix.get(name[:length], {})
        return iter(found)

    def _wake(self, followers: Followers) -> None:
        woken, followers.waiters = followers.waiters, {}
        if woken:
            self._crowd.wake(self._leaving(woken))

    def _leaving(self, woken: dict[Waiter, int]) -> Iterator[Waiter]:
        """Each as it is woken: ten thousand at once would hold the loop."""
        for waiter, step in woken.items():
            self._alarms.unset(waiter, step)
            yield waiter


def _take_out(index: dict[str, dict[Followers, None]], name: str, followers: Followers) -> None:
    del index[name][followers]
    if not index[name]:
        del index[name]
