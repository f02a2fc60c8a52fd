"""The records that writes leave, beyond what etcd remembers, and what they tell about a revision. Pure.

Owns the decision of rule 19: the document of a key at a revision, exactly, or that it can't be known. Knows no store.

A record is told by its name: which kind of change it was, by the nonce of its version; its revision is the store's. So
the names of a key's records, without the documents, are enough to decide which record answers.
"""

from __future__ import annotations

import enum
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from consistency.core.authors import NOBODY, Author
from consistency.core.documents import Document
from consistency.core.policy import Kept
from consistency.core.versions import Revision

_NAME = re.compile(r"([0-9a-f]{32})([pdo+!])")


class Op(enum.StrEnum):
    """What a record tells of: a put, a delete, or that an audit has found a change made past the service (rule 13)."""

    PUT = "p"
    DELETE = "d"
    OUTSIDE = "o"


OPS = {Op.PUT: "put", Op.DELETE: "delete", Op.OUTSIDE: "outside"}
"""As it is told."""

FRESH = "+"
"""In place of an op: beside the record of the same nonce, that there was no such key just before."""


DOUBTED = "!"
"""The same, where the writer has found that what it overwrote has left no record: somebody has put it past the service,
or an instance of an earlier release."""


@dataclass(frozen=True, slots=True)
class Keeping:
    """How a write leaves records: documents up to `max_bytes`; `at`: seconds since 1970."""

    max_bytes: int
    at: float

    @classmethod
    def by(cls, kept: Kept, now: float) -> Keeping | None:
        """As the policy says; None: not at all."""
        return cls(kept.max_bytes, now) if kept.keep else None


@dataclass(frozen=True, slots=True)
class Trace:
    """One record by its name.

    fresh: there was no such key just before. doubted: what was there just before has left no record.
    """

    mod_revision: Revision
    op: Op
    nonce: str
    fresh: bool = False
    doubted: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """Its own, and those of what stands beside it."""
        beside = ((FRESH, self.fresh), (DOUBTED, self.doubted))
        return self.nonce + self.op, *(self.nonce + kind for kind, there in beside if there)


@dataclass(frozen=True, slots=True)
class Record:
    """One change. at: seconds since 1970, None if that can't be read. size: of the document, in bytes.

    document: None for a delete, and where it was too large to be kept.
    """

    mod_revision: Revision
    op: Op
    at: float | None = None
    author: Author = NOBODY
    size: int = 0
    document: bytes | None = None

    def encode(self) -> bytes:
        """What is stored: a line of JSON, then the document."""
        head: dict[str, Any] = {"at": self.at, **self.author.members()}
        if self.op is Op.PUT:
            head |= {"size": self.size, "kept": self.document is not None}
        return json.dumps(head).encode() + b"\n" + (self.document or b"")

    @classmethod
    def decode(cls, trace: Trace, raw: bytes) -> Record:
        """Reads what `encode` wrote; of anything else nothing is known but the change itself."""
        line, _, document = raw.partition(b"\n")
        try:
            head = json.loads(line)
            at, size, kept = float(head["at"]), int(head.get("size", 0)), head.get("kept") is True
            author = Author(*(str(head.get(name, "")) for name in ("by", "request", "why")))
            "".join((author.by, author.request, author.why)).encode()
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return cls(trace.mod_revision, trace.op)
        whole = kept and trace.op is Op.PUT and size == len(document)
        return cls(trace.mod_revision, trace.op, at, author, size, document if whole else None)


@dataclass(frozen=True, slots=True)
class KeyPast:
    """All that is known by names of one key, as of `revision`.

    current: the document that there is, perhaps without its data. began: since when each write leaves a record; 0: they
    do not. trimmed: records before this revision have been removed; 0: none were. traces: in order of revision.
    """

    revision: Revision
    current: Document | None
    began: Revision
    trimmed: Revision
    traces: tuple[Trace, ...]


# What is known of a revision


@dataclass(frozen=True, slots=True)
class Current:
    """What there is now was there then."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """The document of this record; None: there was no such key."""

    trace: Trace | None


@dataclass(frozen=True, slots=True)
class Unknowable:
    """It can't be told exactly, and why."""

    why: str


Knowledge = Current | Recorded | Unknowable


def at(past: KeyPast, revision: Revision) -> Knowledge:
    """What the key had at a revision, no later than `past.revision` (rule 19)."""
    if past.current is not None and past.current.mod_revision <= revision:
        return Current()
    if not past.began or revision < past.began:
        return Unknowable(f"history begins at revision {past.began}" if past.began else "no history is kept")
    if revision < past.trimmed:
        return Unknowable(f"history of it has been trimmed up to revision {past.trimmed}")
    traces = [trace for trace in past.traces if trace.mod_revision >= past.began]
    before = [trace for trace in traces if trace.mod_revision <= revision]
    after = traces[len(before) :]
    last = before[-1] if before else None
    if last is not None and last.op is Op.OUTSIDE:
        return Unknowable(_OUTSIDE)
    return _between(last, after[0]) if after else _since(last, past.current)


_OUTSIDE = "it was changed past the service"


def _between(last: Trace | None, following: Trace) -> Knowledge:
    """The document between two records: the one that the first left, if the second found it."""
    if following.op is Op.OUTSIDE or following.doubted:
        return Unknowable(_OUTSIDE)
    if last is None:
        return Recorded(None) if following.fresh else Unknowable("its first record is of a later change")
    left_nothing = last.op is Op.DELETE
    if left_nothing is not following.fresh:
        return Unknowable(_OUTSIDE)
    return Recorded(None if left_nothing else last)


def _since(last: Trace | None, current: Document | None) -> Knowledge:
    """What has stood since the last record: what it left, if that is what there is. (`Current` was told before.)"""
    there_is_nothing = last is None or last.op is Op.DELETE
    return Recorded(None) if there_is_nothing and current is None else Unknowable(_OUTSIDE)


def surplus(traces: Sequence[Trace], keep: int) -> tuple[Trace, ...]:
    """Return those of some records of a key that are not among its last `keep`, in order.

    They may be any part of the key's records: what is surplus among a part is surplus among all.
    """
    return tuple(sorted(traces, key=lambda trace: trace.mod_revision)[: max(0, len(traces) - keep)])


def named(name: str) -> tuple[str, str] | None:
    """The nonce and the kind that the name of a record says; None for any other."""
    found = _NAME.fullmatch(name)
    return (found[1], found[2]) if found else None


def traced(found: Sequence[tuple[str, Revision]]) -> tuple[Trace, ...]:
    """The records of one key, in order, by their names and revisions. What is no record is passed over."""
    parts = [(parsed, revision) for name, revision in found if (parsed := named(name))]
    beside = {found for found, _ in parts}
    traces = (
        Trace(revision, Op(kind), nonce, (nonce, FRESH) in beside, (nonce, DOUBTED) in beside)
        for (nonce, kind), revision in parts
        if kind not in (FRESH, DOUBTED)
    )
    return tuple(sorted(traces, key=lambda trace: trace.mod_revision))
