"""The configuration in docs/security.md: HAProxy keeps connections that begin no TLS from an HTTPS instance."""

from __future__ import annotations

import contextlib
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.etcd import EtcdServer, free_ports
from tests.support.haproxy_process import HaproxyProcess
from tests.support.https import Https, serial
from tests.support.instances import PROJECT, InstanceProcess, within
from tools import haproxy

pytestmark = pytest.mark.skipif(haproxy.find() is None, reason="needs HAProxy")
LIMIT = 100
"""Connections of one address."""


def configuration(port: int, instance: int) -> str:
    """That of the document, for one instance of this machine."""
    document = (PROJECT / "docs/security.md").read_text(encoding="utf-8")
    text = document.partition("```haproxy\n")[2].partition("```")[0]
    servers = re.findall(r"^    server .*\n", text, re.MULTILINE)
    assert len(servers) == 2
    text = text.replace("bind :443", f"bind 127.0.0.1:{port}").replace(servers[1], "")
    return "global\n    maxconn 2000\n" + text.replace("10.0.0.1:8443", f"127.0.0.1:{instance}")


def connections(instance: InstanceProcess) -> int:
    """How many the instance has accepted: all of TCP to its port that are established, as the kernel lists them."""
    ours = f"0100007F:{instance.port:04X}"
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(line[1] == ours and line[3] == "01" for line in lines)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[tuple[Https, InstanceProcess, int]]:
    """What it shows, the instance, and the port of HAProxy before it."""
    https = Https.made(tmp_path / "tls")
    with EtcdServer(tmp_path / "etcd") as etcd, contextlib.ExitStack() as stack:
        instance = InstanceProcess(tmp_path, ETCD_ENDPOINTS=etcd.endpoint, **https.settings())
        stack.enter_context(instance)
        (port,) = free_ports(1)
        stack.enter_context(Before(tmp_path, https, port, instance))
        yield https, instance, port


class Before(HaproxyProcess):
    """HAProxy as the document says."""

    def __init__(self, directory: Path, https: Https, port: int, instance: InstanceProcess) -> None:
        super().__init__(directory, configuration(port, instance.port), port)
        self._asks = (https, port)

    def _answers(self) -> bool:
        return answers(*self._asks)


def is_closed(client: socket.socket) -> bool:
    """Whether the other side has ended it."""
    client.setblocking(False)
    try:
        return client.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def answers(https: Https, port: int) -> bool:
    """Whether an honest client gets an answer, over TLS with the instance itself."""
    try:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
            https.context().wrap_socket(plain, server_hostname="localhost") as client,
        ):
            client.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return client.recv(15) == b"HTTP/1.1 200 OK"
    except OSError:
        return False


def test_connections_that_begin_no_tls_never_get_to_the_instance(place: tuple[Https, InstanceProcess, int]) -> None:
    https, instance, port = place
    pair = https.renew()
    assert within(20, lambda: https.shown(port) == serial(pair)), "TLS ends at the instance"
    seen = [connections(instance)]
    with contextlib.ExitStack() as stack:
        crowd = []
        for number in range(LIMIT - 10):
            silent = stack.enter_context(socket.create_connection(("127.0.0.1", port), 10))
            crowd.append(silent)
            if number % 3 == 1:
                silent.sendall(b"\x16")  # drop by drop
            if number % 3 == 2:
                silent.sendall(b"GET /healthz HTTP/1.1\r\n\r\n")
        assert answers(https, port)

        def all_closed() -> bool:
            seen.append(connections(instance))
            return all(map(is_closed, crowd))

        assert within(20, all_closed)
        assert max(seen) <= seen[0] + 2  # the honest one, and a check of HAProxy
    assert answers(https, port)


def test_one_address_holds_no_more_connections_than_are_allowed(place: tuple[Https, InstanceProcess, int]) -> None:
    """Those beyond are closed at once, and not after the 5 s that a silent one may wait."""
    https, _, port = place
    with contextlib.ExitStack() as stack:
        crowd = [stack.enter_context(socket.create_connection(("127.0.0.1", port), 10)) for _ in range(LIMIT + 30)]
        assert within(3, lambda: sum(map(is_closed, crowd)) >= 30)
        assert sum(map(is_closed, crowd)) < LIMIT
    assert within(10, lambda: answers(https, port))
