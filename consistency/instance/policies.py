"""Finds out which policy is in force, and has a write agreed to under the very policy that its transaction compares
(rule 15).

Owns the reading of the policy; the one that this instance goes by is in `LocalState`. Nothing rests on its being the
newest: a write that was agreed to under an older one is refused by its own transaction, and is agreed to anew.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from consistency.core.model import Policy
from consistency.core.store import InForce, PolicyChanged, Store, StoreError, Unavailable
from consistency.instance.state import LocalState
from consistency.tasks import Worker

T = TypeVar("T")

Approve = Callable[[Policy], Awaitable[None]]
"""Agrees to a write under a policy by returning; what it raises refuses the write, of which nothing was done."""

MOST_TRIES = 5
"""Policies under which one write is tried. They change some times a day: more than two in one write is a fault."""

IDLE = 60.0
"""Seconds between looks when nobody rings; somebody rings when a version says that the policy has changed."""


class Policies:
    """`run` belongs to a worker, woken when a version event tells of another policy. `clock`: local seconds."""

    def __init__(self, store: Store, state: LocalState, *, timeout: float, clock: Callable[[], float]) -> None:
        self._store = store
        self._state = state
        self._timeout = timeout
        self._clock = clock

    async def run(self, worker: Worker) -> None:
        """Reads the policy if another one is known to be in force than ours."""
        if not self._state.policy_is_old:
            await worker.pause(IDLE)
            return
        try:
            await self.read(self._clock() + self._timeout)
        except StoreError:
            await worker.pause(self._timeout)

    async def read(self, deadline: float) -> Policy:
        """The policy in force, linearizably. Raises Denied, Unavailable."""
        return (await self.find(deadline)).policy

    async def find(self, deadline: float) -> InForce:
        """As `read`, and when that was."""
        ticket = self._state.ticket()
        found = await self._store.policy(timeout=deadline - self._clock())
        self._state.learn_policy(ticket, found)
        return found

    async def agreed(self, write: Callable[[Policy], Awaitable[T]], approve: Approve | None, deadline: float) -> T:
        """Do `write` under a policy to which `approve` has agreed, and which `write` compares (rule 15).

        1. The policy is known; `approve` agrees; 2. somebody changes it; 3. the transaction finds another one, and does
        nothing: PolicyChanged. The new one is read, `approve` is asked again, and so on, up to `deadline`.
        Raises what `approve` and `write` raise; Unavailable: the policy can't be read, or changes too often.
        """
        policy = self._state.policy
        for _ in range(MOST_TRIES):
            if policy.fault:
                policy = await self._mended(deadline)
            if approve is not None:
                await approve(policy)
            if self._clock() >= deadline:
                raise Unavailable("it took too long to agree to the write; nothing was sent")
            try:
                return await write(policy)
            except PolicyChanged:
                policy = await self.read(deadline)
        raise Unavailable(f"the policy changed {MOST_TRIES} times while the write was tried; nothing was done")

    async def _mended(self, deadline: float) -> Policy:
        policy = await self.read(deadline)
        if policy.fault:
            raise Unavailable(
                f"the fleet's policy, at revision {policy.mod_revision}, can't be read: {policy.fault}; "
                "no document is written until another one is put"
            )
        return policy
