"""`DistributedCache`: the same cache for those who run no loop: every method may be called from any thread, and waits.

Owns nothing but the way to the loop. A hit takes no way at all: it is found on the caller's thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

from consistency.cache import AsyncDistributedCache
from consistency.core.events import Observer, ignore
from consistency.core.feed import Scope, Token, Told
from consistency.core.model import NOBODY, Applied, Author, Policy, Precondition, Reading, Revision, Status, Written
from consistency.core.options import CacheOptions
from consistency.core.rollbacks import Plan
from consistency.core.store import Change, OutcomeUnknown, Page, Store, StoreError, Unavailable
from consistency.instance.clock import boottime
from consistency.instance.recall import KeyHistory
from consistency.instance.writes import Approve
from consistency.loop import PROCESS_LOOP, LoopThread

T = TypeVar("T")

CLOSED_WITHIN = 30.0
"""Seconds, more than closing takes, for which a second `close` waits for the first."""


class DistributedCache:
    """`AsyncDistributedCache`, blocking; its arguments are the same. Safe for use from many threads.

    closes_store: False when other caches use the same store; otherwise `close` closes it, since nobody else could on
    its loop. All of a process share one loop, in a thread of its own, from the first call on. `with` starts and closes
    it. On a thread that runs a loop itself every method but `hit` raises RuntimeError, and so it does in a child that
    was forked meanwhile. After `close` everything but `hit` raises Unavailable.
    """

    def __init__(
        self,
        store: Store,
        options: CacheOptions,
        *,
        description: str = "{}",
        observer: Observer = ignore,
        clock: Callable[[], float] = boottime,
        etcd_trouble: Callable[[], str] = lambda: "",
        closes_store: bool = True,
        loop: LoopThread = PROCESS_LOOP,
    ) -> None:
        self._store = store
        self._closes_store = closes_store
        self._cache = AsyncDistributedCache(
            store, options, description=description, observer=observer, clock=clock, etcd_trouble=etcd_trouble
        )
        self._loop = loop
        self._has_closed = threading.Event()
        self._lock = threading.Lock()  # protects what follows
        self._uses_loop = False
        self._closed = False

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def asynchronous(self) -> AsyncDistributedCache:
        """The cache itself, for coroutines that `do` runs."""
        return self._cache

    def start(self) -> None:
        """See `AsyncDistributedCache.start`."""
        self.do(self._start())

    def close(self) -> None:
        """See `AsyncDistributedCache.close`. The last one of a process also ends the loop and joins its thread.

        A second thread that calls it meanwhile waits until it is closed. Where it raises RuntimeError, nothing is
        closed yet.
        """
        self._loop.check()
        with self._lock:
            closed, self._closed = self._closed, True
            if not closed:
                self._use_loop()
        if closed:
            self._has_closed.wait(CLOSED_WITHIN)
            return
        try:
            self._loop.run(self._close())
        finally:
            self._loop.leave()
            self._has_closed.set()

    def get(
        self,
        key: str,
        use_cache: bool = True,
        *,
        linearizable: bool = False,
        min_revision: Revision = 0,
        stale_if_error: float = 0.0,
        session_unknown: bool = False,
    ) -> Reading:
        """See `AsyncDistributedCache.get`. A hit crosses no thread."""
        self._loop.check()  # for a hit, too: what is a mistake must not depend on what is in memory
        if use_cache and not (linearizable or session_unknown) and (reading := self._cache.hit(key, min_revision)):
            return reading
        return self.do(
            self._cache.get(
                key,
                use_cache,
                linearizable=linearizable,
                min_revision=min_revision,
                stale_if_error=stale_if_error,
                session_unknown=session_unknown,
            )
        )

    def hit(self, key: str, min_revision: Revision = 0) -> Reading | None:
        """See `AsyncDistributedCache.hit`."""
        return self._cache.hit(key, min_revision)

    @property
    def known_fleet_id(self) -> str:
        """See `AsyncDistributedCache.known_fleet_id`."""
        return self._cache.known_fleet_id

    def fleet_id(self) -> str:
        """See `AsyncDistributedCache.fleet_id`."""
        return self.do(self._cache.fleet_id())  # if it is known, too: see `get`

    def get_at(self, key: str, revision: Revision) -> Reading:
        """See `AsyncDistributedCache.get_at`."""
        return self.do(self._cache.get_at(key, revision))

    def history(self, key: str, *, before: Revision | None = None, limit: int = 20) -> KeyHistory:
        """See `AsyncDistributedCache.history`."""
        return self.do(self._cache.history(key, before=before, limit=limit))

    def plan(self, prefix: str, revision: Revision) -> Plan:
        """See `AsyncDistributedCache.plan`."""
        return self.do(self._cache.plan(prefix, revision))

    def changes(self, scope: Scope, *, after: Token | None = None, wait: float = 0.0, values: bool = True) -> Told:
        """See `AsyncDistributedCache.changes`. Waiting takes a thread, the caller's."""
        return self.do(self._cache.changes(scope, after=after, wait=wait, values=values))

    @property
    def policy(self) -> Policy:
        """See `AsyncDistributedCache.policy`."""
        return self._cache.policy

    def read_policy(self) -> Policy:
        """See `AsyncDistributedCache.read_policy`."""
        return self.do(self._cache.read_policy())

    def put_policy(self, text: bytes, *, if_match: Revision | None = None, author: Author = NOBODY) -> Written:
        """See `AsyncDistributedCache.put_policy`."""
        return self._write(self._cache.put_policy(text, if_match=if_match, author=author))

    def put(
        self,
        key: str,
        value: bytes,
        *,
        precondition: Precondition | None = None,
        sync: bool = False,
        author: Author = NOBODY,
        approve: Approve | None = None,
    ) -> Written:
        """See `AsyncDistributedCache.put`. `approve` is awaited on the cache's loop."""
        return self._write(
            self._cache.put(key, value, precondition=precondition, sync=sync, author=author, approve=approve)
        )

    def delete(
        self,
        key: str,
        *,
        precondition: Precondition | None = None,
        sync: bool = False,
        author: Author = NOBODY,
        approve: Approve | None = None,
    ) -> Written:
        """See `AsyncDistributedCache.delete`."""
        return self._write(
            self._cache.delete(key, precondition=precondition, sync=sync, author=author, approve=approve)
        )

    def apply(
        self,
        changes: Sequence[Change],
        *,
        sync: bool = False,
        author: Author = NOBODY,
        approve: Approve | None = None,
    ) -> Applied:
        """See `AsyncDistributedCache.apply`."""
        return self._write(self._cache.apply(changes, sync=sync, author=author, approve=approve))

    def page(self, prefix: str, *, after: str | bytes, limit: int) -> Page:
        """See `AsyncDistributedCache.page`."""
        return self.do(self._cache.page(prefix, after=after, limit=limit))

    def status(self) -> Status:
        """See `AsyncDistributedCache.status`."""
        return self.do(self._status())

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Return the result of `work`, done on the cache's loop: for what else there is to be asked of its store."""
        return self._do(work, Unavailable)

    def _write(self, work: Coroutine[Any, Any, T]) -> T:
        """1. It is sent; 2. another thread closes the cache; 3. its answer is not waited for: it may have happened."""
        return self._do(work, OutcomeUnknown)

    def _do(self, work: Coroutine[Any, Any, T], lost: type[StoreError]) -> T:
        try:
            self._loop.check()
            self._enter()
        except BaseException:
            work.close()
            raise
        return self._loop.run(work, lost=lost)

    def _enter(self) -> None:
        with self._lock:
            if self._closed:
                raise Unavailable("the cache is closed")
            self._use_loop()

    def _use_loop(self) -> None:
        """The first call, whichever it is, makes this a user of the loop: constructing one starts no thread."""
        if not self._uses_loop:
            self._loop.enter()
            self._uses_loop = True

    async def _start(self) -> None:
        self._cache.start()

    async def _status(self) -> Status:
        return self._cache.status()

    async def _close(self) -> None:
        try:
            await self._cache.close()
        finally:
            if self._closes_store:
                await self._store.close()
