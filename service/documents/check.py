"""Whether a body is a JSON document that every reader understands alike, and what is where in it. Pure.

The bytes stay as they are: the grammar is `service.json_text`'s, this makes refusals of what it finds, and takes
parts of a document as they are written. A long check lets others to their turn: one of 1 MiB takes up to 300 ms.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from service.http.problems import bad_request
from service.json_text import NotJson, Tell, ignored, scan, unescaped
from service.turns import in_turns

MAX_DEPTH = 128
"""Arrays and objects inside of one another. Readers in other languages give up at 500 or so."""


def check_document(document: bytes, max_depth: int = MAX_DEPTH) -> None:
    """Raises Refused (400) unless `document` is one JSON text in UTF-8, nested at most `max_depth` deep.

    An object in it that names a member twice is refused as well.
    """
    for _ in checking(document, max_depth):
        pass


async def check(document: bytes, max_depth: int = MAX_DEPTH) -> None:
    """The same, on a loop that others are served by."""
    await in_turns(checking(document, max_depth))


def checking(document: bytes, max_depth: int = MAX_DEPTH, levels: int = 0, tell: Tell = ignored) -> Iterator[None]:
    """The same, in slices of well under a millisecond. For `levels` and `tell` see `service.json_text.scan`."""
    try:
        yield from scan(document, max_depth, levels, tell)
    except NotJson as error:
        raise bad_request("invalid-json", f"The body is not an acceptable JSON document: {error}.") from None


@dataclass(frozen=True, slots=True)
class Part:
    """A value within a document that has passed the check: where it is written, and nothing evaluated yet."""

    text: bytes
    start: int
    end: int

    @property
    def raw(self) -> bytes:
        """As it is written, byte for byte."""
        return self.text[self.start : self.end]

    @property
    def opening(self) -> str:
        """The first character, which tells what it is: `{`, `[`, `"` or that of a number, true, false or null."""
        return chr(self.text[self.start])

    def string(self) -> str:
        """What this string says. It may have half of a surrogate pair in it, which no encoding can express."""
        return unescaped(self.raw)
