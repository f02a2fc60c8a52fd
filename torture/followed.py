"""What followers of `/changes` were told: one frozen value, and one JSON line, for each word. Owns that form."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Told:
    """One thing that a follower was told, in the order of its telling.

    word: "told"; "stale" (silence is not proven), "goodbye", or "lost" (the connection ended, or nothing was told).
    library: it is a client of the library, and "told" is what it was found to hold, changes being what differs from the
    time before, note being its state. Its last word: its listener has "listened" to all of it, or what it was told is
    "unlike" that.
    invoked: of a long poll, before it was sent; of a stream, before it was opened. since: the revision of what was
    held before; 0 with a reset. part: of a snapshot, with more to come. changes: key, value (None: deleted),
    mod_revision. age: seconds; -1 if it is not known.
    """

    follower: int
    streams: bool
    instance: int
    prefixes: tuple[str, ...]
    keys: tuple[str, ...]
    word: str
    invoked: float
    returned: float
    since: int = 0
    to: int = 0
    reset: str = ""
    part: bool = False
    more: bool = False
    changes: tuple[tuple[str, str | None, int], ...] = ()
    age: float = -1.0
    note: str = ""
    library: bool = False

    def concerns(self, key: str) -> bool:
        """Whether a key is in its scope."""
        return key in self.keys or key.startswith(self.prefixes)

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: str) -> Told:
        """The inverse of `to_json`."""
        found = json.loads(line)
        for name in ("prefixes", "keys"):
            found[name] = tuple(found[name])
        found["changes"] = tuple((key, value, at) for key, value, at in found["changes"])
        return cls(**found)


def read_followed(path: Path) -> Iterator[Told]:
    """What a file keeps, in its order."""
    with path.open() as lines:
        for line in lines:
            yield Told.from_json(line)
