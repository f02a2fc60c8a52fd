"""The way of a read: from memory if that is proven, else through a batch (rules 3, 4, 10, 11, 14).

Owns the batches. Decides nothing itself: `Freshness` decides, this acts. Every loop is bounded by the read's deadline.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import assert_never

from consistency.core.decisions import (
    Ahead,
    AwaitHorizon,
    Backwards,
    Bypass,
    Confirm,
    Load,
    Proof,
    Serve,
    Ticket,
    Validate,
    Verdict,
)
from consistency.core.events import BatchAnswered, Observer, ReadServed
from consistency.core.known import Entry
from consistency.core.model import Demand, Reading, Revision, Source, WrongTimeline
from consistency.core.options import CacheOptions
from consistency.core.store import Store, StoreError, TooLarge, Unavailable, Want
from consistency.instance.read_batches import PROOF, Batch, Need, Part, ReadBatches
from consistency.instance.state import LocalState
from consistency.tasks import Errands

SESSION_PATIENCE = 0.02
"""Seconds that a session waits for the watch before it asks etcd, which takes hardly longer (rule 10)."""

HIT = ReadServed(Source.HIT)
MISS = ReadServed(Source.MISS)
REVALIDATED = ReadServed(Source.REVALIDATED)
ASKED = ReadServed(Source.BYPASS, "asked")
NO_SLOT = ReadServed(Source.BYPASS, "not a member")
STALE = ReadServed(Source.STALE)


class Reads:
    """Belongs to one loop."""

    def __init__(
        self,
        store: Store,
        state: LocalState,
        options: CacheOptions,
        *,
        observer: Observer,
        clock: Callable[[], float],
        errands: Errands,
    ) -> None:
        self._store = store
        self._state = state
        self._options = options
        self._observer = observer
        self._clock = clock
        self._batches = ReadBatches(stamp=state.ticket, send=self._send, clock=clock, errands=errands)

    async def get(self, key: str, demand: Demand) -> Reading:
        """See `AsyncDistributedCache.get`, which tries a hit before."""
        if demand.session_unknown:
            demand = demand._replace(linearizable=True, stale_if_error=0.0)
        deadline = self._clock() + self._options.timeout
        try:
            if not demand.use_cache:
                return await self._uncached(key, demand, deadline, ASKED)
            return await self._cached(key, demand, deadline)
        except Unavailable:
            served = self._state.last_known(key, demand)
            if served is None:
                raise
            self._observer(STALE)
            return _reading(served.entry, served.revision, Source.STALE, served.age)

    async def prove(self) -> Verdict:
        """A batch without a range: what it proves (rule 4). Raises Unavailable."""
        self._state.proving()
        part = (await self._batches.join(PROOF, self._clock() + self._options.timeout)).part(None)
        return await self._state.settle_within(part, self._clock() + self._options.proof_interval)

    async def reach(self, revision: Revision) -> Verdict:
        """As `prove`, for who has been told of `revision`. Raises WrongTimeline if the store has not reached it."""
        deadline = self._clock() + self._options.timeout
        part = (await self._join(PROOF, deadline)).part(None)
        return await self._settle(part, Demand(min_revision=revision), deadline)

    # The decisions of Freshness, acted upon

    async def _cached(self, key: str, demand: Demand, deadline: float) -> Reading:
        proved_at: float | None = None  # a proof of our own: its moment stands for now (rule 11)
        waited = False
        reading: Reading | None = None
        while reading is None:
            decision = self._state.decide(key, demand, at=proved_at)
            match decision:
                case Serve():
                    return self._from_memory(decision, proved_at)
                case Bypass():
                    return await self._uncached(key, demand, deadline, NO_SLOT)
                case AwaitHorizon() if not waited:
                    waited = True
                    await self._state.await_horizon(
                        demand.min_revision, min(deadline, self._clock() + SESSION_PATIENCE)
                    )
                case AwaitHorizon() | Confirm():
                    proved_at = await self._confirm(demand, deadline)
                    if proved_at is None:
                        reading = await self._load(Need(key, fill=True), demand, deadline)
                case Validate(entry, epoch):
                    proved_at = None
                    reading = await self._load(Need(key, entry, fill=True, epoch=epoch), demand, deadline)
                case Load():
                    proved_at = None
                    reading = await self._load(Need(key, fill=True), demand, deadline)
                case _:
                    assert_never(decision)
        return reading

    def _from_memory(self, served: Serve, proved_at: float | None) -> Reading:
        if proved_at is not None:
            self._observer(REVALIDATED)
            return _reading(served.entry, served.revision, Source.REVALIDATED)
        self._observer(HIT)
        return _reading(served.entry, served.revision, Source.HIT, served.age)

    async def _confirm(self, demand: Demand, deadline: float) -> float | None:
        """When the proof was sent that the present entries are current; None if there is none."""
        part = (await self._join(PROOF, deadline)).part(None)
        verdict = await self._settle(part, demand, deadline)
        return part.ticket.sent_at if isinstance(verdict, Proof) else None

    async def _load(self, wanted: Need, demand: Demand, deadline: float) -> Reading | None:
        """Reads one key through a batch. None: decide again, the cache knows or etcd is on another history."""
        key = wanted.key
        batch = await self._ask(wanted, demand, deadline)
        if batch is None:
            return None
        part = batch.part(key)
        verdict = await self._settle(part, demand, deadline)
        if isinstance(verdict, Backwards):
            return None
        need, found = part.finds[key]
        at = part.answer.header.revision
        if found.document is not None:
            self._observer(MISS)
            return Reading(found.document.data, found.document.mod_revision, at, Source.MISS, 0.0)
        if not found.present:
            self._observer(MISS)
            return Reading(None, 0, at, Source.MISS, 0.0)
        if need.entry is not None and isinstance(verdict, Proof):
            self._observer(REVALIDATED)
            return _reading(need.entry, at, Source.REVALIDATED)
        # "Unchanged since m" says nothing if the m of this history may be another's (rule 6): ask for all of it.
        return await self._load(replace(wanted, entry=None), demand, deadline)

    async def _uncached(self, key: str, demand: Demand, deadline: float, served: ReadServed) -> Reading:
        part = (await self._join(Need(key), deadline)).part(key)
        _check_timeline(part, demand)
        _, found = part.finds[key]
        at = part.answer.header.revision
        self._observer(served)
        if found.document is None:
            return Reading(None, 0, at, Source.BYPASS, 0.0)
        return Reading(found.document.data, found.document.mod_revision, at, Source.BYPASS, 0.0)

    async def _settle(self, part: Part, demand: Demand, deadline: float) -> Verdict:
        """Waits for the watch briefly, if at all: a read can always ask for the value itself."""
        _check_timeline(part, demand)
        verdict = self._state.settle(part)
        if isinstance(verdict, Ahead):
            patience = min(deadline, self._clock() + self._options.staleness_bound / 4)
            verdict = await self._state.settle_within(part, patience)
        return verdict

    # Asking the store

    def _join(self, need: Need, deadline: float) -> Awaitable[Batch]:
        self._check_deadline(deadline)
        return self._batches.join(need, deadline)

    async def _ask(self, need: Need, demand: Demand, deadline: float) -> Batch | None:
        """A default read may share a load on its way; a linearizable one, or with a session, must not (rule 14)."""
        key = need.key
        assert key is not None
        if demand.min_revision or demand.linearizable:
            return await self._join(need, deadline)
        self._check_deadline(deadline)
        return await self._batches.share(
            need,
            deadline,
            follow=lambda ticket: self._state.may_follow(key, ticket, self._options.staleness_bound),
            answered=lambda: isinstance(self._state.decide(key, demand), Serve),
        )

    async def _send(self, batch: Batch, timeout: float) -> None:
        """The transaction of a batch, then what it proves and fills, before anybody is woken."""
        ticket = batch.ticket
        assert ticket is not None
        try:
            needs = tuple(need.as_sent_in(ticket.epoch) for need in batch.needs.values())
            batch.parts = await self._fetch(ticket, needs, self._clock() + timeout)
        except StoreError as error:
            self._state.unanswered(error)
            raise
        self._state.answered(ticket.sent_at)
        verdicts = [self._state.settle(part) for part in batch.parts]
        self._observer(BatchAnswered(len(batch.needs), batch.joined + batch.followers, isinstance(verdicts[0], Proof)))

    async def _fetch(self, ticket: Ticket, needs: tuple[Need, ...], deadline: float) -> list[Part]:
        """One transaction; where its answer would be too large, two smaller ones."""
        asked = [Want(str(need.key), need.entry.mod_revision if need.entry else 0) for need in needs]
        try:
            answer = await self._store.read(
                asked, ticket.slot, intents=self._state.holds_any, timeout=deadline - self._clock()
            )
        except TooLarge:
            if len(needs) < 2:
                raise
            half = len(needs) // 2
            return await self._fetch(ticket, needs[:half], deadline) + await self._fetch(ticket, needs[half:], deadline)
        return [Part(ticket, needs, answer)]

    def _check_deadline(self, deadline: float) -> None:
        self._state.refuse_if_down()
        if self._clock() >= deadline:
            raise Unavailable(
                f"freshness could not be proven within {self._options.timeout:g} s: {self._state.last_error}"
            )


def _check_timeline(part: Part, demand: Demand) -> None:
    """A token ahead of a linearizable answer was given out in another history (rule 10)."""
    if part.answer.header.revision < demand.min_revision:
        raise WrongTimeline(demand.min_revision, part.answer.header.revision)


def _reading(entry: Entry, revision: Revision, source: Source, age: float = 0.0) -> Reading:
    return Reading(entry.value, entry.mod_revision, revision, source, age)
