"""What the records that writes leave tell about a revision, beyond what etcd remembers. Pure.

Owns the decision of rule 19: the document of a key at a revision, exactly, or that it can't be known. Knows no store.

A record is told by its name: which kind of change it was, by the nonce of its version; its revision is the store's. So
the names of a key's records, without the documents, are enough to decide which record answers.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from consistency.core.documents import Document
from consistency.core.records import DOUBTED, FRESH, Op, Trace
from consistency.core.versions import Revision

_NAME = re.compile(r"([0-9a-f]{32})([pdo+!])")


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
