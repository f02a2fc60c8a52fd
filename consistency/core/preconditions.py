"""What a conditional write asks for before it is done. Frozen, without I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from consistency.core.versions import Revision


@dataclass(frozen=True, slots=True)
class MustExist:
    """Precondition `If-Match: *`."""


@dataclass(frozen=True, slots=True)
class MustBeAbsent:
    """Precondition `If-None-Match: *`."""


@dataclass(frozen=True, slots=True)
class MustBeAt:
    """Precondition `If-Match: "<mod_revision>"`."""

    mod_revision: Revision


Precondition = MustExist | MustBeAbsent | MustBeAt


def holds(precondition: Precondition | None, current: Revision) -> bool:
    """Whether a precondition holds for a key with this mod_revision, 0 if there is none."""
    match precondition:
        case None:
            return True
        case MustExist():
            return current > 0
        case MustBeAbsent():
            return current == 0
        case MustBeAt(wanted):
            return current == wanted
        case _:
            assert_never(precondition)


class PreconditionFailed(Exception):
    """A conditional write was refused: nothing was written.

    current: the key's mod_revision, 0 if there is none. revision: the store's, when it refused.
    """

    def __init__(self, key: str, current: Revision, revision: Revision = 0) -> None:
        super().__init__(f"{key!r} is at revision {current}" if current else f"{key!r} does not exist")
        self.key = key
        self.current = current
        self.revision = revision
