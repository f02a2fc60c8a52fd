"""`AsyncDistributedCache`: one instance's access to the configuration. See PROTOCOL.md for the rules cited here.

Owns what callers see: what each call promises, and what is ready. `instance.parts` does it. Does not own the store:
who made it closes it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Self

from consistency.core.events import Observer, ignore
from consistency.core.feed import Scope, Token, Told
from consistency.core.model import (
    NOBODY,
    Applied,
    Author,
    Demand,
    Policy,
    Precondition,
    Reading,
    Revision,
    Status,
    Written,
)
from consistency.core.options import CacheOptions
from consistency.core.rollbacks import Plan
from consistency.core.store import Change, Page, Put, Scan, Store
from consistency.instance.clock import boottime
from consistency.instance.following import Following
from consistency.instance.parts import Parts
from consistency.instance.reads import HIT
from consistency.instance.recall import KeyHistory
from consistency.instance.writes import Approve


class AsyncDistributedCache:
    """Reads from memory what is proven fresh, everything else and all writes from and to the store.

    store: shared with the other instances through etcd. options: see `CacheOptions`. description: JSON that tells the
    fleet about this instance, stored in its member key; `boot` in it tells a process from the next one in its place.
    observer: see `consistency.core.events`. clock: local seconds, for the freshness window only. wall: seconds since
    1970, to say when somebody left. etcd_trouble: what else is known of a store that does not answer, else "". Made and
    used on one loop; `hit` alone may be called from any thread. Before `start` and after `close` it answers without
    caching. `async with` starts and closes it.
    """

    def __init__(
        self,
        store: Store,
        options: CacheOptions,
        *,
        description: str = "{}",
        observer: Observer = ignore,
        clock: Callable[[], float] = boottime,
        wall: Callable[[], float] = time.time,
        etcd_trouble: Callable[[], str] = lambda: "",
    ) -> None:
        self._store = store
        self._options = options
        self._clock = clock
        self._etcd_trouble = etcd_trouble
        self._observer = observer
        self._parts = parts = Parts(store, options, description, observer, clock, wall)
        self._state, self._fleet, self._fleet_id = parts.state, parts.fleet, parts.fleet_id
        self._reads, self._writes, self._feed = parts.reads, parts.writes, parts.feed

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def start(self) -> None:
        """Start the tasks; return at once. Hits begin when a slot is held and a proof has come.

        Raises RuntimeError when it was started, or closed, before.
        """
        self._parts.start()

    async def close(self) -> None:
        """Stop hits, give the slot back, end and await every task. A second call waits for the same end.

        Raises RuntimeError if a task does not end in time.
        """
        await self._parts.close()

    async def get(
        self,
        key: str,
        use_cache: bool = True,
        *,
        linearizable: bool = False,
        min_revision: Revision = 0,
        stale_if_error: float = 0.0,
        session_unknown: bool = False,
    ) -> Reading:
        """Read `key`.

        use_cache: True: the value was current at some moment no earlier than the staleness bound before the call;
        False: linearizable, read from the store. linearizable: so is a cached read, for the price of a proof, which
        concurrent readers share (rule 11). min_revision: a revision this client has seen; the answer is no older
        (rule 10). stale_if_error: seconds of staleness beyond the bound that the caller prefers to Unavailable; then
        the answer's source is STALE. session_unknown: this client has seen nobody knows what: as `linearizable`, and
        never STALE (rule 10). Raises Unavailable (freshness can't be proven and the store can't be asked), Denied, and
        WrongTimeline (`min_revision` is from another history).
        """
        if use_cache and not (linearizable or session_unknown) and (reading := self.hit(key, min_revision)):
            return reading
        return await self._reads.get(
            key, Demand(use_cache, linearizable, min_revision, stale_if_error, session_unknown)
        )

    def hit(self, key: str, min_revision: Revision = 0) -> Reading | None:
        """The quick half of `get`: what can be served from memory at once, or None. Waits for nothing, asks nobody."""
        reading = self._state.hit(key, min_revision)
        if reading is not None:
            self._observer(HIT)
        return reading

    @property
    def known_fleet_id(self) -> str:
        """What names this fleet; "" while it is not known. Asks nobody."""
        return self._fleet_id.known

    async def fleet_id(self) -> str:
        """What names this fleet, and no other: 16 hexadecimal digits, for ever the same. Asks the store at most once.

        Raises Unavailable, and Rejected and its kinds: nothing was done.
        """
        if known := self._fleet_id.known:
            return known
        self._state.refuse_if_down()
        return await self._fleet_id.get(self._clock() + self._options.timeout)

    async def get_at(self, key: str, revision: Revision) -> Reading:
        """Read `key` as it stood at an earlier revision, from the store; exactly, or not at all (rule 19).

        Raises Compacted (it has been forgotten), NotReached (it lies in the future), Denied, Unavailable.
        """
        return await self._parts.recall.get_at(key, revision)

    async def history(self, key: str, *, before: Revision | None = None, limit: int = 20) -> KeyHistory:
        """Who changed `key`, when and why: up to `limit` changes, the newest first, before a revision (rule 19).

        Raises Denied, Unavailable.
        """
        return await self._parts.recall.history(key, before=before, limit=limit)

    async def plan(self, prefix: str, revision: Revision) -> Plan:
        """What it takes to have all keys that start with `prefix` as they were at a revision; `apply` does it.

        Raises NotReached, TooLarge (more has changed than is planned at once), Denied, Unavailable.
        """
        return await self._parts.planner.plan(prefix, revision)

    async def changes(
        self, scope: Scope, *, after: Token | None = None, wait: float = 0.0, values: bool = True
    ) -> Told:
        """What has changed in `scope` since the token `after`, as soon as something has (rule 18).

        All keys that changed in (since, to], each as it stands at `to`: applied to the state at `since`, they give
        exactly the state at `to`, whose token goes into the next call, here or on another instance. `to.revision` is a
        `min_revision` for reads. Without a token, or where it can't be told what has changed since, it is the scope
        itself (`reset`), in as many parts as it takes (`more`). wait: seconds after which it is said that nothing has
        changed, which is proven. values: False: names only. Raises WrongTimeline (the token is of another history),
        Denied, Unavailable (nothing can be proven).
        """
        return await self._feed.changes(scope, after, wait=wait, values=values)

    def following(self, scope: Scope, *, after: Token | None = None, values: bool = True) -> Following:
        """The same for who goes on and on: a context, in which `next` tells what comes, and also that nothing does."""
        return self._feed.following(scope, after, values=values)

    @property
    def policy(self) -> Policy:
        """The policy that this instance goes by (rule 15); `Policy.none()` before one is known. Asks nobody."""
        return self._state.policy

    async def read_policy(self) -> Policy:
        """The policy in force, linearizably. Raises Denied, Unavailable."""
        self._state.refuse_if_down()
        return await self._parts.policies.read(self._clock() + self._options.timeout)

    async def put_policy(self, text: bytes, *, if_match: Revision | None = None, author: Author = NOBODY) -> Written:
        """Put another policy in force (rule 15). Whether the text is a good one is the caller's affair.

        if_match: only if the policy in force is of this mod_revision, 0 if there is none. author: whom its version
        names; each instance tells its observer. Raises PreconditionFailed, whose `current` is that of the policy in
        force; otherwise as `put`.
        """
        return await self._parts.policies.put(text, if_match, author)

    async def put(
        self,
        key: str,
        value: bytes,
        *,
        precondition: Precondition | None = None,
        sync: bool = False,
        author: Author = NOBODY,
        approve: Approve | None = None,
    ) -> Written:
        """Store `value`, a JSON document, byte for byte (rule 1).

        sync: return only when no instance will serve the old value any more (rule 12). author: the name for followers,
        and for the key's history. approve: awaited before the write is sent, with the policy that the write's
        transaction compares (rule 15); what it raises refuses the write. It is asked again for each policy that is
        found in force instead. Cancelled, `put` gives up the wait, not a write that was sent. Raises
        PreconditionFailed, Rejected and its kinds, Unavailable: nothing was written. OutcomeUnknown: it may have been,
        now or later.
        """
        return await self._writes.put(Put(key, value, precondition), author, sync=sync, approve=approve)

    async def delete(
        self,
        key: str,
        *,
        precondition: Precondition | None = None,
        sync: bool = False,
        author: Author = NOBODY,
        approve: Approve | None = None,
    ) -> Written:
        """Remove `key`; without one, and without a precondition, nothing is written (rule 1). Otherwise as `put`."""
        return await self._writes.delete(key, precondition, author, sync=sync, approve=approve)

    async def apply(
        self,
        changes: Sequence[Change],
        *,
        sync: bool = False,
        author: Author = NOBODY,
        approve: Approve | None = None,
    ) -> Applied:
        """All of the changes, each with its own precondition, or none; at one revision. Otherwise as `put`.

        Deleting an absent key is no failure. Raises PreconditionFailed for the first precondition that does not hold,
        and ValueError when a key occurs twice.
        """
        if len({change.key for change in changes}) < len(changes):
            raise ValueError("a key may occur only once in a batch")
        return await self._writes.write(tuple(changes), "batch", author, sync=sync, approve=approve)

    async def page(self, prefix: str, *, after: str | bytes, limit: int) -> Page:
        """Up to `limit` keys that start with `prefix` and come after `after`: linearizable, uncached. See Store.page.

        Raises Denied, Unavailable.
        """
        self._state.refuse_if_down()
        return await self._store.page(prefix, after=after, limit=limit, timeout=self._options.timeout)

    async def scan(
        self, prefix: str, *, after: str | bytes, limit: int, revision: Revision | None = None, values: bool = True
    ) -> Scan:
        """Documents as they stood at one revision; without one, linearizably now. See Store.scan.

        What it holds as of is `header.revision`. Raises Compacted, NotReached, Denied, Unavailable.
        """
        self._state.refuse_if_down()
        timeout = self._options.timeout
        if revision is None:
            revision = (await self._store.page(prefix, after="", limit=1, timeout=timeout)).header.revision
        scan = await self._store.scan(
            prefix, after=after, limit=limit, at=revision, names_only=not values, timeout=timeout
        )
        return replace(scan, header=replace(scan.header, revision=revision))

    def status(self) -> Status:
        """What this instance knows of itself. Asks nobody."""
        snapshot, now = self._state.snapshot(), self._clock()
        return Status(
            why_not_ready=self._why_not_ready(now),
            why_not_routed=self._why_not_routed(),
            slot=snapshot.slot,
            horizon=snapshot.horizon,
            proof_age=None if snapshot.proved_at is None else max(0.0, now - snapshot.proved_at),
            fresh=now < snapshot.fresh_until,
            entries=snapshot.entries,
            bytes=snapshot.bytes,
            watch_up=snapshot.watch_up,
            members=self._fleet.members(),
            departed=self._fleet.departed(),
            waiting=self._fleet.waiting(),
            lease=snapshot.lease or self._parts.membership.waiting,
            lease_age=None if snapshot.slot is None else max(0.0, now - snapshot.renewed_at),
            loop_lag=self._parts.lag.greatest(),
        )

    def _why_not_routed(self) -> str:
        if self._parts.closed:
            return "this instance is shutting down"
        if self._state.answered_at is None:
            return f"etcd has not answered yet: {self._state.last_error}{self._known_trouble()}"
        return ""

    def _why_not_ready(self, now: float) -> str:
        answered = self._state.answered_at
        if (why_not := self._why_not_routed()) or answered is None:
            return why_not
        if now - answered > self._options.staleness_bound + self._options.proof_interval:
            return f"etcd has not answered for {now - answered:.1f} s: {self._state.last_error}{self._known_trouble()}"
        return ""

    def _known_trouble(self) -> str:
        trouble = self._etcd_trouble()
        return f"; {trouble}" if trouble else ""
