"""Tells clients of changes (rule 18): from the events in memory, from a past that is read, or by a reset.

Owns the ways of clients through their scopes. Decides nothing itself: `core.feed` decides, this acts. A client that
waits costs no task of ours and no call: an event wakes those whom it concerns, and the instance's own proofs are
everybody's. Nothing is kept for a client that doesn't ask: it has its token, and is told from there when it comes back.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import assert_never

from consistency.core.events import ChangesTold, Observer, PastRead, ScopeReset
from consistency.core.feed import (
    MOST_NAMES,
    NOTHING_TOLD,
    Everything,
    Named,
    Nothing,
    NotYet,
    OfAnother,
    Older,
    Owed,
    Scope,
    Token,
    Told,
    Unproven,
)
from consistency.core.model import NO_VERSION, Revision, VersionEvent, WrongTimeline
from consistency.core.options import CacheOptions
from consistency.core.store import Compacted, Store, StoreError, TooLarge, Unavailable
from consistency.instance.followers import Followers, Index, wake
from consistency.instance.past_values import PastValues
from consistency.instance.reads import SESSION_PATIENCE, Reads
from consistency.instance.state import LocalState
from consistency.tasks import Errands, Worker

APPLIED_REMEMBERED = 1024
"""Events of which it is known when they were applied, to tell how late they are told."""

SLICE = 0.25
"""Seconds between looks for what nobody tells of: whether a token that was ahead is not any more."""

TRIES = 3
"""Resets begun anew because their revision had been compacted meanwhile."""


class NoWay(StoreError):
    """The past does not lead to what is remembered here without a gap: anything may have changed."""


@dataclass(frozen=True, slots=True)
class _Reset:
    """A snapshot that others may share: of which token, and when what it shows was the newest."""

    token: Token
    complete_at: float


class Feed:
    """See the module's opening. Belongs to one loop; `run` to a worker, which `wake` is the bell of."""

    def __init__(
        self,
        store: Store,
        state: LocalState,
        reads: Reads,
        options: CacheOptions,
        *,
        observer: Observer,
        clock: Callable[[], float],
        errands: Errands,
    ) -> None:
        self._store = store
        self.state = state
        self._reads = reads
        self._options = options
        self.observer = observer
        self.clock = clock
        self._errands = errands
        self.index = Index()
        self.values = PastValues(store, state, errands, options.timeout)
        self.closed = False
        self.begun = 0  # rises when the history begins anew: what was known of a token counts no more
        self._proven = True  # as all have been told
        self._applied: OrderedDict[Revision, float] = OrderedDict()  # when, local seconds
        self._resets: dict[tuple[Scope, bool], _Reset] = {}
        self._reading_past = False
        self._wanted_past: Revision = 0  # the oldest that somebody waits for
        self.bell: Callable[[], None] = lambda: None
        state.tell_changes_to(self._see)

    @contextmanager
    def following(self, scope: Scope, after: Token | None, *, values: bool) -> Iterator[Following]:
        """The way of one client through a scope, from a token on; None: from a reset."""
        here = self.state.here()
        followers = self.index.join(scope, here.revision if here else 0)
        self.bell()
        try:
            yield Following(self, followers, after, values)
        finally:
            self.index.leave(followers)

    async def changes(self, scope: Scope, after: Token | None, *, wait: float, values: bool) -> Told:
        """See `AsyncDistributedCache.changes`."""
        with self.following(scope, after, values=values) as following:
            return await following.told(wait)

    async def prove(self) -> None:
        """Ask for a proof, shared with all who do. Raises Unavailable if none has come."""
        await self._reads.prove()
        if not self.is_proven():
            raise Unavailable("it could not be proven that nothing else has changed")

    def age(self) -> float | None:
        """Seconds since everything that had been committed is known to have been applied."""
        return self.age_of(self.state.complete_at)

    def age_of(self, complete_at: float | None) -> float | None:
        """Seconds since then, if it is known."""
        return None if complete_at is None else max(0.0, self.clock() - complete_at)

    def is_proven(self) -> bool:
        """Whether it can be said that nothing has changed."""
        age = self.age()
        return age is not None and age < self._options.staleness_bound

    def applied_ago(self, revision: Revision) -> float | None:
        """Seconds since the event of a revision was applied here; None if that is not remembered."""
        at = self._applied.get(revision)
        return None if at is None else self.clock() - at

    def close(self) -> None:
        """Whoever waits is told that it is over."""
        self.closed = True
        self.index.wake_all()

    async def run(self, worker: Worker) -> None:
        """See that whoever follows hears when silence is not proven any more, and when it is again."""
        if not self.index:
            await worker.pause(self._options.staleness_bound)
            return
        proven = self.is_proven()
        if proven is not self._proven:
            self._proven = proven
            self.index.wake_all()
        if not proven:
            await self.state.await_move(self._options.staleness_bound)
            return
        await worker.pause(max(0.001, self._options.staleness_bound - (self.age() or 0.0)))

    # For the ways through the scopes

    async def reach(self, revision: Revision) -> bool:
        """Have the horizon at `revision`; whether it is (rule 10). Raises WrongTimeline if that is not to come."""
        until = self.clock() + SESSION_PATIENCE
        await self.state.await_horizon(revision, until)
        if self._is_at(revision):
            return True
        try:
            await self._reads.reach(revision)
        except StoreError:
            return False
        return self._is_at(revision)

    async def read_past(self, revision: Revision) -> None:
        """Have the events from `revision` on in memory: one read for all who wait for them.

        Raises Compacted, TooLarge and NoWay: they can't be had. WrongTimeline: there was no version then. Denied,
        Unavailable.
        Whoever was not the first returns when the first has read, and decides again; the next to read asks for the
        oldest that anybody still waits for.
        """
        self._wanted_past = min(self._wanted_past or revision, revision)
        if self._reading_past:
            await self.state.await_move(self._options.timeout)
            return
        self._reading_past = True
        wanted, self._wanted_past = self._wanted_past, 0
        try:
            await self._read_past(min(wanted, revision))
        except (Compacted, TooLarge, NoWay, WrongTimeline):
            if wanted >= revision:
                raise
            await self._read_past(revision)  # another's was older than can be had; ours may not be
        finally:
            self._reading_past = False
            self.state.tell_moved()

    async def _read_past(self, revision: Revision) -> None:
        begun, base = self.begun, self.state.remembered
        past = await self._store.versions(
            revision, base.revision, most=self._options.names_remembered, timeout=self._options.timeout
        )
        if begun != self.begun or self.state.remembered != base:
            return  # decide again
        if past.start == NO_VERSION:
            raise WrongTimeline(revision, base.revision)
        if not self.state.lengthen(past.start, past.events):
            raise NoWay("the version key was deleted, or overwritten, since then")
        self.observer(PastRead(len(past.events)))

    def reset_of(self, scope: Scope, values: bool, at_least: Revision) -> _Reset:
        """From which revision a reset is told: one that others have been told lately, if it will do."""
        key, now = (scope, values), self.clock()
        found = self._resets.get(key)
        if found and found.token.revision >= at_least and now - found.complete_at < self._options.staleness_bound:
            return found
        self._resets = {
            each: reset
            for each, reset in self._resets.items()
            if now - reset.complete_at < self._options.staleness_bound
        }
        here, complete_at = self.state.here(), self.state.complete_at
        if here is None:  # another history has been found meanwhile
            raise Unavailable("the history begins anew")
        self._resets[key] = made = _Reset(here, now if complete_at is None else complete_at)
        return made

    def _is_at(self, revision: Revision) -> bool:
        here = self.state.here()
        return here is not None and here.revision >= revision

    def _see(self, event: VersionEvent | None) -> None:
        if event is None:
            self.begun += 1
            self._resets.clear()
            self.index.wake_all()
            return
        self._applied[event.state.revision] = self.clock()
        if len(self._applied) > APPLIED_REMEMBERED:
            self._applied.popitem(last=False)
        self.index.see(event.names, event.state.revision)


class Following:
    """One client's way through a scope. `token`: what it has been told of; None before a reset."""

    def __init__(self, feed: Feed, followers: Followers, token: Token | None, values: bool) -> None:
        self._feed = feed
        self._followers = followers
        self._values = values
        self._begun = -1  # in which beginning of the history the token was judged to be of it
        self._said_unproven = False
        self._hastened = False
        self._cause = "asked"  # of the reset that comes when there is no token
        self._waiter: asyncio.Future[None] | None = None  # while it waits
        self.token = token

    def hasten(self) -> None:
        """From now on `next` waits for nothing."""
        self._hastened = True
        if self._waiter is not None:
            wake(self._waiter)

    def begin_anew(self, cause: str) -> None:
        """Forget the token: the whole scope is told next, for this cause."""
        self.token, self._cause = None, cause

    @property
    def is_over(self) -> bool:
        """Whether nothing will be told any more, since the instance ends."""
        return self._feed.closed

    def unproven(self) -> Unproven:
        """Say that it can't be said whether anything has changed; when it can, that is said at once."""
        self._said_unproven = True
        return Unproven(self._feed.age())

    async def told(self, wait: float) -> Told:
        """As `next`, for who has no use for Unproven. Raises Unavailable when nothing can be proven after `wait`."""
        deadline = self._feed.clock() + wait
        while True:
            said = await self.next(deadline - self._feed.clock())
            if isinstance(said, Told):
                return said
            if self._hastened or self._feed.clock() >= deadline:
                await self._feed.prove()

    async def next(self, wait: float) -> Told | Unproven:
        """What has changed, as soon as there is something; after `wait` seconds, that there was nothing.

        Unproven: that can't be said. It comes as soon as the last proof is too old, once; and when a proof has come,
        that nothing has changed is said at once. Raises WrongTimeline: the token is of another history. Denied,
        TooLarge, Unavailable: ask again.
        """
        feed = self._feed
        deadline = feed.clock() + wait
        while not feed.closed:
            owed = self._owed()
            match owed:
                case Nothing():
                    if (said := self._silence(deadline)) is not None:
                        return said
                    await self._wait(deadline - feed.clock())
                case NotYet():
                    if not await feed.reach(self.token.revision if self.token else 1):
                        if (said := self._not_yet(deadline)) is not None:
                            return said
                        await feed.state.await_move(SLICE)
                case Older():
                    if (cause := await self._older()) is not None:
                        return await self._reset(cause)
                case Everything():
                    return await self._reset("everything")
                case Named():
                    if (told := await self._tell(owed)) is not None:
                        return told
                case OfAnother():
                    assert self.token is not None
                    raise WrongTimeline(self.token.revision, self.token.revision)
                case None:
                    if (said := await self._begin(deadline)) is not None:
                        return said
                case _:
                    assert_never(owed)
        raise Unavailable("this instance is shutting down")

    async def _wait(self, seconds: float) -> None:
        self._waiter = self._feed.index.waiter()
        try:
            await self._feed.index.wait(self._followers, self._waiter, seconds)
        finally:
            self._waiter = None

    def _owed(self) -> Owed | None:
        """None: a snapshot, or the rest of one."""
        token, feed = self.token, self._feed
        if token is None:
            return None if feed.state.here() is not None else NotYet()
        if self._begun == feed.begun and not token.place and self._followers.has_seen_nothing_since(token.revision):
            return Nothing()
        owed = feed.state.owed(token, self._followers.scope)
        if isinstance(owed, Nothing | Named | Everything):
            self._begun = feed.begun
            return None if token.place else owed
        return owed

    def _silence(self, deadline: float) -> Told | Unproven | None:
        """That nothing has changed, with a proof; that it can't be said; or None: wait."""
        feed, here = self._feed, self._feed.state.here()
        over = self._hastened or feed.clock() >= deadline
        if not feed.is_proven() or here is None:
            return self._not_yet(deadline)
        if not over and not self._said_unproven:
            return None
        since, self.token, self._said_unproven = self.token, here, False
        return Told(since, here, feed.age(), NOTHING_TOLD)

    def _not_yet(self, deadline: float) -> Unproven | None:
        if self._said_unproven and not self._hastened and self._feed.clock() < deadline:
            return None
        return self.unproven()

    async def _older(self) -> str | None:
        """Read the past from the token on; else why it can't be told."""
        assert self.token is not None
        try:
            await self._feed.read_past(self.token.revision)
        except Compacted:
            return "compacted"
        except TooLarge:
            return "too much"
        except NoWay:
            return "everything"
        return None

    async def _begin(self, deadline: float) -> Told | Unproven | None:
        """The first part of a snapshot, or the next one. None: decide again."""
        if self.token is not None:
            return await self._snapshot(self.token)
        if not self._feed.is_proven() and not self._said_unproven:
            with suppress(Unavailable):
                await self._feed.prove()
        if not self._feed.is_proven():
            if (said := self._not_yet(deadline)) is None:
                await self._feed.state.await_move(SLICE)
            return said
        return await self._reset(self._cause)

    async def _reset(self, cause: str, at_least: Revision = 0) -> Told:
        feed, scope = self._feed, self._followers.scope
        if cause == "everything":
            at_least = feed.state.everything_at  # by now
        for _ in range(TRIES):
            reset = feed.reset_of(scope, self._values, at_least)
            if reset.token.revision >= at_least:
                try:
                    told = await self._page(reset.token, reset.complete_at, cause)
                except Compacted:
                    at_least = reset.token.revision + 1
                else:
                    feed.observer(ScopeReset(cause))
                    return told
            await feed.prove()  # it lifts the horizon above what has been compacted
        raise Unavailable("what was to be told has been compacted, again and again")

    async def _snapshot(self, token: Token) -> Told:
        """The next part. What is left of it may have been compacted, however well its first part is remembered."""
        state = self._feed.state
        is_newest = isinstance(state.owed(token, self._followers.scope), Nothing)
        try:
            return await self._page(token, state.complete_at if is_newest else None, "")
        except Compacted:
            return await self._reset("compacted", at_least=token.revision + 1)

    async def _page(self, token: Token, complete_at: float | None, cause: str) -> Told:
        feed, since = self._feed, self.token
        page = await feed.values.page(self._followers.scope, token, self._values)
        self.token = to = Token(token.revision, token.mark, page.place)
        self._begun, self._said_unproven = -1, False
        age = feed.age_of(complete_at)
        return Told(None if cause else since, to, age, page.telling, reset=cause, more=bool(page.place))

    async def _tell(self, owed: Named) -> Told | None:
        """None: decide again."""
        feed, since, scope = self._feed, self.token, self._followers.scope
        assert since is not None
        # As of now: 1. what is owed is decided; 2. while its values are read, somebody writes, and a proof shows that;
        # 3. the state at `to` was not the newest at that proof.
        most, wanted, complete_at = MOST_NAMES, owed, feed.state.complete_at
        while True:
            try:
                telling = await feed.values.telling(scope, wanted, self._values, whole=most == 1)
                break
            except Compacted:
                return await self._reset("compacted")
            except TooLarge:
                most = max(1, len(wanted.names) // 2)
                fewer = feed.state.owed(since, scope, most)
                if not isinstance(fewer, Named):
                    return None
                wanted, complete_at = fewer, feed.state.complete_at
        self.token, self._said_unproven = wanted.to, False
        feed.observer(ChangesTold(len(telling.changes), feed.applied_ago(wanted.first)))
        return Told(since, wanted.to, feed.age_of(complete_at), telling, more=wanted.more)
