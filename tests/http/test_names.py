"""The race between who looks names up and a name server that says nothing, as `service.fleet.names` tells it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from consistency.core.events import ignore
from consistency.tasks import Errands
from service.fleet import names
from service.fleet.names import FRESH_FOR, LOOKUPS, SILENT_FROM, Names, UnknownName, ask_the_resolver
from tests.support.driver import Meanwhile, run, settle

HERE = ("10.0.0.1", "10.0.0.2")


@dataclass
class Resolver:
    """One that answers when the test says so."""

    now: float = 100.0
    asked: list[str] = field(default_factory=list)
    answers: dict[str, asyncio.Future[tuple[str, ...]]] = field(default_factory=dict)
    wants: list[Meanwhile[tuple[str, ...]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.errands = Errands(ignore)
        self.names = Names(self.errands, self._look_up, lambda: self.now)

    async def _look_up(self, name: str) -> tuple[str, ...]:
        self.asked.append(name)
        self.answers[name] = asyncio.get_running_loop().create_future()
        return await self.answers[name]

    def want(self, name: str) -> Meanwhile[tuple[str, ...]]:
        self.wants.append(Meanwhile(self.names.addresses(name)))
        return self.wants[-1]

    def answer(self, name: str, *found: str, after: float = 0.0) -> None:
        self.now += after
        self.answers[name].set_result(found)
        settle()

    def fail(self, name: str, after: float = 0.0) -> None:
        """As the system's resolver does that has waited long enough."""
        self.now += after
        self.answers[name].set_exception(socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"))
        settle()


@pytest.fixture
def resolver() -> Iterator[Resolver]:
    made = Resolver()
    yield made
    for want in made.wants:
        want.end()
    run(made.errands.stop(0.0))


def test_a_lookup_is_joined_and_goes_on_without_who_began_it(resolver: Resolver) -> None:
    first, second = resolver.want("gone"), resolver.want("gone")
    first.cancel()
    third = resolver.want("gone")
    assert resolver.asked == ["gone"]
    resolver.answer("gone", *HERE)
    assert second.result() == third.result() == HERE


def test_a_lookup_that_nobody_waits_for_any_more_keeps_its_place(resolver: Resolver) -> None:
    """The thread is still in the resolver: as many as there are places, whatever happens."""
    for number in range(20):
        resolver.want(f"gone-{number}").cancel()
    assert len(resolver.asked) == LOOKUPS
    resolver.fail("gone-0", after=10)
    assert len(resolver.asked) == LOOKUPS + 1


def test_names_that_were_silent_leave_a_place_to_the_others(resolver: Resolver) -> None:
    gone = ("gone-0", "gone-1", "gone-2")
    for name in gone:
        resolver.want(name).cancel()
    for name in gone:
        resolver.fail(name, after=SILENT_FROM)
    for name in gone:
        resolver.want(name)
    here = resolver.want("here")
    assert resolver.asked[len(gone) :] == ["gone-0", "here"]
    resolver.answer("here", *HERE)
    assert here.result() == HERE
    resolver.answer("gone-0", *HERE)  # at once: it is one of the others now
    assert resolver.asked[-1] == "gone-1"


def test_what_was_found_is_used_while_its_name_server_is_silent(resolver: Resolver) -> None:
    first = resolver.want("here")
    resolver.answer("here", *HERE)
    assert first.result() == HERE
    resolver.now += FRESH_FOR
    assert run(resolver.names.addresses("here")) == HERE
    assert len(resolver.asked) == 1
    resolver.now += 0.01
    again = resolver.want("here")
    assert len(resolver.asked) == 2
    assert again.result() == HERE
    resolver.fail("here", after=10)
    last = resolver.want("here")
    resolver.answer("here", "10.0.0.3")
    assert last.result() == ("10.0.0.3",)


def test_where_nobody_was_reached_the_name_is_looked_up_again(resolver: Resolver) -> None:
    resolver.want("here")
    resolver.answer("here", *HERE)
    resolver.names.doubt("here")
    again = resolver.want("here")
    resolver.answer("here")
    with pytest.raises(UnknownName):
        again.result()


def test_only_so_many_names_are_remembered(resolver: Resolver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "MOST", 3)
    for name in ("a", "b", "c", "d"):
        resolver.want(name)
        if name in resolver.answers:
            resolver.answer(name, *HERE)
    assert resolver.asked == ["a", "b", "c", "d"]
    resolver.want("a")
    assert resolver.asked[-1] == "a"  # forgotten, as the oldest
    for name in ("e", "f", "g", "h"):
        settle()
        Meanwhile(resolver.names.addresses(name)).cancel()
    with pytest.raises(UnknownName, match="3 other names"):
        run(resolver.names.addresses("i"))


def test_an_address_is_its_own_address(resolver: Resolver) -> None:
    for host in ("127.0.0.1", "::1"):
        assert run(resolver.names.addresses(host)) == (host,)
    assert resolver.asked == []


def test_the_system_is_asked() -> None:
    """`/etc/hosts` counts; what is no name at all is no name."""
    assert "127.0.0.1" in run(ask_the_resolver("localhost"))
    assert run(ask_the_resolver("a" * 64 + ".test")) == ()
