"""Holds one of the 64 slots by a lease (rule 9).

Owns the lease. Correctness never rests on it: the right to hit is read from the member key in every proof (rule 4).
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_random_exponential

from consistency.core.events import JoinFailed, Observer
from consistency.core.model import SLOTS, WAITING, Departure, Look, with_holds
from consistency.core.store import Lease, Store, StoreError, Survey
from consistency.instance.recorder import write_down
from consistency.instance.state import LocalState
from consistency.tasks import Worker

BACKOFF = wait_random_exponential(multiplier=0.1, max=2.0)
RETRY_RENEWAL = 0.5
"""Seconds between attempts to renew while the store can't be reached."""

AWAIT_WATCH = 1.0
"""Seconds after which to see for oneself whether the watch has begun."""


LEAVE_WITHIN = 0.5
"""Seconds for each of the two calls that write down that we leave: nobody waits long for a store that is away."""


class SlotTaken(StoreError):
    """Another instance was quicker; the next attempt looks for another slot."""


class Full(StoreError):
    """All slots are held."""


class Membership:
    """`run` belongs to a worker: it joins, holds, and when the slot is lost it returns, to be run again.

    before_joining: called first of all, at each attempt. before_first: nobody is a member; called before this instance
    becomes the first. May raise StoreError. wall: seconds since 1970, for people. last_look: what is handed over.
    """

    def __init__(
        self,
        store: Store,
        state: LocalState,
        *,
        ttl: int,
        preferred_slot: int | None,
        description: str,
        timeout: float,
        observer: Observer,
        before_joining: Callable[[], Awaitable[None]],
        before_first: Callable[[], Awaitable[None]],
        on_joined: Callable[[], None],
        wall: Callable[[], float],
        last_look: Callable[[], Look | None],
    ) -> None:
        self._store = store
        self._state = state
        self._ttl = ttl
        self._preferred = preferred_slot
        self._description = description
        self._timeout = timeout
        self._observer = observer
        self._before_joining = before_joining
        self._before_first = before_first
        self._on_joined = on_joined
        self._wall = wall
        self._last_look = last_look
        self._place: Lease | None = None  # among those who wait for a slot
        self._collided = False  # instances that start together should not all try the same slot again

    async def run(self, worker: Worker) -> None:
        """One membership, from the search for a slot to its loss; at a stop the lease is revoked.

        An instance that doesn't watch yet has no use for a slot; the owner wakes the worker when the watch begins.
        """
        while not self._state.has_watched:
            await worker.pause(AWAIT_WATCH)
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(StoreError),
            wait=self._wait,
            sleep=worker.pause,
            before_sleep=self._report,
            reraise=True,
        )
        try:
            joined: tuple[int, Lease] = await retrying(self._join)
        except asyncio.CancelledError:  # told to stop
            await self._stop_waiting()
            raise
        slot, lease = joined
        try:
            await self._hold(lease, worker)
        except asyncio.CancelledError:  # told to stop: an orderly end
            self._state.leave("closed")
            await self._say_that_we_leave(slot, lease)
            raise
        finally:
            self._state.leave("closed")
            await self._give_back(lease)

    @property
    def waiting(self) -> int:
        """The lease that holds our place among those who wait for a slot; 0 while we don't."""
        return self._place.id if self._place else 0

    async def _join(self) -> tuple[int, Lease]:
        await self._before_joining()
        survey = await self._store.survey(None, timeout=self._timeout)
        slot = self._free_slot(survey)
        if slot is None:
            with contextlib.suppress(StoreError):  # then nobody sees us until the next attempt
                await self._wait_for_one(survey)
            raise Full(f"all {SLOTS} slots are held")
        if not survey.members:
            await self._before_first()
        lease = await self._living_place() or await self._store.grant(self._ttl, timeout=self._timeout)
        try:
            claimed = await self._store.claim(slot, lease.id, with_holds(self._description), timeout=self._timeout)
        except BaseException:  # a failure, or a stop in the middle: it may be ours all the same
            self._place = None
            await self._give_back(lease)
            raise
        if not claimed:
            self._collided = True
            if lease is not self._place:
                await self._give_back(lease)
            raise SlotTaken(f"slot {slot:02d} was taken meanwhile")
        self._collided = False
        self._place = None
        self._state.join(slot, lease.id)
        self._on_joined()
        return slot, lease

    async def _wait_for_one(self, survey: Survey) -> None:
        """Lets the fleet see us without a slot, unless too many are seen already. Each attempt renews."""
        if await self._living_place() or len(survey.waiting) >= WAITING:
            return
        lease = await self._store.grant(self._ttl, timeout=self._timeout)
        try:
            await self._store.wait(lease.id, with_holds(self._description), timeout=self._timeout)
        except BaseException:  # a failure, or a stop in the middle
            await self._give_back(lease)
            raise
        self._place = lease

    async def _living_place(self) -> Lease | None:
        """Our place among those who wait, renewed; None if there is none, or none any more."""
        if self._place and await self._store.keep_alive(self._place.id, timeout=self._timeout) <= 0:
            self._place = None
        return self._place

    async def _stop_waiting(self) -> None:
        if self._place:
            await self._say_that_we_leave(None, self._place)
            await self._give_back(self._place)
            self._place = None

    def _free_slot(self, survey: Survey) -> int | None:
        taken = {member.slot for member in survey.members}
        free = [slot for slot in range(SLOTS) if slot not in taken]
        if not free:
            return None
        if self._preferred in free:
            return self._preferred
        return random.choice(free) if self._collided else free[0]

    async def _hold(self, lease: Lease, worker: Worker) -> None:
        """Renew until the slot is lost."""
        wait = lease.ttl / 3
        while True:
            await worker.pause(wait)
            if self._state.lease != lease.id:
                return
            try:
                alive = await self._store.keep_alive(lease.id, timeout=self._timeout) > 0
            except StoreError:
                wait = RETRY_RENEWAL
                continue
            if not alive:
                self._state.leave("expired")
                return
            self._state.renewed()
            wait = lease.ttl / 3

    async def _say_that_we_leave(self, slot: int | None, lease: Lease) -> None:
        """Before the key goes, and after the last hit: members that see the key vanish know that nothing was lost."""
        left = Departure(lease.id, slot, "left", self._wall(), self._description, self._last_look())
        with contextlib.suppress(StoreError):  # then we are taken for lost
            await write_down(self._store, left, timeout=min(LEAVE_WITHIN, self._timeout))

    async def _give_back(self, lease: Lease) -> None:
        try:
            await self._store.revoke(lease.id, timeout=min(1.0, self._timeout))
        except StoreError:
            return  # it ends by itself after its TTL

    def _wait(self, attempt: RetryCallState) -> float:
        error = attempt.outcome.exception() if attempt.outcome else None
        return self._ttl / 2 * random.uniform(0.5, 1.0) if isinstance(error, Full) else BACKOFF(attempt)

    def _report(self, attempt: RetryCallState) -> None:
        error = attempt.outcome.exception() if attempt.outcome else None
        cause = {Full: "full", SlotTaken: "taken"}.get(type(error), "unavailable")  # type: ignore[arg-type]
        self._observer(JoinFailed(cause, str(error)))
