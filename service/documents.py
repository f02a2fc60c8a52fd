"""Whether bytes are a JSON document that every reader understands alike (RFC 8259). Pure; the bytes stay as they are.

Stricter than `json.loads`, which takes NaN and Infinity, guesses at encodings and runs out of stack on deep nesting;
and more lenient, since numbers are not evaluated here: a number of 5,000 digits is fine. A part of a document can be
cut out as it is written.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import NoReturn

from service.problems import Refused, bad_request

MAX_DEPTH = 128
"""Arrays and objects inside of one another. Readers in other languages give up at 500 or so."""

# A string that never ends goes on to the end: to try again behind each of its quotes would take time squared.
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_NO_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")
_BETWEEN = re.compile(r"[^ \t\r\n,:]")


def check_document(document: bytes, max_depth: int = MAX_DEPTH) -> None:
    """Raises Refused (400) unless `document` is one JSON text in UTF-8 that is nested at most `max_depth` deep."""
    try:
        text = document.decode("utf-8", "strict")
    except UnicodeDecodeError as error:
        raise _refusal(f"byte {error.start} is not UTF-8") from None
    if depth(document) > max_depth:
        raise _refusal(f"it is nested more than {max_depth} deep")
    try:
        _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise _refusal(f"{error.msg} at line {error.lineno}, column {error.colno}") from None


def depth(document: bytes) -> int:
    """How deep brackets are nested outside of strings. For other bytes at least what a parser meets."""
    brackets = _STRING.sub(b"", document).translate(None, delete=_NO_BRACKETS)
    return max(accumulate(1 if bracket in b"[{" else -1 for bracket in brackets), default=0)


@dataclass(frozen=True, slots=True)
class Part:
    """A value within a document that has passed `check_document`: where it is written, and nothing evaluated yet."""

    text: str
    start: int
    end: int

    @property
    def raw(self) -> bytes:
        """As it is written, byte for byte."""
        return self.text[self.start : self.end].encode()

    @property
    def opening(self) -> str:
        """The first character, which tells what it is: `{`, `[`, `"` or that of a number, true, false or null."""
        return self.text[self.start]

    def string(self) -> str:
        """What this string says. It may have half of a surrogate pair in it, which no encoding can express."""
        return str(_DECODER.raw_decode(self.text, self.start)[0])

    def parts(self) -> Iterator[Part]:
        """What this array or object holds; an object's names and values in turn."""
        at = _next(self.text, self.start + 1)
        while self.text[at] not in "]}":
            _, end = _DECODER.raw_decode(self.text, at)
            yield Part(self.text, at, end)
            at = _next(self.text, end)

    def members(self) -> dict[str, Part]:
        """What this object holds, by name. Raises Refused (400) when a name is given twice: which one counts?"""
        found: dict[str, Part] = {}
        parts = self.parts()
        for name, value in zip(parts, parts, strict=True):
            if found.setdefault(name.string(), value) is not value:
                raise _refusal("a name is given twice in one object")
        return found


def whole(document: bytes) -> Part:
    """All of a document that has passed `check_document`."""
    text = document.decode()
    return Part(text, _next(text, 0), len(text))


def _next(text: str, at: int) -> int:
    """Where the next part begins, or what holds it ends: only blanks, commas and colons are between."""
    found = _BETWEEN.search(text, at)
    assert found, "a document that has been checked ends with a part"
    return found.start()


def _ignore(_: str) -> None:
    """Numbers need not be evaluated, and some can't be."""


def _refuse_constant(name: str) -> NoReturn:
    raise _refusal(f"{name} is not a JSON value")


def _refusal(reason: str) -> Refused:
    return bad_request("invalid-json", f"The body is not an acceptable JSON document: {reason}.")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_int=_ignore, parse_float=_ignore)
