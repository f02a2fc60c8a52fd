"""Collects concurrent reads into few transactions (rule 4) and shares one load among many readers (rule 14).

Owns the queue of batches and the lanes: at most `lanes` transactions are in flight. Does not know what a batch means:
`stamp` and `send` are given. There is no thread here: the first reader who finds a lane free leads, the others wait;
the last reader to leave a batch wakes the leader of the next. So a lone reader pays nothing for the sharing.

Two rules make a crowd travel together, without a timer. Of sixty readers that an answer has just let go, the first to
come back would otherwise take a lane each for themselves, and so on:
  - a lane is free again when every reader of its batch has woken, not when the answer came;
  - a batch smaller than one that has a lane waits for company, or until that one's lane is free.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from consistency.core.decisions import Ticket, Verdict
from consistency.core.entries import Entry
from consistency.core.store import Answer, Found, StoreError, Unavailable

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
        self.verdict: Verdict | None = None  # protected by LocalState's lock


class Seat:
    """Where one reader waits: for its batch to be done, or to lead it."""

    __slots__ = ("_bell",)

    def __init__(self) -> None:
        self._bell = threading.Lock()
        self._bell.acquire()

    def wait(self, seconds: float) -> bool:
        return self._bell.acquire(timeout=max(0.0, seconds))

    def ring(self) -> None:
        self._bell.release()


class Batch:
    """Reads that travel together. Joined while `ticket` is None; afterwards on its way; then `done`.

    boarded: how many readers joined it. readers: with those who followed a load of it later. seats: of those not gone.
    """

    def __init__(self) -> None:
        self.wants: dict[str, Errand] = {}
        self.readers = 0
        self.boarded = 0
        self.ticket: Ticket | None = None
        self.parts: list[Part] = []
        self.error: StoreError | None = None
        self.done = False
        self.seats: list[Seat] = []
        self.leader: Seat | None = None

    def add(self, errand: Errand) -> None:
        self.readers += 1
        self.boarded += 1
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


class Batcher:
    """See the module's opening. `clock` gives local seconds, as in the deadlines."""

    def __init__(
        self,
        *,
        stamp: Callable[[], Ticket],
        send: Callable[[Batch, float], None],
        clock: Callable[[], float],
        lanes: int = LANES,
    ) -> None:
        self._stamp = stamp
        self._send = send
        self._clock = clock
        self._lock = threading.Lock()  # protects everything below, and every batch until it is done; its seats always
        self._queue: list[Batch] = []  # not sent yet, oldest first
        self._flying: dict[str, Batch] = {}  # the latest batch on its way that fetches the key
        self._lanes = lanes
        self._away: list[Batch] = []  # those that have a lane

    def join(self, errand: Errand, deadline: float) -> Batch:
        """Joins a batch that has not been sent yet and returns it when it is done (rule 4).

        Raises Unavailable when no answer came by `deadline` (local seconds); a failed batch raises at `Batch.part`.
        """
        with self._lock:
            batch, seat, leads = self._board(errand)
        return self._travel(batch, seat, leads, deadline)

    def share(
        self, errand: Errand, deadline: float, *, follow: Callable[[Ticket], bool], answered: Callable[[], bool]
    ) -> Batch | None:
        """As `join`, but follows a load of the key that is on its way if `follow` agrees to its ticket (rule 14).

        Returns None when `answered` says that the cache has an answer now:
          1. reader R finds no entry and decides to load;
          2. leader L, which was loading that key, fills the cache and its batch leaves `_flying`;
          3. R finds no load to follow. Without this question it would load a second time.
        """
        assert errand.key is not None
        with self._lock:
            flying = self._flying.get(errand.key)
            if flying is not None and flying.ticket is not None and follow(flying.ticket):
                flying.readers += 1
                batch, seat, leads = flying, self._seat(flying), False
            elif flying is None and answered():
                return None
            else:
                batch, seat, leads = self._board(errand)
        return self._travel(batch, seat, leads, deadline)

    def _board(self, errand: Errand) -> tuple[Batch, Seat, bool]:
        batch = next((b for b in reversed(self._queue) if b.has_room_for(errand)), None)
        if batch is None:
            batch = Batch()
            self._queue.append(batch)
        batch.add(errand)
        seat = self._seat(batch)
        leads = self._may_go(batch)
        if leads:
            self._appoint(batch, seat)
            self._depart(batch)
        return batch, seat, leads

    def _may_go(self, batch: Batch) -> bool:
        """Whether there is a lane for it, and enough company in it: see the module's opening."""
        free = batch.leader is None and len(self._away) < self._lanes
        return free and all(batch.boarded >= other.boarded for other in self._away)

    def _appoint(self, batch: Batch, leader: Seat) -> None:
        """Gives it a lane, and somebody to lead it."""
        batch.leader = leader
        self._away.append(batch)

    def _seat(self, batch: Batch) -> Seat:
        seat = Seat()
        batch.seats.append(seat)
        return seat

    def _depart(self, batch: Batch) -> None:
        """From here on nobody joins; the ticket is drawn before the send."""
        self._queue.remove(batch)
        batch.ticket = self._stamp()
        for key in batch.wants:
            self._flying[key] = batch

    def _travel(self, batch: Batch, seat: Seat, leads: bool, deadline: float) -> Batch:
        try:
            if leads or self._is_called(batch, seat, deadline):
                self._lead(batch, deadline)
        finally:
            self._leave(batch, seat)
        return batch

    def _is_called(self, batch: Batch, seat: Seat, deadline: float) -> bool:
        """Waits until the batch is done, or this seat has to lead it: then True. Raises Unavailable."""
        rung = seat.wait(deadline - self._clock())
        with self._lock:
            if batch.done:
                return False
            if not rung:
                raise Unavailable("no answer from etcd within the deadline")
            self._depart(batch)
            return True

    def _lead(self, batch: Batch, deadline: float) -> None:
        try:
            self._send(batch, deadline - self._clock())
        except StoreError as error:
            batch.error = error
        except BaseException:
            batch.error = Unavailable("the read was abandoned")
            raise
        finally:
            with self._lock:
                bells = self._arrive(batch)
            for bell in bells:
                bell.ring()

    def _arrive(self, batch: Batch) -> list[Seat]:
        for key in batch.wants:
            if self._flying.get(key) is batch:
                del self._flying[key]
        batch.done = True
        return [seat for seat in batch.seats if seat is not batch.leader]

    def _leave(self, batch: Batch, seat: Seat) -> None:
        """A reader goes, with an answer or out of time. What it held goes on to somebody.

          1. a lane becomes free: this seat is made the leader of its batch, and its bell rings;
          2. at that moment its reader runs out of time.
        Then another reader of the batch has to lead it, or the next batch go.
        """
        with self._lock:
            batch.seats.remove(seat)
            deserted = batch.leader is seat and not batch.done
            if deserted:
                batch.leader = None
            if deserted or (batch.done and not batch.seats):
                self._away.remove(batch)
            if batch.ticket is None and not batch.seats:
                self._queue.remove(batch)
            bells = self._promote()
        for bell in bells:
            bell.ring()

    def _promote(self) -> list[Seat]:
        """Gives free lanes to those who may go. The latest reader leads: nobody else has more time left."""
        bells = []
        for batch in self._queue:
            if self._may_go(batch):
                self._appoint(batch, batch.seats[-1])
                bells.append(batch.seats[-1])
        return bells
