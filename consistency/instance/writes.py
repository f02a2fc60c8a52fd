"""The way of a write: one transaction with the version, and what it means for our own entries (rules 1, 8, 12, 15, 16).

Owns the groups of puts. A write that was sent is seen through, even when its client has gone: its outcome decides what
our entries are worth.

Puts that come at the same time go to the store in one transaction (group commit, rule 1). Which of them go together is
decided here; how they wait and when they go is `SharedCalls`'. Only unconditional puts of different keys share one:
nothing that one of them does can make another fail. Their order is nobody's promise, since they were under way at the
same time; what is true of one transaction (all or nothing, one revision, one version that names all keys) is more than
each of them was promised.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from consistency.core.events import Acknowledged, Observer
from consistency.core.model import (
    Applied,
    Author,
    Authors,
    Fence,
    MustExist,
    Policy,
    Precondition,
    PreconditionFailed,
    Revision,
    VersionRecord,
    Written,
    new_nonce,
)
from consistency.core.options import CacheOptions
from consistency.core.records import MOST_AUTHOR_BYTES, Keeping
from consistency.core.store import (
    Change,
    Commit,
    Delete,
    OutcomeUnknown,
    PolicyChanged,
    Put,
    Store,
    Unavailable,
)
from consistency.instance.fleet import Fleet
from consistency.instance.guarded import Guard
from consistency.instance.hindsight import Hindsight
from consistency.instance.policies import MOST_TRIES, Policies
from consistency.instance.refusals import look_for_fence, look_for_policy, look_for_precondition
from consistency.instance.state import LocalState
from consistency.tasks import Errands, SharedCall, SharedCalls

T = TypeVar("T")

Approve = Callable[[Policy], Awaitable[None]]
"""Agrees to a write under a policy by returning; what it raises refuses the write, of which nothing was done."""


@dataclass(frozen=True, slots=True)
class Order:
    """What one transaction is to do: all of the changes, or none. sync: the version asks for acknowledgements."""

    changes: tuple[Change, ...]
    op: str
    authors: Authors
    sync: bool = False

    @property
    def keys(self) -> frozenset[str]:
        """What it changes."""
        return frozenset(change.key for change in self.changes)


class Writes:
    """Belongs to one loop. wall: seconds since 1970, for the records that writes leave (rule 19)."""

    def __init__(
        self,
        store: Store,
        state: LocalState,
        fleet: Fleet,
        policies: Policies,
        guard: Guard,
        options: CacheOptions,
        *,
        observer: Observer,
        clock: Callable[[], float],
        wall: Callable[[], float],
        errands: Errands,
    ) -> None:
        self._store = store
        self._state = state
        self._fleet = fleet
        self._policies = policies
        self._guard = guard
        self._options = options
        self._observer = observer
        self._clock = clock
        self._wall = wall
        self._errands = errands
        self._hindsight = Hindsight(store, state, errands, options.timeout, clock)
        self._group = GroupCommit(self._commit_puts, clock, errands)
        self._guarded_group = GroupCommit(self._commit_guarded_puts, clock, errands)

    async def put(self, put: Put, author: Author, *, sync: bool, approve: Approve | None = None) -> Written:
        """See `DistributedCache.put`. Without a precondition, and not `sync`, it may share a transaction."""
        if put.precondition is None and not sync:
            deadline = self._clock() + self._options.timeout
            applied = await self._agreed(
                lambda policy: self._put_in_company(put, author, policy, deadline), approve, deadline
            )
        else:
            applied = await self.write((put,), "put", author, sync=sync, approve=approve)
        return Written(applied.revision, applied.existed[0], applied.acks)

    async def delete(
        self, key: str, precondition: Precondition | None, author: Author, *, sync: bool, approve: Approve | None = None
    ) -> Written:
        """See `DistributedCache.delete`."""
        change = Delete(key, precondition or MustExist())
        try:
            applied = await self.write((change,), "delete", author, sync=sync, approve=approve)
        except PreconditionFailed as refused:
            if precondition is not None:
                raise
            # Nothing was written, so nobody acknowledges; somebody else's delete may still be on its way.
            acks = await self._await_acks(refused.revision, ()) if sync else None
            return Written(refused.revision, False, acks)
        return Written(applied.revision, existed=True, acks=applied.acks)

    async def write(
        self, changes: tuple[Change, ...], op: str, author: Author, *, sync: bool, approve: Approve | None = None
    ) -> Applied:
        """All changes, or none. Raises PreconditionFailed for the first that its precondition refuses."""
        order = Order(changes, op, Authors.of_all(author), sync)
        deadline = self._clock() + self._options.timeout
        commit, held = await self._agreed(
            lambda policy: self._see_through(self._send(order, policy, deadline)), approve, deadline
        )
        revision, acks = commit.header.revision, held
        if not commit.committed:
            look_for_precondition(commit, changes)
        if sync and acks is None:
            acks = await self._await_acks(revision, commit.members)
        return Applied(revision, tuple(before > 0 for before in commit.before), acks if sync else None)

    async def _agreed(self, write: Callable[[Policy], Awaitable[T]], approve: Approve | None, deadline: float) -> T:
        """Do `write` under a policy to which `approve` has agreed, and which `write` compares (rule 15).

        1. The policy is known; `approve` agrees; 2. somebody changes it; 3. the transaction finds another one, and does
        nothing: PolicyChanged. The new one is read, `approve` is asked again, and so on, up to `deadline`.
        Raises what `approve` and `write` raise; Unavailable: the policy can't be read, or changes too often.
        """
        policy = self._state.policy
        for _ in range(MOST_TRIES):
            if policy.fault:
                policy = await self._policies.mended(deadline)
            if approve is not None:
                await approve(policy)
            if self._clock() >= deadline:
                raise Unavailable("it took too long to agree to the write; nothing was sent")
            try:
                return await write(policy)
            except PolicyChanged:
                policy = await self._policies.read(deadline)
        raise Unavailable(f"the policy changed {MOST_TRIES} times while the write was tried; nothing was done")

    def _see_through(self, work: Coroutine[Any, Any, T]) -> Awaitable[T]:
        lost = OutcomeUnknown("the cache was closed before the answer came")
        return self._errands.see_through(work, "write", lost=lost)

    async def _put_in_company(self, put: Put, author: Author, policy: Policy, deadline: float) -> Applied:
        """Guarded ones in a company of their own: the others don't wait for what they wait for."""
        group = self._group
        if policy.guarded and policy.guards(put.key):
            group, deadline = self._guarded_group, deadline + self._options.sync_wait
        try:
            return await group.put(put, author, policy, deadline)
        except OutcomeUnknown:
            # The group may still be on its way: who waits for it can be out of time before.
            self._state.may_have_written((put.key,))
            raise

    async def _commit_puts(self, signed: Sequence[Signed], policy: Policy, timeout: float) -> Applied:
        """Commit unconditional puts: nothing in them can be refused."""
        if timeout <= 0:
            raise Unavailable("the writes before it took too long; nothing was sent")
        authors = Authors.of_each([(put.key, author) for put, author in signed])
        order = Order(tuple(put for put, _ in signed), "put", authors)
        commit, _ = await self._send(order, policy, self._clock() + timeout)
        return Applied(commit.header.revision, tuple(before > 0 for before in commit.before))

    async def _commit_guarded_puts(self, signed: Sequence[Signed], policy: Policy, timeout: float) -> Applied:
        """Within what those who wait have beyond the wait of rule 16."""
        return await self._commit_puts(signed, policy, timeout - self._options.sync_wait)

    async def _send(self, order: Order, policy: Policy, deadline: float) -> tuple[Commit, tuple[int, int] | None]:
        """At once; or, if it changes a guarded key, when all hold what it changes: then, how many have said so.

        Its other keys as well: nobody acknowledges its commit, which may be a synchronous one (rule 12).
        Raises PolicyChanged if another policy is in force.
        """
        if not (policy.guarded and any(map(policy.guards, order.keys))):
            return await self._commit(order, policy, deadline), None
        self._state.refuse_if_down()
        async with self._guard.hold(order.keys, order.changes, policy.mod_revision, deadline) as held:
            return await self._commit(order, policy, deadline + held.waited, held.fence), held.acks

    async def _commit(self, order: Order, policy: Policy, deadline: float, fence: Fence | None = None) -> Commit:
        """Raises PolicyChanged if another policy is in force. fence: of the intent that it ends (rule 16)."""
        self._state.refuse_if_down()
        keys = order.keys
        keeping = Keeping.by(policy.history, self._wall())
        record = VersionRecord(new_nonce(), keys, order.op, order.sync, order.authors, kept=keeping is not None)
        if fence is not None:
            record = replace(record, ack=False, release=fence.nonce)
        ticket = self._state.ticket()
        try:
            commit = await self._store.commit(
                order.changes,
                record,
                policy=policy.mod_revision,
                keeping=keeping,
                fence=fence,
                timeout=deadline - self._clock(),
            )
        except (OutcomeUnknown, asyncio.CancelledError):  # cancelled only at the end of the instance, perhaps when sent
            self._state.may_have_written(keys)
            raise
        if commit.committed:
            self._state.wrote(keys, commit.header, ticket)
            if keeping is not None and (found := self._unexplained(order.changes, commit)):
                self._hindsight.look(found, commit.header.revision, record.nonce)
        else:
            look_for_policy(commit, policy.mod_revision)
            look_for_fence(commit)
        return commit

    def _unexplained(self, changes: Sequence[Change], commit: Commit) -> list[tuple[str, Revision]]:
        """What it has overwritten and no version explains that was applied here: the keys, and of which revision."""
        found = zip((change.key for change in changes), commit.before, strict=True)
        return [(key, before) for key, before in found if before and self._state.explains(key, before) is not True]

    async def _await_acks(self, revision: Revision, members: Collection[int]) -> tuple[int, int]:
        """Until all have acknowledged, or every proof older than the answer that has just come has run out."""
        acks, complete = await self._fleet.await_acks(revision, members, self._clock() + self._options.sync_wait)
        self._observer(Acknowledged(acks, len(members), complete))
        return acks, len(members)


# Puts in company

MOST_PUTS = 60
"""In one group: with a look at what was there before each, within etcd's 128 operations."""

MOST_GROUP_BYTES = 512 * 1024
"""The most bytes of keys and values in one group, so that it stays well within one request. A larger put goes alone."""

GROUP_PATIENCE = 0.1
"""Seconds. A transaction takes a few milliseconds, unless its endpoint has died."""

Signed = tuple[Put, Author]
CommitPuts = Callable[[Sequence[Signed], Policy, float], Awaitable[Applied]]


class Group(SharedCall):
    """Puts that go together, all of them agreed to under the same policy (rule 15)."""

    def __init__(self) -> None:
        super().__init__()
        self.puts: dict[str, Signed] = {}
        self.policy: Policy | None = None
        self.bytes = 0
        self.of_authors = 0
        self.applied: dict[str, Applied] = {}

    def has_room_for(self, asked: tuple[Signed, Policy]) -> bool:
        """A key occurs once: of two values for it, one would have to win."""
        (put, author), policy = asked
        fits = not self.puts or (
            policy == self.policy
            and len(self.puts) < MOST_PUTS
            and self.bytes + _size(put) <= MOST_GROUP_BYTES
            and self.of_authors + author.size <= MOST_AUTHOR_BYTES
        )
        return fits and put.key not in self.puts

    def add(self, signed: Signed, policy: Policy) -> None:
        """Take one more put, agreed to under `policy`, which becomes the group's. The group has room for it."""
        put, author = signed
        self.policy = policy
        self.puts[put.key] = signed
        self.bytes += _size(put)
        self.of_authors += author.size

    def remove(self, signed: Signed) -> None:
        """Give up a put that was added, and the room that it took: nobody waits for it any more."""
        put, author = signed
        del self.puts[put.key]
        self.bytes -= _size(put)
        self.of_authors -= author.size

    def result(self, key: str) -> Applied:
        """Return what became of one of its puts. Raises what ended the group."""
        self.raise_error()
        return self.applied[key]


class GroupCommit:
    """`commit` takes puts, the policy to compare, and how many seconds it has; it raises StoreError.

    `clock` gives local seconds.
    """

    def __init__(
        self, commit: CommitPuts, clock: Callable[[], float], errands: Errands, patience: float = GROUP_PATIENCE
    ) -> None:
        self._commit = commit
        self._calls = SharedCalls(
            "group-commit",
            Group,
            self._send,
            clock=clock,
            errands=errands,
            lost=OutcomeUnknown("the write was abandoned"),
            lanes=1,
            patience=patience,
        )

    async def put(self, put: Put, author: Author, policy: Policy, deadline: float) -> Applied:
        """Commit `put`, alone or in company, if this policy is in force.

        Raises Unavailable (not done) and its kind PolicyChanged, OutcomeUnknown, Rejected.

        A caller that goes away, or is out of time, before the group is sent has written nothing. After that, its write
        is seen through.
        """
        signed = (put, author)
        group = self._calls.open((signed, policy))
        group.add(signed, policy)
        try:
            done = await self._calls.join(group, deadline)
        finally:
            if not group.sent:
                group.remove(signed)
        if done:
            return group.result(put.key)
        if group.sent:
            raise OutcomeUnknown("no answer from etcd within the deadline")
        raise Unavailable("the writes before it took too long; nothing was sent")

    async def _send(self, group: Group, timeout: float) -> None:
        puts = tuple(group.puts.values())
        assert group.policy is not None  # that of its first put
        applied = await self._commit(puts, group.policy, timeout)
        for (put, _), existed in zip(puts, applied.existed, strict=True):
            group.applied[put.key] = Applied(applied.revision, (existed,), applied.acks)


def _size(put: Put) -> int:
    return len(put.key) + len(put.value)
