"""Clients that wait for what comes: plain sockets, read by one thread that counts what each has been told.

Knows of a stream only by what it says once for each change. Asks what it is told to ask.
"""

from __future__ import annotations

import contextlib
import re
import selectors
import socket
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

TOLD_WITHIN = 30.0
"""Seconds for all clients to be told of one write, or to have asked."""

_TELLS = re.compile(rb'event: sync|"result"')
"""What a stream of ours, or of etcd's gateway, says once for each change, and once when it begins."""

_LONGEST = len(b"event: sync")


class Tellings:
    """Counts how often a stream has told something, wherever its bytes are cut on their way."""

    def __init__(self) -> None:
        self.count = 0
        self._rest = b""

    def read(self, data: bytes) -> None:
        """The next bytes. What may be the beginning of a telling is kept."""
        data, end = self._rest + data, 0
        for found in _TELLS.finditer(data):
            self.count += 1
            end = found.end()
        self._rest = data[max(end, len(data) - _LONGEST + 1) :]


class Clients:
    """Sockets on which something may come at any time; a thread reads it all."""

    def __init__(self, url: str) -> None:
        self._address = (urlsplit(url).hostname or "", urlsplit(url).port or 0)
        self._selector = selectors.DefaultSelector()
        self._told: dict[int, Tellings] = {}  # by descriptor
        self._failure: OSError | None = None  # what has ended the thread
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._read, name="clients")

    def ask(self, request: str, count: int) -> None:
        """So many more, each on a connection of its own. Raises OSError."""
        for _ in range(count):
            client = socket.create_connection(self._address, TOLD_WITHIN)
            client.sendall(request.encode())
            client.setblocking(False)
            self._told[client.fileno()] = Tellings()
            self._selector.register(client, selectors.EVENT_READ)
        if not self._thread.is_alive():
            self._thread.start()

    def least(self) -> int:
        """How often everybody has been told something. Raises OSError if nobody reads any more."""
        if self._failure is not None:
            raise self._failure
        return min(told.count for told in self._told.values())

    def close(self) -> None:
        """All go away."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]  # they are sockets
        self._selector.close()

    def _read(self) -> None:
        try:
            while not self._over.is_set():
                self._read_once()
        except OSError as error:
            self._failure = error

    def _read_once(self) -> None:
        for key, _ in self._selector.select(0.1):
            data = key.fileobj.recv(65536)  # type: ignore[union-attr]
            self._told[key.fd].read(data)
            if not data:
                self._selector.unregister(key.fileobj)


@contextlib.contextmanager
def clients(url: str) -> Iterator[Clients]:
    """None yet."""
    made = Clients(url)
    try:
        yield made
    finally:
        made.close()
