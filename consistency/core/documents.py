"""Documents as values: what is stored, what a read asks for and gets, what a write has done. Frozen, without I/O."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import NamedTuple

from consistency.core.versions import Revision


@dataclass(frozen=True, slots=True)
class Document:
    """A stored value. With a `lease` the key can vanish without a version event: it is never cached (rule 5)."""

    data: bytes
    mod_revision: Revision
    create_revision: Revision
    lease: int = 0


class Demand(NamedTuple):
    """What a read asks for.

    use_cache: False reads the value from the store, whatever is in memory.
    linearizable: no older than any write that was acknowledged before the request; from memory if unchanged (rule 11).
    min_revision: what this client has seen; the answer is no older (rule 10).
    session_unknown: it has seen something, nobody can tell what: perhaps all that was acknowledged before the request.
    So the read is linearizable, and never answered unproven (rule 10).
    stale_if_error: seconds of staleness, beyond the bound, that the client prefers to no answer at all.
    """

    use_cache: bool = True
    linearizable: bool = False
    min_revision: Revision = 0
    stale_if_error: float = 0.0
    session_unknown: bool = False


class Source(enum.StrEnum):
    """Where an answer came from: the truth behind `X-Cache`."""

    __hash__ = str.__hash__  # looked up for every read; an enumeration's own is written in Python

    HIT = "HIT"  # from memory, without I/O
    MISS = "MISS"  # the value was loaded from etcd
    REVALIDATED = "REVALIDATED"  # from memory, after etcd confirmed it
    BYPASS = "BYPASS"  # the cache was not consulted
    STALE = "STALE"  # from memory, unproven, because the client allowed it


class Reading(NamedTuple):
    """The answer to a read.

    value: the document, or None when there is no such key.
    mod_revision: of the document; 0 when there is none.
    revision: the answer holds as of this revision (the session token, rule 10).
    source: where it came from.
    age: seconds since the proof that it rests on; 0.0 when etcd was asked for this read.
    """

    value: bytes | None
    mod_revision: Revision
    revision: Revision
    source: Source
    age: float


@dataclass(frozen=True, slots=True)
class Written:
    """The answer to a write: the revision it committed at, and whether the key existed before.

    A delete of an absent key writes nothing: then `existed` is False and `revision` is the one at which it was absent.
    acks: of a synchronous write (rule 12): how many instances acknowledged it, of how many; else None.
    """

    revision: Revision
    existed: bool
    acks: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Applied:
    """The answer to a batch of writes: its one revision, and for each change whether its key existed before."""

    revision: Revision
    existed: tuple[bool, ...]
    acks: tuple[int, int] | None = None


class WrongTimeline(Exception):
    """A token is of a history that is lost: it was given out before etcd was restored from a backup.

    It is ahead of everything etcd has, or another write stands where it was given out (rule 18).
    """

    def __init__(self, asked: Revision, current: Revision) -> None:
        ahead = f"is ahead of the store's {current}"
        super().__init__(f"revision {asked} {ahead if asked > current else 'bears another write than it did'}")
        self.asked = asked
        self.current = current
