"""Parses text/event-stream, as the HTML standard says: bytes in, events out.

Owns what has come of the event that is not over. Knows nothing of what events mean.
"""

from __future__ import annotations

from dataclasses import dataclass

MOST_BYTES = 16 * 1024 * 1024
"""Of one event: twice what the largest document needs when each of its characters is escaped."""


class TooLong(ValueError):
    """An event is longer than is accepted."""


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One event. `id` and `retry` (milliseconds) are those that it carries itself, else None."""

    event: str
    data: str
    id: str | None = None
    retry: int | None = None


class Parser:
    """Fed with chunks, however they are cut. An error leaves it useless: the connection has to end."""

    def __init__(self, most: int = MOST_BYTES) -> None:
        self._most = most
        self._parts: list[bytes] = []  # of a line that is not over
        self._size = 0  # bytes held: those parts, and the data below
        self._first = True
        self._begin()

    def feed(self, chunk: bytes) -> list[ServerEvent]:
        """Return the events that end in this chunk. Raises TooLong."""
        self._size += len(chunk)
        if b"\n" not in chunk and b"\r" not in chunk and not self._ends_with_cr():
            self._parts.append(chunk)
            self._check()
            return []
        lines = b"".join([*self._parts, chunk]).splitlines(keepends=True)
        # A carriage return at the end may be the first half of a line's end: the next chunk tells.
        rest = [] if not lines or lines[-1].endswith(b"\n") else [lines.pop()]
        self._parts = rest
        found = []
        for line in lines:
            event = self._line(line.rstrip(b"\r\n"))
            if event is not None:
                found.append(event)
        self._size = sum(map(len, self._parts)) + sum(map(len, self._data))
        self._check()
        return found

    def _ends_with_cr(self) -> bool:
        return bool(self._parts) and self._parts[-1].endswith(b"\r")

    def _check(self) -> None:
        if self._size > self._most:
            raise TooLong(f"an event has more than {self._most} bytes")

    def _begin(self) -> None:
        self._event = ""
        self._data: list[str] = []
        self._id: str | None = None
        self._retry: int | None = None

    def _line(self, raw: bytes) -> ServerEvent | None:
        if self._first:
            self._first = False
            raw = raw.removeprefix(b"\xef\xbb\xbf")
        if not raw:
            return self._dispatch()
        name, _, value = raw.decode("utf-8", "replace").partition(":")
        value = value.removeprefix(" ")
        match name:
            case "data":
                self._data.append(value)
            case "event":
                self._event = value
            case "id" if "\0" not in value:
                self._id = value
            case "retry" if value.isascii() and value.isdigit() and len(value) < 10:
                self._retry = int(value)
        return None

    def _dispatch(self) -> ServerEvent | None:
        made = ServerEvent(self._event or "message", "\n".join(self._data), self._id, self._retry)
        empty = not self._data and self._retry is None
        self._begin()
        return None if empty else made
