"""A crowd is woken a few at a time, whatever its clients wait for: the loop is everybody's.

Woken clients are counted, by the turn of the loop in which they go on; nothing is timed.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator

import pytest

from consistency.core.feed import Scope, Told
from consistency.instance.crowd import AT_ONCE, PAUSE, Crowd, Waiter
from tests.instance.hand import Hand, write
from tests.support.driver import loop, settle, until
from tests.support.fake_store import FakeStore
from tests.support.gates import At
from tests.support.virtual import virtually

MANY = 3 * AT_ONCE

ALL_WAIT = 0.5
"""Seconds in which they all come to wait: 5 ms, where nobody else uses the machine."""


def waiters(count: int) -> list[Waiter]:
    return [asyncio.get_running_loop().create_future() for _ in range(count)]


class Woken:
    """When each went on, in seconds of the loop."""

    def __init__(self, *crowd: Waiter) -> None:
        self.at: list[float] = []
        self.tasks = [asyncio.ensure_future(self._go_on(each)) for each in crowd]

    async def _go_on(self, waiter: Waiter) -> None:
        await waiter
        self.at.append(asyncio.get_running_loop().time())

    @property
    def slices(self) -> list[int]:
        return list(Counter(self.at).values())


@pytest.mark.parametrize("each_alone", [False, True], ids=["one crowd", "a crowd each"])
def test_a_crowd_is_woken_in_slices_with_a_pause_between(each_alone: bool) -> None:
    """Virtual time passes when nothing is ready: so each slice but the last is followed by a real pause."""

    async def wake() -> None:
        crowd, those = Crowd(), waiters(MANY + 1)
        woken = Woken(*those)
        for some in [[one] for one in those] if each_alone else [those]:
            crowd.wake(some)
        await asyncio.gather(*woken.tasks)
        assert woken.slices == [AT_ONCE, AT_ONCE, AT_ONCE, 1]
        assert max(woken.at) == pytest.approx(3 * PAUSE)

    virtually(wake())


def test_the_pause_begins_when_those_who_were_woken_have_gone_on() -> None:
    """Else it is over before they have, and the next slice follows at once. The loop calls in the order of asking."""
    order: list[str] = []

    class Noted(Crowd):
        def _end(self, loop: asyncio.AbstractEventLoop) -> None:  # noqa: ARG002
            order.append("pause")

    async def go_on(waiter: Waiter) -> None:
        await waiter
        order.append("goes on")

    async def wake() -> None:
        crowd, those = Noted(), waiters(AT_ONCE + 1)
        tasks = [asyncio.ensure_future(go_on(each)) for each in those]
        await asyncio.sleep(0)
        crowd.wake(those)
        for _ in range(5):
            await asyncio.sleep(0)
        for task in tasks:
            task.cancel()

    asyncio.run(wake())
    assert order == ["goes on"] * AT_ONCE + ["pause"]


def test_who_has_gone_takes_nobodys_turn() -> None:
    async def wake() -> None:
        crowd, those = Crowd(), waiters(2 * AT_ONCE)
        for gone in those[::2]:
            gone.cancel()
        woken = Woken(*those[1::2])
        crowd.wake(those)
        await asyncio.gather(*woken.tasks)
        assert woken.slices == [AT_ONCE]

    virtually(wake())


def test_who_has_an_answer_goes_on_before_those_who_would_wait_for_it() -> None:
    async def wake() -> None:
        crowd, before, after = Crowd(), waiters(MANY), waiters(2)
        first, last = Woken(*after), Woken(*before)
        crowd.wake(before)
        crowd.wake(after, first=True)
        await asyncio.gather(*first.tasks, *last.tasks)
        assert max(first.at) == pytest.approx(PAUSE)
        assert max(last.at) == pytest.approx(3 * PAUSE)

    virtually(wake())


class Turns:
    """In which turn of the loop each of many goes on."""

    def __init__(self, *work: Coroutine[None, None, object]) -> None:
        self.ended: list[int] = []
        self._turn = 0
        self.tasks = [loop().create_task(self._do(each)) for each in work]
        self._ticking = loop().create_task(self._tick())
        settle()

    async def _tick(self) -> None:
        while True:
            self._turn += 1
            await asyncio.sleep(0)

    async def _do(self, work: Coroutine[None, None, object]) -> None:
        await work
        self.ended.append(self._turn)

    def most(self) -> int:
        """How many went on in one turn, when all have."""
        assert until(lambda: len(self.ended) == len(self.tasks))
        self._ticking.cancel()
        settle()
        return max(Counter(self.ended).values())


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@pytest.fixture
def hand(store: FakeStore) -> Iterator[Hand]:
    hand = Hand(store)
    yield hand
    settle()


def one_scope(_: int) -> Scope:
    return Scope(prefixes=frozenset({"team/"}))


def a_scope_each(number: int) -> Scope:
    return Scope(frozenset({f"{number}"}), frozenset({"team/"}))


def following(hand: Hand, scope_of: Callable[[int], Scope]) -> Turns:
    here = hand.state.here()
    return Turns(*(_told(hand, scope_of(number), here) for number in range(MANY)))


async def _told(hand: Hand, scope: Scope, here: object) -> None:
    told = await hand.feed.changes(scope, here, wait=30.0, values=True)  # type: ignore[arg-type]
    assert isinstance(told, Told)
    assert [change.key for change in told.changes] == ["team/a"]


@pytest.mark.parametrize("scope_of", [one_scope, a_scope_each])
def test_few_are_told_in_one_turn_of_the_loop(store: FakeStore, hand: Hand, scope_of: Callable[[int], Scope]) -> None:
    """Of one change, whether all follow the same scope or each its own."""
    turns = following(hand, scope_of)
    write(store, "team/a", b"1")
    hand.deliver()
    assert turns.most() <= AT_ONCE


def test_few_go_on_in_one_turn_of_the_loop_when_what_all_wait_for_has_been_read(store: FakeStore, hand: Hand) -> None:
    """1. The value is read from etcd. 2. Meanwhile, slice by slice, all wait for it. 3. It is there."""
    turns = following(hand, one_scope)
    gate = store.hold("values", At.ANSWER)
    write(store, "team/a", b"1")
    hand.deliver()
    gate.wait_until_held()
    until(lambda: False, ALL_WAIT)
    assert not turns.ended
    gate.release()
    assert turns.most() <= AT_ONCE
    assert store.calls["values"] == 1


def test_few_go_on_in_one_turn_of_the_loop_when_the_past_that_all_wait_for_has_been_read() -> None:
    """As after a restart, when many come with tokens from before it."""
    store = FakeStore()
    earlier = Hand(store)
    token = earlier.state.here()
    write(store, "team/a", b"1")
    earlier.deliver()
    later = Hand(store, slot=None)
    gate = store.hold("versions", At.ANSWER)
    later.prove()
    concerned_by_nothing = Scope(frozenset({"other"}))
    turns = Turns(*(later.feed.changes(concerned_by_nothing, token, wait=0.0, values=True) for _ in range(MANY)))
    gate.wait_until_held()
    gate.release()
    assert turns.most() <= AT_ONCE
    assert store.calls["versions"] == 1


def test_all_are_woken_in_slices_when_the_instance_ends(hand: Hand) -> None:
    async def over(work: Coroutine[None, None, object]) -> None:
        with pytest.raises(Exception, match="shutting down"):
            await work

    here = hand.state.here()
    turns = Turns(*(over(hand.feed.changes(one_scope(0), here, wait=30.0, values=True)) for _ in range(MANY)))
    hand.feed.close()
    assert turns.most() <= AT_ONCE
