"""One Authenticate for all who wait: the race of `token`, driven step by step."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic

import pytest

from consistency.core.store import BadCredentials, Unavailable
from consistency.etcd.token import HOLD_OFF, Tokens
from consistency.tasks import Errands
from tests.support.driver import Meanwhile, run

TIMEOUT = 5.0


class Desk:
    """Gives out tokens "1", "2", …; holds each request until `open`."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.count = 0

    async def fetch(self) -> str:
        self.count += 1
        await self.open.wait()
        return str(self.count)


def tokens_of(clock: Callable[[], float] = monotonic) -> Tokens:
    """Nobody's yet."""
    return Tokens(Errands(lambda _: None), clock)


async def nothing() -> str:
    """What etcd without authentication wants."""
    return ""


@pytest.fixture
def desk() -> Desk:
    """A desk that holds nobody."""
    desk = Desk()
    desk.open.set()
    return desk


def test_a_token_is_fetched_once_and_kept(desk: Desk) -> None:
    """Lazily, at the first call."""
    tokens = tokens_of()
    assert [run(tokens.other_than(None, "a", desk.fetch, TIMEOUT)) for _ in range(3)] == ["1", "1", "1"]


def test_all_who_come_during_a_flight_get_what_it_brings() -> None:
    """Step 2 of the race: A flies, B waits for it."""
    tokens, desk = tokens_of(), Desk()
    callers = [Meanwhile(tokens.other_than(None, "a", desk.fetch, TIMEOUT)) for _ in range(8)]
    desk.open.set()
    assert {caller.result() for caller in callers} == {"1"}
    assert desk.count == 1


def test_who_began_a_flight_and_goes_away_takes_nothing_from_the_others() -> None:
    tokens, desk = tokens_of(), Desk()
    gone, stays = (Meanwhile(tokens.other_than(None, "a", desk.fetch, TIMEOUT)) for _ in range(2))
    gone.cancel()
    desk.open.set()
    assert stays.result() == "1"
    assert desk.count == 1


def test_who_comes_late_with_the_same_stale_token_gets_the_new_one(desk: Desk) -> None:
    """Step 3 of the race: B was refused together with A, and asks after A's flight has landed."""
    tokens = tokens_of()
    stale = run(tokens.other_than(None, "a", desk.fetch, TIMEOUT))
    assert run(tokens.other_than(stale, "a", desk.fetch, TIMEOUT)) == "2"
    assert run(tokens.other_than(stale, "a", desk.fetch, TIMEOUT)) == "2"
    assert desk.count == 2


def test_waiting_for_the_flight_of_another_ends_at_the_deadline() -> None:
    """Every wait has a deadline."""
    tokens, desk = tokens_of(), Desk()
    flies = Meanwhile(tokens.other_than(None, "a", desk.fetch, TIMEOUT))
    with pytest.raises(TimeoutError):
        run(tokens.other_than(None, "a", desk.fetch, 0.01))
    desk.open.set()
    assert flies.result() == "1"


def test_a_refusal_stands_for_a_second_and_then_is_tried_again() -> None:
    """A fleet with a changed password must not drown etcd in bcrypt."""
    now = [100.0]
    tokens, tries = tokens_of(lambda: now[0]), []

    async def refuse() -> str:
        tries.append(now[0])
        raise BadCredentials("wrong password")

    for moment in (100.0, 100.5, 100.0 + HOLD_OFF - 0.01, 100.0 + HOLD_OFF):
        now[0] = moment
        with pytest.raises(BadCredentials):
            run(tokens.other_than(None, "a", refuse, TIMEOUT))
    assert tries == [100.0, 100.0 + HOLD_OFF]


def test_an_empty_token_is_a_token(desk: Desk) -> None:
    """etcd without authentication wants none; that need not be asked with every call."""
    tokens = tokens_of()
    assert run(tokens.other_than(None, "a", nothing, TIMEOUT)) == ""
    assert run(tokens.other_than(None, "a", desk.fetch, TIMEOUT)) == ""
    assert run(tokens.other_than("", "a", desk.fetch, TIMEOUT)) == "1"


def test_what_one_endpoint_made_of_it_says_nothing_of_another(desk: Desk) -> None:
    """A server that is no etcd refuses, or hangs; the next endpoint is asked at once, and its token goes anywhere."""
    tokens = tokens_of(lambda: 100.0)

    async def refuse() -> str:
        raise Unavailable("no etcd")

    with pytest.raises(Unavailable):
        run(tokens.other_than(None, "a", refuse, TIMEOUT))
    assert run(tokens.other_than(None, "b", desk.fetch, TIMEOUT)) == "1"
    assert run(tokens.other_than(None, "a", refuse, TIMEOUT)) == "1"


def test_an_endpoint_that_hangs_holds_up_nobody_at_another(desk: Desk) -> None:
    """A flight of its own for each."""
    tokens, hanging = tokens_of(), Desk()
    waits = Meanwhile(tokens.other_than(None, "a", hanging.fetch, TIMEOUT))
    assert run(tokens.other_than(None, "b", desk.fetch, 0.01)) == "1"
    hanging.open.set()
    assert waits.result() == "1"
