"""Many readers at the same time, from one thread: each sends its next request as soon as it has its answer.

Owns the connections. Quick, so that it is never the readers who are waited for: what one answer costs here decides how
many requests are really at the server at a time.
"""

from __future__ import annotations

import re
import selectors
import socket
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import cycle

PATIENCE = 10.0
"""Seconds without any answer after which the server is given up."""

_HEAD = 1024
_END = b"\r\n\r\n"
_STATUS = re.compile(rb"HTTP/1\.1 (\d+)")
_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)
_SOURCE = re.compile(rb"x-cache: (\w+)", re.IGNORECASE)


class Crowd:
    """So many connections to one server on loopback, kept open from one round to the next."""

    def __init__(self, stack: ExitStack, port: int, readers: int) -> None:
        self._left: dict[socket.socket, int] = {}  # bytes that each answer is still short of
        self._ready = stack.enter_context(selectors.DefaultSelector())
        self._buffer = memoryview(bytearray(1 << 18))
        for _ in range(readers):
            reader = stack.enter_context(socket.create_connection(("127.0.0.1", port), PATIENCE))
            reader.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._ready.register(reader, selectors.EVENT_READ, reader)
            self._left[reader] = 0

    def read(self, paths: Sequence[str], times: int) -> Counter[tuple[int, str]]:
        """Reads so many times, the paths in turn; how often each status and X-Cache came. Raises AssertionError."""
        requests = cycle(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode() for path in paths)
        answers: Counter[tuple[int, str]] = Counter()
        unsent = times
        for reader in list(self._left)[:times]:
            reader.sendall(next(requests))
            unsent -= 1
        while answers.total() < times or any(self._left.values()):
            readable = self._ready.select(PATIENCE)
            assert readable, f"no answer within {PATIENCE:g} s; so far {dict(answers)}"
            for selected, _ in readable:
                member: socket.socket = selected.data
                if self._is_answered(member, answers) and unsent:
                    member.sendall(next(requests))
                    unsent -= 1
        return answers

    def _is_answered(self, reader: socket.socket, answers: Counter[tuple[int, str]]) -> bool:
        got = reader.recv_into(self._buffer)
        assert got, "the server hung up"
        if not self._left[reader]:
            head = bytes(self._buffer[: min(got, _HEAD)])
            status, length, source = (pattern.search(head) for pattern in (_STATUS, _LENGTH, _SOURCE))
            assert status, head
            assert length, head
            answers[int(status[1]), source[1].decode() if source else ""] += 1
            self._left[reader] = head.index(_END) + len(_END) + int(length[1])
        self._left[reader] -= got
        return not self._left[reader]
