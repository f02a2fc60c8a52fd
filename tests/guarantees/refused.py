"""A client whose requests are refused while their bodies are on the way, and who notices when it gets no answer.

It sends as simple clients do: all of the request first, then it reads.
"""

from __future__ import annotations

import contextlib
import itertools
import random
import socket
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse

SIZES = (100, 3_000, 30_000, 300_000, 5_000_000)
"""Bytes: what comes with the head, what fills the first buffers, what does not, and what is over any limit."""

LIMIT = 1 << 20
"""Bytes of a document."""

PATIENCE = 10.0


@dataclass(frozen=True, slots=True)
class Refusal:
    """A request that is answered before its body was looked at, and with what; over the limit of a body, with 413."""

    status: int
    method: str
    path: str
    header: str = "X: y"
    chunked: bool = False

    def request(self, size: int) -> bytes:
        """With so many bytes of body."""
        framing = "Transfer-Encoding: chunked" if self.chunked else f"Content-Length: {size}"
        head = f"{self.method} {self.path} HTTP/1.1\r\nHost: localhost\r\n{self.header}\r\n{framing}\r\n\r\n".encode()
        body = b"1" * size
        return head + (b"%x\r\n%b\r\n0\r\n\r\n" % (size, body) if self.chunked else body)


class Refused:
    """Goes through all refusals and sizes, again and again, in an order of its own.

    Where the answer doesn't say that the connection ends, it asks for a document over the same one, as anybody would
    who had it from a pool. `answered`, `unanswered`: refused requests. `reused`, `lost`: what followed over the same
    connection.
    """

    def __init__(self, number: int, port: int, refusals: tuple[Refusal, ...], innocent: bytes) -> None:
        self.answered = 0
        self.unanswered: list[str] = []
        self.reused = 0
        self.lost: list[str] = []
        self._address = ("127.0.0.1", port)
        self._innocent = innocent
        rounds = list(itertools.product(refusals, SIZES))
        random.Random(number).shuffle(rounds)
        self._next = itertools.cycle(rounds)

    def __call__(self) -> None:
        """A refused request on a connection of its own, and perhaps one that is fine."""
        refusal, size = next(self._next)
        with socket.create_connection(self._address, PATIENCE) as client:
            status, goes_on = ask(client, refusal.request(size))
            if status == refusal.status or (status == 413 and size > LIMIT):
                self.answered += 1
            else:
                self.unanswered.append(f"{refusal} with {size} bytes: {status}")
            if goes_on:
                self.reused += 1
                status, _ = ask(client, self._innocent)
                if status != 200:
                    self.lost.append(f"after {refusal} with {size} bytes: {status}")


def ask(client: socket.socket, request: bytes) -> tuple[int, bool]:
    """The status of the answer, 0 without one; and whether the connection may be used again."""
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        client.sendall(request)
    answer = HTTPResponse(client)
    try:
        answer.begin()
        answer.read()
    except (HTTPException, ConnectionResetError):
        return 0, False
    return answer.status, not answer.will_close
