"""The parts of a batch, noted while its body is checked, in one pass. Pure.

Owns where they are, and nothing of what they mean (`service.documents.batches`). Notes no more of them than a batch may
have: 500,000 operations take no more room than 101. To look for the ends of values again in a body that has been
checked would take four times as long as the check.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from service.json_text import Part, beginning, scan

LEVELS = 4
"""The batch, its list, an operation, a field."""


@dataclass(frozen=True, slots=True)
class Operation:
    """What the list has in one place, most probably an object.

    opening: its first character. fields: those that are known. unknown: how the name of the first other one begins.
    """

    opening: str
    fields: Mapping[str, Part]
    unknown: str | None


class Outline:
    """The outline of one body. `known`: the fields an operation may have. `most`: operations that are noted."""

    def __init__(self, body: bytes, max_depth: int, known: Iterable[str], *, most: int) -> None:
        self.operations: list[Operation] = []
        self._body = body
        self._max_depth = max_depth
        self._known = {name.encode(): name for name in known}
        self._most = most
        self._members: list[tuple[bytes, str]] = []  # of the batch: the first two, name and first character
        self._opening = ""  # of the batch
        self._fields: dict[str, Part] = {}  # of the operation that is open, as is the next
        self._unknown: str | None = None

    def drawn(self) -> Iterator[None]:
        """Checks all of the body, in slices; afterwards everything here is known. Raises NotJson."""
        return scan(self._body, self._max_depth, LEVELS, self._note)

    @property
    def is_one_list(self) -> bool:
        """Whether the batch is `{"operations": […]}`."""
        return self._opening == "{" and self._members == [(b"operations", "[")]

    def _note(self, level: int, name: bytes, start: int, end: int) -> None:
        match level:
            case 3 if len(self.operations) < self._most:
                self._note_field(name, start, end)
            case 2 if len(self.operations) < self._most:
                self.operations.append(Operation(self._opening_at(start), self._fields, self._unknown))
                self._fields, self._unknown = {}, None
            case 1 if len(self._members) < 2:
                self._members.append((name, self._opening_at(start)))
            case 0:
                self._opening = self._opening_at(start)

    def _note_field(self, name: bytes, start: int, end: int) -> None:
        if name in self._known:
            self._fields[self._known[name]] = Part(self._body, start, end)
        elif self._unknown is None:
            self._unknown = beginning(name)

    def _opening_at(self, start: int) -> str:
        return chr(self._body[start])
