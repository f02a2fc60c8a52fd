"""The way back to an earlier revision, as a plan: what has to be put and deleted, and over what. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from consistency.core.answers import Change, Delete, Put
from consistency.core.model import Document, MustBeAbsent, MustBeAt, Revision

MOST_AT_ONCE = 100
"""Keys of one atomic write."""

MOST_BYTES = 1024 * 1024
"""Bytes of documents in one atomic write."""


@dataclass(frozen=True, slots=True)
class Step:
    """One key that is not what it was. before: what it has now; after: what it had. None: there is none."""

    key: str
    before: Document | None
    after: bytes | None

    @property
    def change(self) -> Change:
        """What makes it so again, over what the plan has seen and nothing else."""
        if self.after is None:
            return Delete(self.key, MustBeAt(self.before.mod_revision if self.before else 0))
        return Put(self.key, self.after, MustBeAt(self.before.mod_revision) if self.before else MustBeAbsent())


@dataclass(frozen=True, slots=True)
class Plan:
    """How to have a prefix as it was at `revision`, as of `seen`.

    steps: in key order. unchanged: how many keys are what they were. unknowable: keys of which it can't be told what
    they had, and why; the prefix itself, last, where keys may be missing that have left no name.
    """

    prefix: str
    revision: Revision
    seen: Revision
    steps: tuple[Step, ...]
    unchanged: int
    unknowable: tuple[tuple[str, str], ...]


def parts(steps: Sequence[Step]) -> Iterator[tuple[Step, ...]]:
    """The steps, as many at a time as one atomic write takes."""
    some: list[Step] = []
    left = MOST_BYTES
    for step in steps:
        size = len(step.key) + len(step.after or b"")
        if some and (len(some) == MOST_AT_ONCE or size > left):
            yield tuple(some)
            some, left = [], MOST_BYTES
        some.append(step)
        left -= size
    if some:
        yield tuple(some)
