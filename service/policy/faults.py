"""What is wrong with a document, place by place: a JSON pointer (RFC 6901), and what is expected there. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

MOST_TOLD = 20
"""Most faults in one answer. A client that has mended twenty sees the next ones."""

LONGEST = 200
"""Characters of what is told of one."""


@dataclass(frozen=True, slots=True)
class Fault:
    """pointer: the place. expected: what should be there, and what was found where that is short."""

    pointer: str
    expected: str

    def below(self, pointer: str) -> Fault:
        """The same in a document in which this one is a part, at `pointer`."""
        return Fault(pointer + self.pointer, self.expected)


@dataclass(frozen=True, slots=True)
class Faults:
    """The first MOST_TOLD faults, and whether there are more."""

    listed: tuple[Fault, ...] = ()
    more: bool = False

    def __bool__(self) -> bool:
        return bool(self.listed)


def some_of(faults: Iterable[Fault]) -> Faults:
    """The first of them; takes one more than is told."""
    listed: list[Fault] = []
    for fault in faults:
        if len(listed) == MOST_TOLD:
            return Faults(tuple(listed), more=True)
        listed.append(fault)
    return Faults(tuple(listed))


def step(name: str | int) -> str:
    """One step of a pointer."""
    return "/" + str(name).replace("~", "~0").replace("/", "~1")
