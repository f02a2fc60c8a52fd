"""Those who say nothing, or next to nothing: servers that take every connection, and a name server.

They own their sockets and threads. What reaches them is counted: it is what an instance has really sent.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

EVERY = 0.1
"""Seconds between two drops."""


class Peer:
    """A server that takes every connection. `said`: what it begins each with. drips: then a byte now and then."""

    def __init__(self, said: bytes = b"", *, drips: bool = False) -> None:
        self.connections: list[socket.socket] = []
        self._said = said
        self._drips = drips
        self._over = threading.Event()
        self._server = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self._threads = [threading.Thread(target=each) for each in (self._accept, self._drip)]

    @property
    def address(self) -> str:
        """`host:port`."""
        return f"127.0.0.1:{self._server.getsockname()[1]}"

    @contextlib.contextmanager
    def running(self) -> Iterator[Peer]:
        """Within the block."""
        for thread in self._threads:
            thread.start()
        try:
            yield self
        finally:
            self._over.set()
            self._server.shutdown(socket.SHUT_RDWR)
            for thread in self._threads:
                thread.join(5)
            for each in (self._server, *self.connections):
                each.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            with contextlib.suppress(OSError):
                connection.sendall(self._said)
            self.connections.append(connection)

    def _drip(self) -> None:
        while self._drips and not self._over.wait(EVERY):
            for connection in list(self.connections):
                with contextlib.suppress(OSError):
                    connection.send(b"x")


class NameServer:
    """Takes every question and answers none. `asked`: the names, as often as they were asked for."""

    def __init__(self, directory: Path, address: str = "127.0.7.53") -> None:
        self.asked: list[str] = []
        self._address = address
        self._resolver = directory / "resolv.conf"

    @contextlib.contextmanager
    def running(self) -> Iterator[NameServer]:
        """Within the block. Needs root: resolv.conf knows no port but 53."""
        self._resolver.write_text(f"nameserver {self._address}\n")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
            server.bind((self._address, 53))
            thread = threading.Thread(target=self._listen, args=(server.recv,))
            thread.start()
            try:
                yield self
            finally:
                server.sendto(b"", server.getsockname())
                thread.join(5)

    def around(self, *command: str) -> list[str]:
        """The command line that starts a process which knows this name server alone."""
        script = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'
        return ["/usr/bin/env", "unshare", "--mount", "sh", "-c", script, str(self._resolver), *command]

    def _listen(self, receive: Callable[[int], bytes]) -> None:
        while question := receive(2048):
            self.asked.append(_name_in(question))


def _name_in(question: bytes) -> str:
    """RFC 1035, 4.1.2: labels, each after its length, up to an empty one."""
    labels, at = [], 12
    while length := question[at]:
        labels.append(question[at + 1 : at + 1 + length].decode())
        at += 1 + length
    return ".".join(labels)
