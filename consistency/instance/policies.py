"""Finds out which policy is in force, and puts another one in force (rules 15 and 16).

Owns the reading of the policy; the one that this instance goes by is in `LocalState`. Nothing rests on its being the
newest: a write that was agreed to under an older one is refused by its own transaction, and is agreed to anew
(`writes`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from consistency.core.model import (
    LARGEST_POLICY,
    Author,
    Authors,
    Fence,
    Policy,
    PreconditionFailed,
    Revision,
    VersionRecord,
    Written,
    new_nonce,
)
from consistency.core.store import (
    Commit,
    FleetTooOld,
    InForce,
    OutcomeUnknown,
    PolicyChanged,
    Store,
    StoreError,
    TooLarge,
    Unavailable,
)
from consistency.instance.guarded import Guard
from consistency.instance.refusals import look_for_fence, look_for_policy
from consistency.instance.state import LocalState
from consistency.tasks import Errands, Worker

POLICY = "policy"
"""The `op` of a version that has put another policy; a refusal of the policy names it in place of a key."""

MOST_TRIES = 5
"""Policies under which one write is tried. They change some times a day: more than two in one write is a fault."""

IDLE = 60.0
"""Seconds between looks when nobody rings; somebody rings when a version says that the policy has changed."""


class Policies:
    """`run` belongs to a worker, woken when a version event tells of another policy. `clock`: local seconds."""

    def __init__(
        self,
        store: Store,
        state: LocalState,
        guard: Guard,
        *,
        timeout: float,
        clock: Callable[[], float],
        errands: Errands,
    ) -> None:
        self._store = store
        self._state = state
        self._guard = guard
        self._timeout = timeout
        self._clock = clock
        self._errands = errands

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

    async def mended(self, deadline: float) -> Policy:
        """As `read`. Raises Unavailable for one that can't be read, too: no document is written under it."""
        policy = await self.read(deadline)
        if policy.fault:
            raise Unavailable(
                f"the fleet's policy, at revision {policy.mod_revision}, can't be read: {policy.fault}; "
                "no document is written until another one is put"
            )
        return policy

    async def put(self, text: bytes, if_match: Revision | None, author: Author) -> Written:
        """See `AsyncDistributedCache.put_policy`."""
        if len(text) > LARGEST_POLICY:
            raise TooLarge(f"a policy of {len(text):,} bytes; at most {LARGEST_POLICY:,} are taken")
        deadline = self._clock() + self._timeout
        lost = OutcomeUnknown("the cache was closed before the answer came")
        for _ in range(MOST_TRIES):
            found = await self.find(deadline)
            over = found.policy
            if if_match is not None and over.mod_revision != if_match:
                raise PreconditionFailed(POLICY, over.mod_revision, found.header.revision)
            with contextlib.suppress(PolicyChanged):
                work = self._change(text, over, author, deadline)
                commit = await self._errands.see_through(work, "write", lost=lost)
                return Written(commit.header.revision, over.mod_revision > 0)
        raise PolicyChanged("somebody else put one each time; nothing was done")

    async def _change(self, text: bytes, over: Policy, author: Author, deadline: float) -> Commit:
        """One that guards other keys than before is itself a guarded write, which holds every key (rule 15)."""
        self._state.refuse_if_down()
        now, before = frozenset(Policy.read(text, 0).guarded), frozenset(over.guarded)
        if now == before:
            return await self._commit(text, over.mod_revision, author, deadline)
        if now - before:
            await self._look_who_holds(deadline)
        async with self._guard.hold(None, (), over.mod_revision, deadline) as held:
            return await self._commit(text, over.mod_revision, author, deadline + held.waited, held.fence)

    async def _look_who_holds(self, deadline: float) -> None:
        """Raises FleetTooOld if somebody would serve from memory what is held: it is of a release before that."""
        survey = await self._store.survey(None, timeout=deadline - self._clock())
        old = [member for member in (*survey.members, *survey.waiting) if not member.holds]
        if old:
            slots = ", ".join("none yet" if each.slot is None else f"{each.slot:02d}" for each in old)
            raise FleetTooOld(
                f"{len(old)} instances are of a release that does not know guarded keys (slots: {slots}); "
                "they have to be upgraded first"
            )

    async def _commit(
        self, text: bytes, over: Revision, author: Author, deadline: float, fence: Fence | None = None
    ) -> Commit:
        """Raises PolicyChanged if another policy than `over` is in force."""
        release, authors = "" if fence is None else fence.nonce, Authors.of_all(author)
        record = VersionRecord(new_nonce(), frozenset(), POLICY, authors=authors, policy=True, release=release)
        ticket = self._state.ticket()
        commit = await self._store.commit(
            (), record, policy=over, new_policy=text, fence=fence, timeout=deadline - self._clock()
        )
        look_for_policy(commit, over)
        look_for_fence(commit)
        self._state.learn_policy(ticket, InForce(commit.header, Policy.read(text, commit.header.revision)))
        return commit
