"""What a supervisor and its worker say to each other, over a pair of sockets that keep messages apart.

The worker says what sd_notify(3) says (`service.process.notify`). The supervisor says the two words below. When either
end closes, the other one hears that as an end: a worker whose supervisor was killed ends in order, by itself.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass

LONGEST = 4096
"""Bytes of a message."""


@dataclass(frozen=True, slots=True)
class Quiet:
    """Say from now on that you are not ready; answer all the same: all workers of the machine are about to end."""


@dataclass(frozen=True, slots=True)
class End:
    """End in order, within so many seconds. None: as many as a signal gives, since the supervisor has gone."""

    within: float | None


Word = Quiet | End
_QUIET = b"QUIET"
_END = b"END="


def pair() -> tuple[socket.socket, socket.socket]:
    """The supervisor's end, and the worker's. Neither waits."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    theirs.setblocking(False)
    return ours, theirs


def said(word: Word) -> bytes:
    """A word as it is sent."""
    return _QUIET if isinstance(word, Quiet) else _END + f"{word.within or 0:.3f}".encode()


def hear(line: socket.socket) -> list[Word]:
    """All that the supervisor has said meanwhile. Never waits."""
    heard: list[Word] = []
    while True:
        try:
            message = line.recv(LONGEST)
        except BlockingIOError:
            return heard
        except OSError:
            message = b""
        if not message:
            return [*heard, End(None)]
        heard.append(Quiet() if message == _QUIET else End(float(message.removeprefix(_END))))
