"""The way of a write: one transaction with the version, and what it means for our own entries (rules 1, 8, 12).

Owns the groups of puts. A write that was sent is seen through, even when its client has gone: its outcome decides what
our entries are worth.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence

from consistency.core.events import Acknowledged, Observer
from consistency.core.model import (
    Applied,
    Author,
    Authors,
    MustExist,
    Precondition,
    PreconditionFailed,
    Revision,
    VersionRecord,
    Written,
    holds,
    new_nonce,
)
from consistency.core.options import CacheOptions
from consistency.core.store import Change, Commit, Delete, OutcomeUnknown, Put, Store, Unavailable
from consistency.instance.fleet import Fleet
from consistency.instance.group_commit import GroupCommit, Signed
from consistency.instance.state import LocalState
from consistency.tasks import Errands


class Writes:
    """Belongs to one loop. `refuse_if_down` raises Unavailable while the store is known not to answer."""

    def __init__(
        self,
        store: Store,
        state: LocalState,
        fleet: Fleet,
        options: CacheOptions,
        *,
        observer: Observer,
        clock: Callable[[], float],
        errands: Errands,
        refuse_if_down: Callable[[], None],
    ) -> None:
        self._store = store
        self._state = state
        self._fleet = fleet
        self._options = options
        self._observer = observer
        self._clock = clock
        self._errands = errands
        self._refuse_if_down = refuse_if_down
        self._group = GroupCommit(self._commit_puts, clock, errands)

    async def put(self, put: Put, author: Author, *, sync: bool) -> Written:
        """See `DistributedCache.put`. Without a precondition, and not `sync`, it may share a transaction."""
        if put.precondition is None and not sync:
            applied = await self._put_in_company(put, author)
        else:
            applied = await self.write((put,), "put", author, sync=sync)
        return Written(applied.revision, applied.existed[0], applied.acks)

    async def delete(self, key: str, precondition: Precondition | None, author: Author, *, sync: bool) -> Written:
        """See `DistributedCache.delete`."""
        try:
            applied = await self.write((Delete(key, precondition or MustExist()),), "delete", author, sync=sync)
        except PreconditionFailed as refused:
            if precondition is not None:
                raise
            # Nothing was written, so nobody acknowledges; somebody else's delete may still be on its way.
            acks = await self._await_acks(refused.revision, ()) if sync else None
            return Written(refused.revision, False, acks)
        return Written(applied.revision, existed=True, acks=applied.acks)

    async def write(self, changes: tuple[Change, ...], op: str, author: Author, *, sync: bool) -> Applied:
        """All changes, or none. Raises PreconditionFailed for the first that its precondition refuses."""
        commit = await self._errands.see_through(
            self._commit(changes, op, Authors.of_all(author), sync, self._options.timeout),
            "write",
            lost=OutcomeUnknown("the cache was closed before the answer came"),
        )
        revision = commit.header.revision
        if not commit.committed:
            raise _refusal(changes, commit)
        acks = await self._await_acks(revision, commit.members) if sync else None
        return Applied(revision, tuple(before > 0 for before in commit.before), acks)

    async def _put_in_company(self, put: Put, author: Author) -> Applied:
        try:
            return await self._group.put(put, author, self._clock() + self._options.timeout)
        except OutcomeUnknown:
            # The group may still be on its way: who waits for it can be out of time before.
            self._state.may_have_written((put.key,))
            raise

    async def _commit_puts(self, signed: Sequence[Signed], timeout: float) -> Applied:
        """Of unconditional puts, so there is nothing that could be refused."""
        if timeout <= 0:
            raise Unavailable("the writes before it took too long; nothing was sent")
        authors = Authors.of_each((put.key, author) for put, author in signed)
        commit = await self._commit(tuple(put for put, _ in signed), "put", authors, False, timeout)
        return Applied(commit.header.revision, tuple(before > 0 for before in commit.before))

    async def _commit(
        self, changes: tuple[Change, ...], op: str, authors: Authors, sync: bool, timeout: float
    ) -> Commit:
        self._refuse_if_down()
        keys = frozenset(change.key for change in changes)
        record = VersionRecord(new_nonce(), keys, op, sync, authors)
        ticket = self._state.ticket()
        try:
            commit = await self._store.commit(changes, record, timeout=timeout)
        except (OutcomeUnknown, asyncio.CancelledError):  # cancelled only at the end of the instance, perhaps when sent
            self._state.may_have_written(keys)
            raise
        if commit.committed:
            self._state.wrote(keys, commit.header, ticket)
        return commit

    async def _await_acks(self, revision: Revision, members: Collection[int]) -> tuple[int, int]:
        """Until all have acknowledged, or every proof older than the answer that has just come has run out."""
        acks, complete = await self._fleet.await_acks(revision, members, self._clock() + self._options.sync_wait)
        self._observer(Acknowledged(acks, len(members), complete))
        return acks, len(members)


def _refusal(changes: tuple[Change, ...], commit: Commit) -> PreconditionFailed:
    """For the first change whose precondition did not hold."""
    key, current = next(
        (change.key, before)
        for change, before in zip(changes, commit.before, strict=True)
        if not holds(change.precondition, before)
    )
    return PreconditionFailed(key, current, commit.header.revision)
