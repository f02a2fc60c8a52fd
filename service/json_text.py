"""Whether bytes are one JSON text (RFC 8259), found token by token: nothing is built, whatever the text would become.

Owns the grammar. Refuses, with what is wrong and where: what is no JSON text in UTF-8, what is nested too deep, and an
object that names a member twice, at any depth (RFC 8259, 4: readers differ in which one counts). Numbers are not
evaluated, so one of 5,000 digits is fine. Pure.

What is kept meanwhile: one set of names for each object that is open, and nothing of what is closed. A parser builds
about 60 bytes for each byte of `[{"":0},{"":0},…]`.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from typing import Any

STEPS = 256
"""Values looked at between two pauses: a few tenths of a millisecond."""

SLICE = 32 * 1024
"""Bytes that are decoded at once: text may take four times as much."""

# Every repetition is possessive: to try again behind each quote of a string that never ends would take time squared.
_BLANK = rb"[ \t\n\r]*+"
_CHARACTERS = rb'(?:[^"\\\x00-\x1f]++|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})*+'
_NUMBER = rb"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE][+-]?+[0-9]++)?+"
_SIMPLE = rb'(?:"' + _CHARACTERS + rb'"|' + _NUMBER + rb"|true|false|null)" + _BLANK
_VALUE = rb"(?:" + _SIMPLE + rb"([,\]}]|\Z)|([\[{]))" + _BLANK
_NAME = rb'"(' + _CHARACTERS + rb')"' + _BLANK

_START = re.compile(_BLANK)
_ITEM = re.compile(_VALUE)
_MEMBER = re.compile(_NAME + rb":" + _BLANK + _VALUE)
_CLOSED = re.compile(rb"([\]}])" + _BLANK)
_AFTER = re.compile(rb"([,\]}]|\Z)" + _BLANK)

# Of what has passed: it may look less closely.
_WHOLE = re.compile(_SIMPLE.removesuffix(_BLANK))
_BRACKET = re.compile(rb'(?:[^"\[\]{}]++|"(?:[^"\\]++|\\.)*+")*+([\[\]{}])', re.DOTALL)

# Of what has not: to say what is wrong.
_BEGUN = re.compile(_NAME)
_COLON = re.compile(rb":" + _BLANK)
_ENDED = re.compile(_SIMPLE)
_CONSTANT = re.compile(rb"NaN|-?Infinity")


class NotJson(ValueError):
    """The bytes are not acceptable. The message says why, and where: lines and columns count from 1, in characters."""


def scan(text: bytes, max_depth: int) -> Iterator[None]:
    """Looks at all of `text`, and pauses now and then, at each `next`. Raises NotJson.

    max_depth: arrays and objects inside of one another.
    """
    yield from _decode(text)
    around: list[set[bytes] | None] = []  # what is open around this: the names so far of an object, None for an array
    names: set[bytes] | None = None  # of the object that is open here
    at, steps = _end(_START.match(text)), 0
    while True:
        steps += 1
        if steps % STEPS == 0:
            yield
        if names is None:
            found = _ITEM.match(text, at)
            if found is None:
                raise _what_is_wrong(text, at, within_object=False)
            ended, opened = found.groups()
        else:
            found = _MEMBER.match(text, at)
            if found is None:
                raise _what_is_wrong(text, at, within_object=True)
            name, ended, opened = found.groups()
            if b"\\" in name:
                name = _without_escapes(name)
            if name in names:
                raise _error("a name is given twice in one object", text, at)
            names.add(name)
        at = found.end()
        if opened:
            if len(around) == max_depth:
                raise NotJson(f"it is nested more than {max_depth} deep")
            around.append(names)
            names = set() if opened == b"{" else None
            found = _CLOSED.match(text, at)
            if found is None:
                continue
            ended, at = found[1], found.end()
        while ended != b",":
            if not around and not ended:
                return
            if not around or ended != (b"]" if names is None else b"}"):
                raise _error("what is open here is not ended", text, at)
            names = around.pop()
            found = _AFTER.match(text, at)
            if found is None:
                raise _error("a comma or an end is expected", text, at)
            ended, at = found[1], found.end()
        if not around:
            raise _error("nothing may follow the document", text, at)


def end_of(text: bytes, start: int) -> int:
    """Where the value ends that begins at `start`, in a text that has passed `scan`."""
    if text[start] not in b"[{":
        return _end(_WHOLE.match(text, start))
    depth = 0
    for bracket in _BRACKET.finditer(text, start):
        depth += 1 if bracket[1] in b"[{" else -1
        if depth == 0:
            return bracket.end()
    raise AssertionError("a text that has passed ends what it begins")


def unescaped(string: bytes) -> str:
    """What a string says, quotes included; half of a surrogate pair may be in it, which no encoding can express."""
    return str(json.loads(string))


def distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """For `json.loads(…, object_pairs_hook=distinct)`, where a text is built. Raises NotJson for a second name."""
    members = dict(pairs)
    if len(members) < len(pairs):
        raise NotJson("a name is given twice in one object")  # not said which: it may be next to a secret
    return members


def _decode(text: bytes) -> Iterator[None]:
    if text.isascii():
        return
    decoder = codecs.getincrementaldecoder("utf-8")("strict")
    for start in range(0, len(text), SLICE):
        held = len(decoder.getstate()[0])  # of a character that the slice before has begun
        piece = text[start : start + SLICE]
        try:
            decoder.decode(piece, final=start + SLICE >= len(text))
        except UnicodeDecodeError as error:
            raise NotJson(f"byte {start - held + error.start} is not UTF-8") from None
        if start:
            yield


def _without_escapes(name: bytes) -> bytes:
    """As readers see it: `"a"` and `"\\u0061"` are one name."""
    return unescaped(b'"' + name + b'"').encode("utf-8", "surrogatepass")


def _what_is_wrong(text: bytes, at: int, *, within_object: bool) -> NotJson:
    """About the item or member that should begin here."""
    if within_object:
        begun = _BEGUN.match(text, at)
        if begun is None:
            return _error(_bad_string(text, at) or "a name in double quotes is expected", text, at)
        colon = _COLON.match(text, begun.end())
        if colon is None:
            return _error("a colon is expected", text, begun.end())
        at = colon.end()
    if constant := _CONSTANT.match(text, at):
        return _error(f"{constant[0].decode()} is not a JSON value", text, at)
    if ended := _ENDED.match(text, at):
        return _error("a comma or an end is expected", text, ended.end())
    return _error(_bad_string(text, at) or "a value is expected", text, at)


def _bad_string(text: bytes, at: int) -> str:
    if text[at : at + 1] != b'"':
        return ""
    return "a string has no end, a control character or an unknown escape"


def _error(reason: str, text: bytes, at: int) -> NotJson:
    line, line_start = text.count(b"\n", 0, at) + 1, text.rfind(b"\n", 0, at) + 1
    column = sum(byte & 0xC0 != 0x80 for byte in memoryview(text)[line_start:at]) + 1  # bytes that begin a character
    return NotJson(f"{reason} at line {line}, column {column}")


def _end(found: re.Match[bytes] | None) -> int:
    assert found, "the pattern matches here, whatever the text"
    return found.end()
