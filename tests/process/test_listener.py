"""The port: one process has it, and what the kernel holds for each client is bounded."""

from __future__ import annotations

import os
import resource
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from service.process.listener import BUFFER, TAKEN_WITHIN, listening, reserve
from service.process.startup import StartupError
from tests.support import driver
from tests.support.etcd import free_ports

PLENTY = 4000
"""Descriptors that are no listening sockets: as many connections."""

HOSTS = ("127.0.0.1", "::1", "0.0.0.0", "::", "localhost")


def test_of_two_that_take_a_port_at_the_same_moment_one_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The story of `reserve`: both are bound before either is alone."""
    port, bound, go = free_ports(1)[0], threading.Event(), threading.Event()

    class Slow(socket.socket):
        def bind(self, address: Any) -> None:
            super().bind(address)
            if threading.current_thread() is not threading.main_thread():
                bound.set()
                go.wait(5)

    monkeypatch.setattr(socket, "socket", Slow)
    with ThreadPoolExecutor(1) as pool:
        late = pool.submit(reserve, "127.0.0.1", port)
        assert bound.wait(5)
        with reserve("127.0.0.1", port):
            go.set()
            with pytest.raises(StartupError, match=f"PORT is {port}, but something else listens there already"):
                late.result(5)


@pytest.mark.parametrize("host", HOSTS)
def test_who_holds_a_port_shares_it_with_its_own_server_alone(host: str) -> None:
    """Before the server listens, and after."""
    with reserve(host, free_ports(1)[0]) as held:
        port = held.getsockname()[1]
        assert is_taken(host, port)
        with server_beside(held):
            assert is_taken(host, port)


def is_taken(host: str, port: int) -> bool:
    try:
        reserve(host, port).close()
    except StartupError as error:
        return f"PORT is {port}, but something else listens there already" in str(error)
    return False


def server_beside(held: socket.socket) -> socket.socket:
    """Binds and listens as Granian does."""
    server = socket.socket(held.family)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    server.bind(held.getsockname())
    server.listen()
    return server


def test_nobody_can_connect_to_a_port_that_is_only_held() -> None:
    """A client that could connect would wait for an answer from nobody."""
    with reserve("127.0.0.1", free_ports(1)[0]) as held, pytest.raises(ConnectionRefusedError):
        socket.create_connection(held.getsockname(), timeout=5)


def test_connections_of_an_earlier_run_do_not_keep_the_port_taken() -> None:
    """Those that the server closed first stay with the kernel for a minute."""
    with reserve("127.0.0.1", free_ports(1)[0]) as held, server_beside(held) as server:
        address = held.getsockname()
        with socket.create_connection(address) as client:
            server.accept()[0].close()
            assert client.recv(1) == b""
    reserve(*address).close()


@pytest.fixture
def many_open_files() -> Iterator[None]:
    """As an instance with many clients has them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    files = [os.open(os.devnull, os.O_RDONLY) for _ in range(min(PLENTY, hard - 500))]
    yield
    for file in files:
        os.close(file)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("many_open_files")
@pytest.mark.parametrize("host", HOSTS)
def test_each_connection_inherits_the_bounds_of_the_socket_that_listens(host: str) -> None:
    """Linux doubles what it is told, for its own bookkeeping. A decoy listens on the same port of another address."""
    with reserve(host, free_ports(1)[0]) as held, server_beside(held) as server, socket.create_server(("127.0.0.2", 0)):
        driver.settle()  # a loop opens some of its own when it first runs
        before = open_files()
        assert driver.run(listening(held.getsockname()[:2], 5, hopeful))
        assert open_files() == before
        with socket.create_connection((host, server.getsockname()[1])), server.accept()[0] as accepted:
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) in (BUFFER, 2 * BUFFER)
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) in (BUFFER, 2 * BUFFER)
            if hasattr(socket, "TCP_USER_TIMEOUT"):
                assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == TAKEN_WITHIN * 1000


def hopeful() -> bool:
    """There is hope."""
    return False


def open_files() -> int:
    return len(os.listdir("/dev/fd"))  # noqa: PTH208  # a number is all that is wanted


def test_a_server_that_does_not_come_to_listen_is_waited_for_no_longer_than_said() -> None:
    with reserve("127.0.0.1", free_ports(1)[0]) as held:
        assert not driver.run(listening(held.getsockname()[:2], 0.05, hopeful))
