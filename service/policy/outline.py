"""Where the parts of a policy are written, noted while its text is checked, in one pass. Pure.

Builds nothing of the schemas in it: they stay bytes. Notes no more of a list than a policy may have.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from service.json_text import MAX_DEPTH, Part, beginning, scan

LEVELS = 4
"""The policy, a member of it, an entry of a list, a field of that."""


@dataclass(frozen=True, slots=True)
class Node:
    """A value. inner: its members or items, if it is one of the upper LEVELS - 1.

    name: of a member, if it is long how it begins; else empty.
    """

    name: str
    part: Part
    inner: tuple[Node, ...] = ()

    @property
    def opening(self) -> str:
        """The first character, which tells what it is."""
        return self.part.opening


class Outline:
    """The outline of one text. most: values that are noted within each one."""

    def __init__(self, text: bytes, most: int) -> None:
        self._text = text
        self._most = most
        self._open: list[list[Node]] = [[] for _ in range(LEVELS + 1)]  # by level: what has ended, its parent not yet

    def drawn(self) -> Iterator[None]:
        """Checks all of the text, in slices. Raises NotJson."""
        return scan(self._text, MAX_DEPTH + LEVELS - 1, LEVELS, self._note)

    @property
    def root(self) -> Node:
        """The whole, when it has been drawn."""
        return self._open[0][0]

    def _note(self, level: int, name: bytes, start: int, end: int) -> None:
        inner = tuple(self._open[level + 1])
        self._open[level + 1].clear()
        if len(self._open[level]) < self._most:
            node = Node(beginning(name), Part(self._text, start, end), inner)
            self._open[level].append(node)
