"""The proxies do to a connection what they say, and to no other: else a torture run would torture nobody."""

from __future__ import annotations

import contextlib
import select
import socket
import time
from collections.abc import Iterator
from typing import Self

import pytest

from consistency.core.model import VersionEvent, VersionRecord, new_nonce
from consistency.core.store import Put
from consistency.etcd.store import EtcdConfig, EtcdStore
from tests.support.driver import Meanwhile, run
from tests.support.etcd import EtcdServer, wait_for
from torture.proxy import Link, Network, Purpose, Way

SOON = 0.15
"""Seconds in which nothing comes that is held."""


class Pair:
    """A client behind a link, and the connection that etcd's side has of it."""

    def __init__(self, link: Link, listener: socket.socket) -> None:
        self.client = socket.create_connection(("127.0.0.1", link.ports[0]), timeout=5)
        self.server = listener.accept()[0]
        self.server.settimeout(5)
        self.client.sendall(b"hello")
        assert self.server.recv(10) == b"hello"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.client.close()
        self.server.close()


@pytest.fixture
def network() -> Iterator[Network]:
    with Network() as network:
        yield network


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(5)
        yield listener


@pytest.fixture
def link(network: Network, listener: socket.socket) -> Link:
    return network.link([listener.getsockname()[1]])


@pytest.fixture
def pair(link: Link, listener: socket.socket) -> Iterator[Pair]:
    with Pair(link, listener) as pair:
        yield pair


def silent(end: socket.socket) -> bool:
    """Whether nothing comes, not even an end."""
    return not select.select([end], [], [], SOON)[0]


def ended(end: socket.socket) -> bool:
    """Whether the connection ends, in order or not."""
    try:
        return end.recv(10) == b""
    except ConnectionResetError:
        return True


def test_bytes_pass_both_ways(pair: Pair) -> None:
    pair.client.sendall(b"request")
    assert pair.server.recv(10) == b"request"
    pair.server.sendall(b"answer")
    assert pair.client.recv(10) == b"answer"


def test_what_is_held_arrives_afterwards_and_the_other_way_is_open(link: Link, pair: Pair) -> None:
    link.hold(Way.REQUESTS)
    pair.client.sendall(b"late")
    pair.server.sendall(b"answer")
    assert pair.client.recv(10) == b"answer"
    assert silent(pair.server)
    link.heal()
    assert pair.server.recv(10) == b"late"
    assert link.kept_back == len("late")


def test_a_request_that_was_held_arrives_though_its_sender_has_gone(link: Link, pair: Pair) -> None:
    link.hold(Way.REQUESTS, Way.ANSWERS)
    pair.client.sendall(b"late")
    pair.client.close()
    assert silent(pair.server)
    link.heal()
    assert pair.server.recv(10) == b"late"
    assert ended(pair.server)


def test_what_is_lost_ends_the_connection_at_the_next_byte_that_gets_through(link: Link, pair: Pair) -> None:
    link.lose(Way.ANSWERS)
    pair.server.sendall(b"lost")
    assert silent(pair.client)
    link.heal()
    pair.server.sendall(b"next")
    assert ended(pair.client)


def test_a_reset_ends_both_sides_and_the_next_connection_is_fine(
    link: Link, pair: Pair, listener: socket.socket
) -> None:
    link.reset()
    assert ended(pair.client)
    assert ended(pair.server)
    with Pair(link, listener):
        pass


def test_a_link_that_refuses_ends_old_and_new_connections(link: Link, pair: Pair, listener: socket.socket) -> None:
    link.refuse()
    assert ended(pair.client)
    with contextlib.suppress(ConnectionResetError), socket.create_connection(("127.0.0.1", link.ports[0]), 5) as new:
        assert ended(new)
    link.heal()
    with Pair(link, listener):
        pass


@pytest.mark.parametrize("kept", list(Way))
def test_of_a_half_open_connection_one_side_is_not_told(link: Link, pair: Pair, kept: Way) -> None:
    link.half_open(kept)
    stays, goes = (pair.client, pair.server) if kept is Way.REQUESTS else (pair.server, pair.client)
    assert ended(goes)
    stays.sendall(b"anybody there?")
    assert silent(stays)


def test_a_delay_delays(link: Link, pair: Pair) -> None:
    link.delay(SOON)
    sent = time.monotonic()
    pair.client.sendall(b"slow")
    assert pair.server.recv(10) == b"slow"
    assert time.monotonic() >= sent + SOON


def test_the_watch_can_be_held_alone(network: Network, etcd: EtcdServer, prefix: str) -> None:
    """Reads and writes go on, and the event comes when the stream is healed: it was the right connection."""
    link = network.link([etcd.client_port])
    store = EtcdStore(EtcdConfig((f"http://127.0.0.1:{link.ports[0]}",), prefix))
    try:
        start = run(store.survey(None, timeout=5)).header.revision + 1
        stream = run(store.watch(start, start, timeout=5))
        reading = Meanwhile(anext(stream))
        assert sorted(link.purposes()) == [Purpose.DATA, Purpose.STREAMS]
        link.hold(Way.REQUESTS, Way.ANSWERS, purpose=Purpose.STREAMS)
        record = VersionRecord(new_nonce(), frozenset("k"), "put")
        written = run(store.commit([Put("k", b"1")], record, timeout=5)).header.revision
        assert run(store.read([], None, timeout=5)).version.revision == written
        wait_for(lambda: link.kept_back > 0, 5.0, "the event is held")
        assert reading.running
        link.heal()
        event = reading.result()
        assert isinstance(event, VersionEvent)
        assert event.state.revision == written
        stream.close()
    finally:
        run(store.close())
