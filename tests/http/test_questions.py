"""How often the fleet is asked: the questions under way, the last answers, and who is refused."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from dataclasses import dataclass, field

import pytest

from consistency.core.events import Event
from consistency.core.store import Unavailable
from consistency.tasks import Errands
from service.fleet.questions import AT_ONCE, LAST_FOR, MOMENT, SHARED_FOR, Latest, Places
from service.http.problems import Refused
from tests.support.driver import Meanwhile, run, settle

PLAIN, RECENT = "/plain", "/recent"


@dataclass
class Fleet:
    """A fleet that answers when the test says so, and a clock that goes as the test says."""

    askers: int = 8
    now: float = 100.0
    put: list[tuple[str, str]] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    answers: list[asyncio.Future[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.errands = Errands(self.events.append)
        self.latest = Latest(self._ask, self.errands, self.askers, lambda: self.now)

    async def _ask(self, target: str, authorization: str) -> bytes:
        self.put.append((target, authorization))
        self.answers.append(asyncio.get_running_loop().create_future())
        return await self.answers[-1]

    def look(self, target: str = PLAIN, authorization: str = "") -> Meanwhile[tuple[bytes, float]]:
        """Somebody asks."""
        return Meanwhile(self.latest.get(target, authorization))

    def answer(self, text: bytes) -> None:
        """The question that was put last."""
        self.answers[-1].set_result(text)
        settle()


@pytest.fixture
def fleet() -> Fleet:
    return Fleet()


def test_one_question_answers_all_who_come_while_it_is_under_way(fleet: Fleet) -> None:
    looks = [fleet.look(authorization=name) for name in ("a", "b", "c")]
    assert fleet.put == [(PLAIN, "a")]
    fleet.now += 1.0
    fleet.answer(b"1")
    assert [look.result() for look in looks] == [(b"1", 1.0)] * 3
    fleet.now += SHARED_FOR
    assert run(fleet.latest.get(PLAIN, "")) == (b"1", 1.0 + SHARED_FOR)
    assert len(fleet.put) == 1
    fleet.now += 0.01
    assert fleet.look().running
    assert len(fleet.put) == 2
    fleet.answer(b"2")


def test_a_question_goes_on_when_who_put_it_goes_away(fleet: Fleet) -> None:
    first, second = fleet.look(), fleet.look()
    first.cancel()
    assert second.running
    fleet.answer(b"1")
    assert second.result() == (b"1", 0.0)
    assert len(fleet.put) == 1


def test_who_waits_longer_than_a_moment_gets_the_last_answer(fleet: Fleet) -> None:
    fleet.look()
    fleet.answer(b"1")
    fleet.now += LAST_FOR
    look = fleet.look()
    assert look.result() == (b"1", LAST_FOR)
    fleet.now += 0.01
    late = fleet.look()  # what there is has become too old: it waits
    run(asyncio.sleep(2 * MOMENT))
    assert late.running
    assert len(fleet.put) == 2
    fleet.answer(b"2")
    assert late.result()[0] == b"2"


def test_another_question_waits_for_its_turn(fleet: Fleet) -> None:
    """And who wanted the first one meanwhile has its answer."""
    plain, recent = fleet.look(PLAIN), fleet.look(RECENT)
    assert fleet.put == [(PLAIN, "")]
    fleet.answer(b"plain")
    assert plain.result()[0] == b"plain"
    assert recent.running
    assert fleet.put == [(PLAIN, ""), (RECENT, "")]
    fleet.answer(b"recent")
    assert recent.result()[0] == b"recent"


def test_a_question_that_fails_fails_for_all_who_wait_and_is_put_again_for_the_next(fleet: Fleet) -> None:
    looks = [fleet.look(), fleet.look()]
    fleet.answers[-1].set_exception(LookupError("a fault"))
    for look in looks:
        with pytest.raises(LookupError, match="a fault"):
            look.result()
    assert len(fleet.events) == 1
    again = fleet.look()
    fleet.answer(b"1")
    assert again.result()[0] == b"1"


def test_who_waits_when_all_is_closed_is_told(fleet: Fleet) -> None:
    look = fleet.look()
    assert run(fleet.errands.stop(0.0))
    with pytest.raises(Unavailable, match="shutting down"):
        look.result()


def test_no_more_wait_than_may() -> None:
    """Where there is a last answer, who is too many gets that."""
    fleet = Fleet(askers=2)
    looks = [fleet.look(), fleet.look()]
    with pytest.raises(Refused, match="2 others wait"):
        run(fleet.latest.get(PLAIN, ""))
    looks[1].cancel()
    looks[1] = fleet.look()
    assert looks[1].running
    fleet.answer(b"1")
    assert [look.result()[0] for look in looks] == [b"1"] * 2
    fleet.now += 2 * SHARED_FOR
    looks = [fleet.look(), fleet.look()]
    assert run(fleet.latest.get(PLAIN, "")) == (b"1", 2 * SHARED_FOR)
    fleet.answer(b"2")
    assert looks[1].result()[0] == b"2"


def test_places_are_few_and_those_of_one_token_fewer() -> None:
    places = Places()
    with ExitStack() as taken:
        for token in ("a", "a", "b"):
            taken.enter_context(places.taken(token))
        with pytest.raises(Refused, match="token a"), places.taken("a"):
            pass
        taken.enter_context(places.taken("c"))
        with pytest.raises(Refused, match="4 others"), places.taken("d"):
            pass
    with ExitStack() as taken:
        for _ in range(AT_ONCE):  # nobody's: no token has a share
            taken.enter_context(places.taken(None))
        with pytest.raises(Refused, match="4 others"), places.taken(None):
            pass
