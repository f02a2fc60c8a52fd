"""Reads a stream of server-sent events, as the standard says (WHATWG HTML, 9.2.6), piece by piece."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ServerEvent:
    """One event. id: the last one that any event has borne, "" for none."""

    name: str
    data: dict[str, Any]
    id: str
    has_id: bool


class EventReader:
    """What has come of a stream. retry: milliseconds, as last said."""

    def __init__(self) -> None:
        self._rest = b""
        self._id = ""
        self.retry = 0

    def read(self, piece: bytes) -> list[ServerEvent]:
        """The events that a piece ends."""
        *whole, self._rest = (self._rest + piece).split(b"\n\n")
        found = (self._event(block.decode()) for block in whole)
        return [event for event in found if event is not None]

    def _event(self, block: str) -> ServerEvent | None:
        name, data, has_id = "message", list[str](), False
        for line in block.split("\n"):
            field, _, value = line.partition(":")
            value = value.removeprefix(" ")
            match field:
                case "event":
                    name = value
                case "data":
                    data.append(value)
                case "id":
                    self._id, has_id = value, True
                case "retry":
                    self.retry = int(value)
                case "":
                    pass  # a comment
                case _:
                    raise AssertionError(f"no field of an event: {line!r}")
        return ServerEvent(name, json.loads("\n".join(data)), self._id, has_id) if data else None
