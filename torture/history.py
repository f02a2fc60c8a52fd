"""What clients did and what they were told: one frozen value, and one JSON line, for each operation.

Owns the form of a history. Times are seconds of the machine's monotonic clock, so that all processes share them.
Keys are the callers'; a revision of 0 means "none".
"""

from __future__ import annotations

import enum
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

CHECKED = "t/"
"""Keys that start so are written by the workload alone, so that every change of one has to be explained."""


class Kind(enum.StrEnum):
    """What was asked for."""

    READ = "read"
    PUT = "put"
    DELETE = "delete"
    BATCH = "batch"


class Level(enum.StrEnum):
    """With which promise."""

    DEFAULT = "default"  # a read with bounded staleness, or a plain write
    UNCACHED = "uncached"
    LINEARIZABLE = "linearizable"
    PAST = "past"  # as of a revision that the client names
    STALE = "stale"  # default, and older if etcd can't be asked
    SYNC = "sync"  # a write after which nobody serves the old value


class Outcome(enum.StrEnum):
    """What is known of it."""

    OK = "ok"
    REFUSED = "refused"  # a precondition did not hold: nothing was written
    FAILED = "failed"  # nothing was done, or a read got no answer
    UNKNOWN = "unknown"  # a write that may have happened, or may happen yet


class Remembers(enum.StrEnum):
    """What a client's session carries from one request to the next."""

    NOTHING = "nothing"
    WRITES = "writes"  # it keeps cookies
    ALL = "all"  # and names the newest revision it has seen in `min_revision`


@dataclass(frozen=True, slots=True)
class Operation:
    """One request and its answer.

    session: unique; operations of one session follow one another. instance: who was asked.
    value: what was to be written, or what was read; None for a delete, for absence and for 304.
    batch: the changes of a batch, value None for a delete; `key` is "" then.
    invoked, returned: before the first byte was sent, after the last was received (or the client gave up).
    modified: the ETag, 0 without one. revision: X-Config-Revision, 0 without one. cache: X-Cache. age: Age, seconds.
    token: the newest revision the client named (rule 10). condition: "", "absent", "exists" or a mod_revision.
    conditions: of a batch, one for each change. refusing: the key whose condition did not hold; `modified` is its own.
    asked: of a read, the revision it named (PAST), or the seconds it allowed (STALE).
    """

    number: int
    client: int
    session: str
    remembers: Remembers
    instance: int
    kind: Kind
    level: Level
    key: str
    value: str | None
    invoked: float
    returned: float
    outcome: Outcome
    status: int = 0
    modified: int = 0
    revision: int = 0
    cache: str = ""
    age: float = 0
    token: int = 0
    condition: str = ""
    asked: int = 0
    batch: tuple[tuple[str, str | None], ...] = ()
    conditions: tuple[str, ...] = ()
    refusing: str = ""
    note: str = ""

    @property
    def changes(self) -> tuple[tuple[str, str | None], ...]:
        """What a write was to do: keys with their new values, None for a delete. Empty for a read."""
        if self.kind is Kind.READ:
            return ()
        return self.batch if self.kind is Kind.BATCH else ((self.key, self.value),)

    @property
    def preconditions(self) -> tuple[tuple[str, str], ...]:
        """Keys with what had to hold of them for the write to be done."""
        if self.kind is Kind.BATCH:
            pairs = zip(self.batch, self.conditions, strict=False)
            return tuple((key, condition) for (key, _), condition in pairs if condition)
        return ((self.key, self.condition),) if self.condition else ()

    def to_json(self) -> str:
        """One line, without what is at its default."""
        return json.dumps({name: value for name, value in asdict(self).items() if value or name in _ALWAYS})

    @classmethod
    def from_json(cls, line: str) -> Operation:
        """The inverse of `to_json`."""
        found = json.loads(line)
        for name, kind in (("remembers", Remembers), ("kind", Kind), ("level", Level), ("outcome", Outcome)):
            found[name] = kind(found[name])
        found["batch"] = tuple((key, value) for key, value in found.get("batch", ()))
        found["conditions"] = tuple(found.get("conditions", ()))
        return cls(**found)


_ALWAYS = ("number", "client", "session", "instance", "key", "value", "invoked", "returned")


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """One line for each of them."""
    path.write_text("".join(f"{line}\n" for line in lines))


def read_history(path: Path) -> Iterator[Operation]:
    """The operations of a file, in its order."""
    with path.open() as lines:
        for line in lines:
            yield Operation.from_json(line)
