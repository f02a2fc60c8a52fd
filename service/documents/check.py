"""Whether a body is a JSON document that every reader understands alike, and what is where in it. Pure.

The bytes stay as they are: the grammar is `service.json_text`'s, this makes refusals of what it finds, and cuts parts
out of a document as they are written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from service.http.problems import bad_request
from service.json_text import NotJson, end_of, scan, unescaped

MAX_DEPTH = 128
"""Arrays and objects inside of one another. Readers in other languages give up at 500 or so."""

_BETWEEN = re.compile(rb"[^ \t\r\n,:]")


def check_document(document: bytes, max_depth: int = MAX_DEPTH) -> None:
    """Raises Refused (400) unless `document` is one JSON text in UTF-8 that is nested at most `max_depth` deep.

    Nor may an object in it name a member twice.
    """
    for _ in checking(document, max_depth):
        pass


def checking(document: bytes, max_depth: int = MAX_DEPTH) -> Iterator[None]:
    """The same, in slices of well under a millisecond: at each pause others may be let to their turn."""
    try:
        yield from scan(document, max_depth)
    except NotJson as error:
        raise bad_request("invalid-json", f"The body is not an acceptable JSON document: {error}.") from None


@dataclass(frozen=True, slots=True)
class Part:
    """A value within a document that has passed `check_document`: where it is written, and nothing evaluated yet."""

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

    def parts(self) -> Iterator[Part]:
        """What this array or object holds; an object's names and values in turn."""
        at = _next(self.text, self.start + 1)
        while self.text[at] not in b"]}":
            end = end_of(self.text, at)
            yield Part(self.text, at, end)
            at = _next(self.text, end)

    def members(self) -> dict[str, Part]:
        """What this object holds, by name."""
        parts = self.parts()
        return {name.string(): value for name, value in zip(parts, parts, strict=True)}


def whole(document: bytes) -> Part:
    """All of a document that has passed `check_document`."""
    start = _next(document, 0)
    return Part(document, start, end_of(document, start))


def _next(text: bytes, at: int) -> int:
    """Where the next part begins, or what holds it ends: only blanks, commas and colons are between."""
    found = _BETWEEN.search(text, at)
    assert found, "a document that has been checked ends with a part"
    return found.start()
