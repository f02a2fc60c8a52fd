"""Group commit: puts that come at the same time go to the store in one transaction (rule 1).

Owns the groups and the lane they go by. Does not know what a commit means: `commit` is given. Belongs to one loop. The
first writer of a group begins it; who comes while it waits for the lane goes along. So a lone writer pays nothing, and
a crowd pays for one transaction. A group that was sent is seen through, whoever goes away meanwhile.

Only unconditional puts of different keys share one: nothing that one of them does can make another fail. Their order
is nobody's promise, since they were under way at the same time; what is true of one transaction (all or nothing, one
revision, one version that names all keys) is more than each of them was promised.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from consistency.core.model import Applied
from consistency.core.store import OutcomeUnknown, Put, StoreError, Unavailable
from consistency.news import GRACE, within
from consistency.tasks import Errands

MAX_PUTS = 60
"""In one group: with a look at what was there before each, within etcd's 128 operations."""

MAX_BYTES = 512 * 1024
"""Of keys and values in one group, so that it stays well within one request. A larger put goes alone."""

PATIENCE = 0.1
"""Seconds. A transaction takes a few milliseconds, unless its endpoint has died."""

Commit = Callable[[Sequence[Put], float], Awaitable[Applied]]


class Group:
    """Puts that go together."""

    def __init__(self) -> None:
        self.puts: dict[str, Put] = {}
        self.bytes = 0
        self.sent = False
        self.done = asyncio.Event()
        self.applied: dict[str, Applied] = {}
        self.error: StoreError | None = None

    def has_room_for(self, put: Put) -> bool:
        """A key occurs once: of two values for it, one would have to win."""
        fits = not self.puts or (len(self.puts) < MAX_PUTS and self.bytes + _size(put) <= MAX_BYTES)
        return fits and put.key not in self.puts

    def add(self, put: Put) -> None:
        self.puts[put.key] = put
        self.bytes += _size(put)

    def take(self, puts: Sequence[Put], applied: Applied) -> None:
        """The answer, to each its own."""
        for put, existed in zip(puts, applied.existed, strict=True):
            self.applied[put.key] = Applied(applied.revision, (existed,))

    def result(self, key: str) -> Applied:
        """Of one of its puts. Raises what ended the group."""
        if self.error is not None:
            raise type(self.error)(*self.error.args) from self.error
        return self.applied[key]


class GroupCommit:
    """`commit` takes puts and a deadline, and raises StoreError. `clock` gives local seconds, as in the deadlines.

    patience: seconds to wait for the group before.
    """

    def __init__(
        self, commit: Commit, clock: Callable[[], float], errands: Errands, patience: float = PATIENCE
    ) -> None:
        self._commit = commit
        self._errands = errands
        self._clock = clock
        self._patience = patience
        self._lane = asyncio.Lock()  # held while a group is on its way
        self._open: Group | None = None  # takes puts, while it waits for the lane

    async def put(self, put: Put, deadline: float) -> Applied:
        """Commit `put`, alone or in company. Raises Unavailable (not done), OutcomeUnknown, Rejected."""
        group = self._join(put, deadline)
        if not await within(group.done, deadline - self._clock() + GRACE):
            self._give_up(group, put)
        return group.result(put.key)

    def _join(self, put: Put, deadline: float) -> Group:
        group = self._open
        if group is None or not group.has_room_for(put):
            group = self._open = Group()  # one that is full goes on without being open
            self._errands.start(self._lead(group, deadline), "group-commit")
        group.add(put)
        return group

    async def _lead(self, group: Group, deadline: float) -> None:
        """Wait for the lane, which is a courtesy: behind a transaction that hangs nobody waits for long."""
        holds = await self._take_lane()
        try:
            puts = self._close(group)
            if puts:  # else all have given up
                group.take(puts, await self._commit(puts, deadline))
        except StoreError as error:
            group.error = error
        except BaseException:
            group.error = OutcomeUnknown("the write was abandoned")
            raise
        finally:
            if holds:
                self._lane.release()
            group.done.set()

    async def _take_lane(self) -> bool:
        try:
            async with asyncio.timeout(self._patience):
                return await self._lane.acquire()
        except TimeoutError:
            return False

    def _close(self, group: Group) -> tuple[Put, ...]:
        """From here on nobody joins, and nobody leaves."""
        group.sent = True
        if self._open is group:
            self._open = None
        return tuple(group.puts.values())

    def _give_up(self, group: Group, put: Put) -> None:
        """The time of one is up. Raises."""
        if group.sent:
            raise OutcomeUnknown("no answer from etcd within the deadline")
        del group.puts[put.key]
        raise Unavailable("the writes before it took too long; nothing was sent")


def _size(put: Put) -> int:
    return len(put.key) + len(put.value)
