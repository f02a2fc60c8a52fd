"""Collects concurrent reads into few transactions (rule 4) and shares one load among many readers (rule 14).

Owns which reads go together; how they wait and when they go is `SharedCalls`. Does not know what a batch means:
`stamp` and `send` are given. Belongs to one loop.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from consistency.core.decisions import Ticket, Verdict
from consistency.core.known import Entry
from consistency.core.store import Found, ReadAnswer, Unavailable
from consistency.tasks import Errands, SharedCall, SharedCalls

LANES = 2
"""Transactions in flight: one being answered while the next collects costs throughput, more collect less."""

MAX_WANTS = 64
"""Keys in one transaction. etcd takes 128 operations; fewer bound the size of an answer."""


@dataclass(frozen=True, slots=True)
class Need:
    """What one reader needs of a batch.

    key: to read, or None when the proof alone will do.
    entry: what is held of it already, in this epoch; the value is moved only if it is newer.
    fill: whether the answer goes into the cache.
    """

    key: str | None
    entry: Entry | None = None
    fill: bool = False
    epoch: int = 0

    def as_sent_in(self, epoch: int) -> Need:
        """What to ask for in a transaction of this epoch: without an entry of an earlier one.

        1. A reader finds an entry of mod_revision m to validate, and waits for a lane; 2. etcd turns out to be on
        another history, and everything is forgotten (rules 6, 8); 3. the batch is sent, and its answer is a proof of
        the new epoch. "Not written since m" says nothing there: what this history has may be older than m.
        """
        return self if self.entry is None or self.epoch == epoch else replace(self, entry=None)


PROOF = Need(None)
"""The proof alone."""


class Part:
    """The answer to one transaction of a batch, with the ticket it was sent with, and the verdict once there is one."""

    __slots__ = ("answer", "finds", "ticket", "verdict")

    def __init__(self, ticket: Ticket, needs: tuple[Need, ...], answer: ReadAnswer) -> None:
        self.ticket = ticket
        self.answer = answer
        self.finds: dict[str | None, tuple[Need, Found]] = {
            need.key: (need, found) for need, found in zip(needs, answer.found, strict=True)
        }
        self.verdict: Verdict | None = None


class Batch(SharedCall):
    """Reads that go together. followers: how many came when it was under way, for a load of it."""

    def __init__(self) -> None:
        super().__init__()
        self.needs: dict[str, Need] = {}
        self.followers = 0
        self.ticket: Ticket | None = None
        self.parts: list[Part] = []

    def add(self, need: Need) -> None:
        """Take one more reader's need; of a key that somebody reads already, one need serves both."""
        if need.key is None:
            return
        other = self.needs.get(need.key)
        if other is not None:  # two readers of one key: the whole value serves both
            entry = need.entry if need.entry is other.entry else None
            need = replace(need, entry=entry, fill=need.fill or other.fill)
        self.needs[need.key] = need  # type: ignore[index]  # not None, see above

    def has_room_for(self, need: Need) -> bool:
        """Return whether one more reader can join: one of no key or of a key in the batch always can."""
        return need.key is None or need.key in self.needs or len(self.needs) < MAX_WANTS

    def part(self, key: str | None) -> Part:
        """The part that answers `key`. Raises the error that ended the batch."""
        if self.error is not None:
            self.raise_error()
        parts = self.parts
        if key is None or len(parts) == 1:
            return parts[0]
        return next(part for part in parts if key in part.finds)


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
        self._loading: dict[str, Batch] = {}  # the latest batch under way that fetches the key
        lost = Unavailable("the read was abandoned")
        self._calls = SharedCalls(
            "read-batch", Batch, self._send_off, clock=clock, errands=errands, lost=lost, lanes=lanes
        )

    async def join(self, need: Need, deadline: float) -> Batch:
        """Join a batch that has not been sent yet, and return it when it is done (rule 4).

        Raises Unavailable when no answer came by `deadline` (local seconds); a failed batch raises at `Batch.part`.
        """
        batch = self._calls.open(need)
        batch.add(need)
        return _arrived(batch, await self._calls.join(batch, deadline))

    async def share(
        self, need: Need, deadline: float, *, follow: Callable[[Ticket], bool], answered: Callable[[], bool]
    ) -> Batch | None:
        """As `join`, but follow a load of the key that is on its way if `follow` agrees to its ticket (rule 14).

        Returns None when `answered` says that the cache has an answer now:
          1. reader R finds no entry and decides to load;
          2. leader L, which was loading that key, fills the cache and its batch leaves `_loading`;
          3. R finds no load to follow. Without this question it would load a second time.
        """
        assert need.key is not None
        loading = self._loading.get(need.key)
        if loading is not None and loading.ticket is not None and follow(loading.ticket):
            loading.followers += 1
            return _arrived(loading, await self._calls.wait(loading, deadline))
        if loading is None and answered():
            return None
        return await self.join(need, deadline)

    async def _send_off(self, batch: Batch, timeout: float) -> None:
        """Nobody joins it any more; the ticket is drawn before the send."""
        batch.ticket = self._stamp()
        for key in batch.needs:
            self._loading[key] = batch
        try:
            await self._send(batch, timeout)
        finally:
            for key in batch.needs:
                if self._loading.get(key) is batch:
                    del self._loading[key]


def _arrived(batch: Batch, done: bool) -> Batch:
    if not done:
        raise Unavailable("no answer from etcd within the deadline")
    return batch
