"""A renewed certificate whose server can't take over, and an earlier server that can't be seen off in order."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from consistency.core.events import Event, WorkerFailed
from service.http.accepting import Accepting
from service.http.front import Front
from service.http.relayed import RelayedServer
from service.http.server import Server
from service.process import handover
from service.process.listener import reserve
from service.tls.relay import Relay
from service.tls.renewal import NotRenewed
from service.tls.shown import Material
from tests.support.certificates import Authority
from tests.support.driver import loop, run, until

AUTHORITY = Authority()


def material() -> Material:
    """A certificate of its own each time."""
    pair = AUTHORITY.issue("localhost", "127.0.0.1")
    return Material(pair.cert, pair.key, AUTHORITY.pem, AUTHORITY.pem, 1e12, ("localhost",))


class Nobody(Front):
    """Answers no request."""

    def __init__(self) -> None:
        self.under_way = 0


class Served:
    """One server, and what its observer was told."""

    def __init__(self, kind: type[Server], held: socket.socket) -> None:
        self.told: list[Event] = []
        self.address = held.getsockname()[:2]
        self.server = kind(Nobody(), held, connections=16, observer=self.told.append, material=material())
        run(self.server.start())

    def renew(self) -> None:
        run(self.server.renew(material()))

    def accepting(self) -> int:
        """How many Granians there are."""
        return sum(task.get_name() == "http-server" for task in asyncio.all_tasks(loop()))


@pytest.fixture(params=[Server, RelayedServer])
def served(request: pytest.FixtureRequest) -> Iterator[Served]:
    with closing(reserve("127.0.0.1", 0)) as held:
        served = Served(request.param, held)
        yield served
        assert run(served.server.stop(5.0))


def failing(*_: object, **__: object) -> Any:
    raise OSError(errno.EMFILE, "too many open files")


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients get no time to leave by themselves."""
    for module in ("service.http.server", "service.http.relayed"):
        monkeypatch.setattr(f"{module}.SEEN_OFF_AFTER", 0.0)


@pytest.mark.parametrize("at", ["listening_at", "take_over"])
@pytest.mark.parametrize("served", [Server], indirect=True)
def test_a_server_that_can_not_take_over_is_given_up(served: Served, monkeypatch: pytest.MonkeyPatch, at: str) -> None:
    """1. The new one listens. 2. The process has no file left, so the kernel is told nothing. It must not listen on."""
    with monkeypatch.context() as patched:
        patched.setattr(handover, at, failing)
        for _ in range(4):
            with pytest.raises(NotRenewed, match="too many open files"):
                served.renew()
    assert until(lambda: served.accepting() == 1)
    assert len(handover.listening_at(served.address)) == 1
    served.renew()


@pytest.mark.parametrize("served", [RelayedServer], indirect=True)
def test_a_server_to_which_the_relay_does_not_switch_is_given_up(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(Relay, "switch", failing)
        with pytest.raises(NotRenewed, match="too many open files"):
            served.renew()
    assert until(lambda: served.accepting() == 1)
    served.renew()


@pytest.mark.usefixtures("hurried")
def test_an_earlier_server_ends_though_it_can_not_be_seen_off_in_order(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That is told, and there is room for further renewals: no more than three servers may be earlier ones."""
    monkeypatch.setattr(Accepting, "close_connections", failing)
    for number in range(1, 6):
        served.renew()
        assert until(lambda: served.accepting() == 1)
        assert [each for each in served.told if isinstance(each, WorkerFailed)] == [
            WorkerFailed("see-off", "OSError: [Errno 24] too many open files")
        ] * number
