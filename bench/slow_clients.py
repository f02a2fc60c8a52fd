"""Clients who don't finish what they have begun: headers without an end, bodies that don't come, connections unused."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

BEGUN = (
    b"GET /config/slow HTTP/1.1\r\nHost: bench\r\nX: ",
    b"PUT /config/slow HTTP/1.1\r\nHost: bench\r\nContent-Length: 1000\r\n\r\n[",
    b"",
)


@contextlib.contextmanager
def slow_clients(url: str, count: int) -> Iterator[None]:
    """So many of them are connected, of each kind the same number. Raises OSError when they can't be."""
    where = (urlsplit(url).hostname or "", urlsplit(url).port or 80)
    with contextlib.ExitStack() as stack:
        for number in range(count):
            client = stack.enter_context(socket.create_connection(where, timeout=10.0))
            client.sendall(BEGUN[number % len(BEGUN)])
        yield
