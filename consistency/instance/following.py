"""One client's way through what it follows (rule 18): from the events in memory, from a past that is read, or a reset.

Owns the token: what its client has been told of. Decides nothing itself: `core.feed` decides, this acts. Nothing is
kept for a client that doesn't ask: it has its token, and is told from there when it comes back.
"""

from __future__ import annotations

from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Self, assert_never

from consistency.core.events import ChangesTold, ScopeReset
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
from consistency.core.model import Revision, WrongTimeline
from consistency.core.store import Compacted, TooLarge, Unavailable
from consistency.instance.crowd import Waiter, wake
from consistency.instance.shared_past import NoWay

if TYPE_CHECKING:  # it makes what is here
    from consistency.instance.feed import Feed

SLICE = 0.25
"""Seconds between looks for what nobody tells of: whether a token that was ahead is not any more."""

TRIES = 3
"""Resets begun anew because their revision had been compacted meanwhile."""


class Following:
    """One client's way through a scope, inside of its context. `token`: what it has been told of; None before a reset.

    There are thousands, and most of them wait: each attribute counts.
    """

    __slots__ = (
        "_begun",
        "_cause",
        "_feed",
        "_followers",
        "_hastened",
        "_said_unproven",
        "_scope",
        "_tells_doubt",
        "_values",
        "_waiter",
        "token",
    )

    def __init__(self, feed: Feed, scope: Scope, token: Token | None, values: bool) -> None:
        self._feed = feed
        self._scope = scope
        self._values = values
        self._begun = -1  # in which beginning of the history the token was judged to be of it
        self._said_unproven = False
        self._tells_doubt = True
        self._hastened = False
        self._cause = "asked"  # of the reset that comes when there is no token
        self._waiter: Waiter | None = None  # by which it waits, or has waited last
        self.token = token

    def __enter__(self) -> Self:
        self._followers = self._feed.join(self._scope)
        self._scope = self._followers.scope  # one object for all who follow the same
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._feed.index.leave(self._followers)

    def hasten(self) -> None:
        """Let `next` wait for nothing from now on."""
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
        self._tells_doubt = False
        while True:
            said = await self.next(deadline - self._feed.clock())
            if isinstance(said, Told):
                self._tells_doubt = True
                return said
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
                    self._waiter = feed.index.waiter(self._followers, deadline - feed.clock())
                    try:
                        await self._waiter
                    finally:
                        feed.index.left(self._followers, self._waiter)
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

    def _owed(self) -> Owed | None:
        """None: a snapshot, or the rest of one."""
        token, feed = self.token, self._feed
        if token is None:
            return None if feed.state.here() is not None else NotYet()
        if (
            self._begun == feed.past.begun
            and not token.place
            and self._followers.has_seen_nothing_since(token.revision)
        ):
            return Nothing()
        owed = feed.state.owed(token, self._scope)
        if isinstance(owed, Nothing | Named | Everything):
            self._begun = feed.past.begun
            return None if token.place else owed
        return owed

    def _silence(self, deadline: float) -> Told | Unproven | None:
        """That nothing has changed, with a proof; that it can't be said; or None: wait."""
        feed, here = self._feed, self._feed.state.here()
        over = self._hastened or feed.clock() >= deadline
        if not feed.is_proven() or here is None:
            return self._not_yet(deadline)
        if not over and not (self._said_unproven and self._tells_doubt):
            return None
        since, self.token, self._said_unproven = self.token, here, False
        return Told(since, here, feed.age(), NOTHING_TOLD)

    def _not_yet(self, deadline: float) -> Unproven | None:
        silent = self._said_unproven or not self._tells_doubt
        if silent and not self._hastened and self._feed.clock() < deadline:
            return None
        return self.unproven()

    async def _older(self) -> str | None:
        """Read the past from the token on; else why it can't be told."""
        assert self.token is not None
        try:
            await self._feed.past.read(self.token.revision)
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
        feed, scope = self._feed, self._scope
        if cause == "everything":
            at_least = feed.state.everything_at  # by now
        if self.token is not None:  # others may have begun a little earlier: nobody goes back from what it was told
            at_least = max(at_least, self.token.revision + bool(self.token.place))  # the rest of that one is gone
        for _ in range(TRIES):
            reset = feed.past.reset_of(scope, self._values, at_least)
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
        is_newest = isinstance(state.owed(token, self._scope), Nothing)
        try:
            return await self._page(token, state.complete_at if is_newest else None, "")
        except Compacted:
            return await self._reset("compacted")

    async def _page(self, token: Token, complete_at: float | None, cause: str) -> Told:
        feed, since = self._feed, self.token
        page = await feed.values.page(self._scope, token, self._values)
        self.token = to = Token(token.revision, token.mark, page.place)
        self._begun, self._said_unproven = -1, False
        age = feed.age_of(complete_at)
        return Told(None if cause else since, to, age, page.telling, reset=cause, more=bool(page.place))

    async def _tell(self, owed: Named) -> Told | None:
        """None: decide again."""
        feed, since, scope = self._feed, self.token, self._scope
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
