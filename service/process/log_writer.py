"""A stream for log lines that nobody waits for: lines go to a queue, and a thread of its own writes them out.

Owns the queue and its bound. The reader of the log may stop reading (a full pipe, a terminal on hold). Then the queue
fills, further lines are dropped and counted, and requests go on. Lines are gathered for a moment, so that a busy
instance wakes the thread some fifty times a second and not for each line.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TextIO

MOST = 1024 * 1024
"""Characters that may wait."""

GATHERED_FOR = 0.02
"""Seconds from the first line to writing it, and those that came after it, out."""


PIECE = 4096
"""Bytes that are written at once at most, unless one line is longer: so much the kernel takes into a pipe as a whole.
Several workers write to one, and no line may stand in the middle of another."""


class LogWriter:
    """As much of a text stream as logging's handlers need. `start` once, `close` once.

    dropped: told how many lines were lost, when there is room again; on the writer's thread.
    """

    def __init__(self, out: TextIO, dropped: Callable[[int], object]) -> None:
        self._out = out
        self._tell_dropped = dropped
        self._lock = threading.Lock()  # protects the three below
        self._lines: list[str] = []
        self._waiting = 0  # characters in `_lines`
        self._dropped = 0
        self._bell = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._write_out, name="log", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def write(self, text: str) -> None:
        """Takes a line, or drops it. Never waits."""
        with self._lock:
            first = not self._lines
            if fits := self._waiting + len(text) <= MOST:
                self._lines.append(text)
                self._waiting += len(text)
            else:
                self._dropped += 1
        if first and fits:
            self._bell.set()

    def flush(self) -> None:
        """Nothing: it would be waiting."""

    def close(self, within: float) -> bool:
        """Writes out what is left, in `within` seconds at most. Whether that was possible; if not, lines are lost."""
        self._closing.set()
        self._bell.set()
        self._thread.join(within)
        if self._thread.is_alive():
            return False
        self._empty()
        return True

    def _write_out(self) -> None:
        while not self._closing.is_set():
            self._bell.wait()
            self._closing.wait(GATHERED_FOR)
            self._bell.clear()
            self._empty()

    def _empty(self) -> None:
        with self._lock:
            lines, dropped = self._lines, self._dropped
            self._lines, self._waiting, self._dropped = [], 0, 0
        try:
            for piece in pieces(lines):
                self._out.write(piece)
                self._out.flush()
        except (OSError, ValueError):
            return  # it was closed: there is nowhere to say so
        if dropped:
            self._tell_dropped(dropped)


def pieces(lines: Iterable[str]) -> Iterator[str]:
    """The same, of PIECE bytes at most or of one line."""
    piece: list[str] = []
    size = 0
    for line in lines:
        length = len(line) if line.isascii() else len(line.encode(errors="backslashreplace"))
        if piece and size + length > PIECE:
            yield "".join(piece)
            piece, size = [], 0
        piece.append(line)
        size += length
    if piece:
        yield "".join(piece)
