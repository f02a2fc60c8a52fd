"""Collects concurrent reads into few transactions (rule 4) and shares one load among many readers (rule 14).

Owns the queue of batches and the lanes: at most `lanes` transactions are in flight. Does not know what a batch means:
`stamp` and `send` are given. Belongs to one loop. Each batch that is sent has a task of its own, so a reader who goes
away takes nothing from the others; a lone reader's batch goes at once and pays nothing for the sharing.

Two rules make a crowd travel together, without a timer. Of sixty readers that an answer has just let go, the first to
come back would otherwise take a lane each for themselves, and so on:
  - a lane is free again when every reader of its batch has been woken, not when the answer came;
  - a batch smaller than one that has a lane waits for company, or until that one's lane is free.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from consistency.core.decisions import Ticket, Verdict
from consistency.core.entries import Entry
from consistency.core.store import Answer, Found, StoreError, Unavailable
from consistency.news import GRACE, within
from consistency.tasks import Errands

LANES = 2
"""Transactions in flight: one being answered while the next collects costs throughput, more collect less."""

MAX_WANTS = 64
"""Keys in one transaction. etcd takes 128 operations; fewer bound the size of an answer."""


@dataclass(frozen=True, slots=True)
class Errand:
    """What one reader wants of a batch.

    key: to read, or None when the proof alone will do.
    entry: what is held of it already; the value is moved only if it is newer.
    fill: whether the answer goes into the cache.
    """

    key: str | None
    entry: Entry | None = None
    fill: bool = False


class Part:
    """The answer to one transaction of a batch, with the ticket it was sent with, and the verdict once there is one."""

    __slots__ = ("answer", "finds", "ticket", "verdict")

    def __init__(self, ticket: Ticket, wants: tuple[Errand, ...], answer: Answer) -> None:
        self.ticket = ticket
        self.answer = answer
        self.finds: dict[str | None, tuple[Errand, Found]] = {
            want.key: (want, found) for want, found in zip(wants, answer.found, strict=True)
        }
        self.verdict: Verdict | None = None


class Batch:
    """Reads that go together. Joined while `ticket` is None; afterwards on its way; then `done`.

    joined: how many readers joined it. readers: with those who followed a load of it later. waiting: of those not gone.
    deadline: local seconds, of the reader who has most time left.
    """

    def __init__(self) -> None:
        self.wants: dict[str, Errand] = {}
        self.readers = 0
        self.joined = 0
        self.waiting = 0
        self.deadline = float("-inf")
        self.ticket: Ticket | None = None
        self.parts: list[Part] = []
        self.error: StoreError | None = None
        self.done = asyncio.Event()

    def add(self, errand: Errand) -> None:
        self.joined += 1
        if errand.key is None:
            return
        other = self.wants.get(errand.key)
        if other is not None:  # two readers of one key: the whole value serves both
            entry = errand.entry if errand.entry is other.entry else None
            errand = Errand(errand.key, entry, errand.fill or other.fill)
        self.wants[errand.key] = errand  # type: ignore[index]  # not None, see above

    def has_room_for(self, errand: Errand) -> bool:
        return errand.key is None or errand.key in self.wants or len(self.wants) < MAX_WANTS

    def part(self, key: str | None) -> Part:
        """The part that answers `key`. Raises the error that ended the batch."""
        if self.error is not None:
            raise type(self.error)(*self.error.args) from self.error
        return next(part for part in self.parts if key is None or key in part.finds)


class ReadBatches:
    """See the module's opening. `clock` gives local seconds, as in the deadlines.

    send: makes the transaction of a batch within so many seconds, and fills in its parts. Raises StoreError.
    """

    def __init__(
        self,
        *,
        stamp: Callable[[], Ticket],
        send: Callable[[Batch, float], Awaitable[None]],
        clock: Callable[[], float],
        errands: Errands,
        lanes: int = LANES,
    ) -> None:
        self._stamp = stamp
        self._send = send
        self._clock = clock
        self._errands = errands
        self._lanes = lanes
        self._queue: list[Batch] = []  # not sent yet, oldest first
        self._flying: dict[str, Batch] = {}  # the latest batch on its way that fetches the key
        self._away: list[Batch] = []  # those that have a lane

    async def join(self, errand: Errand, deadline: float) -> Batch:
        """Join a batch that has not been sent yet, and return it when it is done (rule 4).

        Raises Unavailable when no answer came by `deadline` (local seconds); a failed batch raises at `Batch.part`.
        """
        return await self._wait(self._enter(errand, deadline), deadline)

    async def share(
        self, errand: Errand, deadline: float, *, follow: Callable[[Ticket], bool], answered: Callable[[], bool]
    ) -> Batch | None:
        """As `join`, but follow a load of the key that is on its way if `follow` agrees to its ticket (rule 14).

        Returns None when `answered` says that the cache has an answer now:
          1. reader R finds no entry and decides to load;
          2. leader L, which was loading that key, fills the cache and its batch leaves `_flying`;
          3. R finds no load to follow. Without this question it would load a second time.
        """
        assert errand.key is not None
        flying = self._flying.get(errand.key)
        if flying is not None and flying.ticket is not None and follow(flying.ticket):
            return await self._wait(flying, deadline)
        if flying is None and answered():
            return None
        return await self._wait(self._enter(errand, deadline), deadline)

    def _enter(self, errand: Errand, deadline: float) -> Batch:
        batch = next((b for b in reversed(self._queue) if b.has_room_for(errand)), None)
        if batch is None:
            batch = Batch()
            self._queue.append(batch)
        batch.add(errand)
        batch.deadline = max(batch.deadline, deadline)
        if self._may_go(batch):
            self._depart(batch)
        return batch

    def _may_go(self, batch: Batch) -> bool:
        """Whether there is a lane for it, and enough company in it: see the module's opening."""
        return len(self._away) < self._lanes and all(batch.joined >= other.joined for other in self._away)

    def _depart(self, batch: Batch) -> None:
        """From here on nobody joins; the ticket is drawn before the send."""
        self._queue.remove(batch)
        self._away.append(batch)
        batch.ticket = self._stamp()
        for key in batch.wants:
            self._flying[key] = batch
        self._errands.start(self._travel(batch), "read-batch")

    async def _travel(self, batch: Batch) -> None:
        try:
            await self._send(batch, batch.deadline - self._clock())
        except StoreError as error:
            batch.error = error
        except BaseException:
            batch.error = Unavailable("the read was abandoned")
            raise
        finally:
            self._arrive(batch)

    def _arrive(self, batch: Batch) -> None:
        for key in batch.wants:
            if self._flying.get(key) is batch:
                del self._flying[key]
        batch.done.set()
        if not batch.waiting:
            self._free(batch)

    async def _wait(self, batch: Batch, deadline: float) -> Batch:
        batch.readers += 1
        batch.waiting += 1
        try:
            if not await within(batch.done, deadline - self._clock() + GRACE):
                raise Unavailable("no answer from etcd within the deadline")
        finally:
            self._leave(batch)
        return batch

    def _leave(self, batch: Batch) -> None:
        """A reader goes: with an answer, out of time, or because its client has gone."""
        batch.waiting -= 1
        if batch.waiting:
            return
        if batch.ticket is None:
            self._queue.remove(batch)
        elif batch.done.is_set():
            self._free(batch)

    def _free(self, batch: Batch) -> None:
        """Its lane goes to those who wait."""
        self._away.remove(batch)
        for waiting in tuple(self._queue):
            if self._may_go(waiting):
                self._depart(waiting)
