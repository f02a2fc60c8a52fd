"""Guarded writes: every instance holds the keys before one of them is written (rule 16).

Owns the intents that this instance has put: that each is committed, or given up and taken away. Writes no document:
`writes` does, within `hold`, behind the fence that it is given.
"""

from __future__ import annotations

import contextlib
import math
import secrets
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from dataclasses import dataclass

from consistency.core.events import Guarded, Observer
from consistency.core.model import Fence, Intent, PreconditionFailed, Revision, VersionRecord, new_nonce
from consistency.core.options import CacheOptions
from consistency.core.store import Change, Commit, Lease, OutcomeUnknown, PolicyChanged, Store, StoreError, Unavailable
from consistency.instance.fleet import Fleet
from consistency.instance.refusals import look_for_policy, look_for_precondition
from consistency.instance.state import LocalState
from consistency.tasks import Worker

INTENT = "intent"
"""What a version's `op` is that has put one."""

REMEMBERED = 256
"""Intents that are over and remembered: what is told of them late is no news."""

IDLE = 5.0
"""Seconds between looks when nobody rings. Somebody rings for an intent that was given up."""

AGAIN = 1.0
"""Seconds until an intent that may still be there is looked at again."""


@dataclass(frozen=True, slots=True)
class Held:
    """The keys are held everywhere. acks: how many instances said so, of how many. waited: seconds that it took."""

    fence: Fence
    acks: tuple[int, int]
    waited: float


class Guard:
    """Belongs to one loop; `run` to a worker, which `bell` wakes. `clock`: local seconds."""

    def __init__(
        self,
        store: Store,
        state: LocalState,
        fleet: Fleet,
        options: CacheOptions,
        *,
        observer: Observer,
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._state = state
        self._fleet = fleet
        self._options = options
        self._observer = observer
        self._clock = clock
        self._ours = secrets.token_hex(8)  # how the nonces of our intents begin
        self._under_way = set[str]()
        self._over: deque[str] = deque(maxlen=REMEMBERED)
        self._lease: Lease | None = None  # of our own, for as long as we have no slot
        self._lease_until = 0.0
        self.bell: Callable[[], None] = lambda: None

    @contextlib.asynccontextmanager
    async def hold(
        self, keys: Collection[str] | None, changes: Sequence[Change], policy: Revision, deadline: float
    ) -> AsyncIterator[Held]:
        """Have these keys held (None: every key) by all, for a commit that is sent within.

        1. The intent, by `deadline`, if the preconditions of the changes hold, under this policy. 2. As for a
        synchronous write: everybody has acknowledged it, or nobody can hit by a proof of before. Raises Unavailable and
        its kind PolicyChanged, Rejected, PreconditionFailed: nothing was done. However it is left: an intent that no
        commit has ended is taken away, or ends with its lease.
        """
        nonce = self._ours + secrets.token_hex(8)
        self._under_way.add(nonce)
        try:
            commit = await self._intend(
                Intent(nonce, None if keys is None else frozenset(keys)), changes, policy, deadline
            )
            answered = self._clock()
            acks, complete = await self._fleet.await_acks(
                commit.header.revision, commit.members, answered + self._options.sync_wait
            )
            waited = self._clock() - answered
            self._observer(Guarded("acknowledged" if complete else "waited out"))
            yield Held(Fence(nonce, commit.header.revision), (acks, len(commit.members)), waited)
        except (PreconditionFailed, PolicyChanged):
            self._over.append(nonce)  # etcd has said so: no intent is left
            raise
        except BaseException:
            self._observer(Guarded("given up"))
            self.bell()
            raise
        else:
            self._over.append(nonce)
        finally:
            self._under_way.discard(nonce)

    def see(self, intent: Intent) -> None:
        """An intent has been applied here. One of ours that nobody knows any more was given up before it was put."""
        if self._is_left(intent.nonce):
            self.bell()

    async def run(self, worker: Worker) -> None:
        """Takes away what was given up.

        1. An intent is sent, and no answer comes: the write was not done. 2. It arrives after all, attached to a lease
        that lives as long as this instance: its keys would be held for as long. 3. Its version comes, and it is ours.
        """
        # Also what is over: 1. An intent is there. 2. A backup is made. 3. Its write is done, and it goes. 4. The
        # backup is restored before anybody here has heard of 3. Nobody knows that a history was lost; it is back.
        left = [nonce for nonce in self._state.held if self._is_ours(nonce)]
        if not left:
            await worker.pause(IDLE)
            return
        with contextlib.suppress(StoreError):  # then again
            await self._store.withdraw(left, timeout=self._options.timeout)
        await worker.pause(max(AGAIN, self._options.staleness_bound))  # by then a proof has shown that it is gone

    def _is_left(self, nonce: str) -> bool:
        return self._is_ours(nonce) and nonce not in self._over

    def _is_ours(self, nonce: str) -> bool:
        """Whether it was put here, for a write that is not under way."""
        return nonce.startswith(self._ours) and nonce not in self._under_way

    async def _intend(self, intent: Intent, changes: Sequence[Change], policy: Revision, deadline: float) -> Commit:
        lease = await self._living_lease(deadline)
        record = VersionRecord(new_nonce(), frozenset(), INTENT, ack=True, intent=intent)
        try:
            commit = await self._store.intend(
                changes, record, lease=lease, policy=policy, timeout=deadline - self._clock()
            )
        except OutcomeUnknown as error:
            raise Unavailable(f"{error}: of the intent; the write itself was not sent") from error
        except Unavailable:
            self._lease = None  # it may be the reason
            raise
        look_for_policy(commit, policy)
        look_for_precondition(commit, changes)
        return commit

    async def _living_lease(self, deadline: float) -> int:
        """Our slot's; without a slot, one of our own, which is not renewed."""
        if self._state.lease:
            return self._state.lease
        now, needed = self._clock(), 2 * self._options.timeout + self._options.sync_wait
        if self._lease is None or self._lease_until - now < needed:
            try:
                self._lease = await self._store.grant(
                    self._options.lease_ttl + math.ceil(needed), timeout=deadline - now
                )
            except OutcomeUnknown as error:
                raise Unavailable(f"{error}: of a lease; the write itself was not sent") from error
            self._lease_until = now + self._lease.ttl
        return self._lease.id
