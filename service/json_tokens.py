"""The tokens of JSON (RFC 8259), quick and careful: one match for a value, or piece by piece with what is wrong. Pure.

The quick way takes one value, with its name, in one match, and gives up on a string with very many escapes as on what
is no token at all. The careful way takes such a string in pieces, with pauses, or says what is wrong and where.
"""

from __future__ import annotations

import re
from collections.abc import Generator

PIECE = 2048
"""Escapes, and runs without one, of a string that are taken at once: some tenths of a millisecond."""

RUN = 128
"""Bytes without an escape that count as one run: so a quarter of a megabyte is taken at once: half a millisecond."""

# Every repetition is possessive: to try again behind each quote of a string that never ends would take time squared.
_BLANK = rb"[ \t\n\r]*+"
_PIECE = rb'(?:[^"\\\x00-\x1f]{1,%d}+|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4}){0,%d}+' % (RUN, PIECE)
_PLAIN = rb"(?:-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE][+-]?+[0-9]++)?+|true|false|null)"
_STRING = rb'"' + _PIECE + rb'"'
_VALUE = rb"(?:(?:" + _STRING + rb"|" + _PLAIN + rb")" + _BLANK + rb"(?P<behind>[,\]}]|\Z)|([\[{]))" + _BLANK

START = re.compile(_BLANK)
ITEM = re.compile(_VALUE)
"""Groups: what ends the value or is behind it, what it opens."""
MEMBER = re.compile(rb'"(' + _PIECE + rb')"' + _BLANK + rb":" + _BLANK + _VALUE)
"""Groups: the name as it is written, and those of the value."""
CLOSED = re.compile(rb"([\]}])" + _BLANK)
AFTER = re.compile(rb"([,\]}]|\Z)" + _BLANK)

_PART = re.compile(_PIECE)
_COLON = re.compile(_BLANK + rb":" + _BLANK)
_SIMPLE = re.compile(_PLAIN)
_OPENED = re.compile(rb"([\[{])" + _BLANK)
_CONSTANT = re.compile(rb"NaN|-?Infinity")
_BLANKS = b" \t\n\r"
_WITHIN_CHARACTERS = bytes(range(0x80, 0xC0))  # in UTF-8: not the first byte of one

Token = tuple[bytes, int, int, bytes | None, bytes | None, int]
"""Name, where the value begins and ends, what ends it or is behind it, what it opens, where the next one begins."""


class NotJson(ValueError):
    """The bytes are not acceptable. The message says why, and where: lines and columns count from 1, in characters."""


def carefully(text: bytes, at: int, *, within_object: bool) -> Generator[None, None, Token]:
    """The item or member that begins here, with pauses. Raises NotJson if there is none."""
    yield  # to find out that the quick way leads nowhere took its time
    name = b""
    if within_object:
        if text[at : at + 1] != b'"':
            raise error_at("a name in double quotes is expected", text, at)
        end = yield from _string(text, at)
        name, at = text[at + 1 : end - 1], _behind_blanks(text, end)
        colon = _COLON.match(text, at)
        if colon is None:
            raise error_at("a colon is expected", text, at)
        at = colon.end()
    if opened := _OPENED.match(text, at):
        return name, at, at, None, opened[1], opened.end()
    if constant := _CONSTANT.match(text, at):
        raise error_at(f"{constant[0].decode()} is not a JSON value", text, at)
    if text[at : at + 1] == b'"':
        end = yield from _string(text, at)
    elif simple := _SIMPLE.match(text, at):
        end = simple.end()
    else:
        raise error_at("a value is expected", text, at)
    behind = _behind_blanks(text, end)
    ended = AFTER.match(text, behind)
    if ended is None:
        raise error_at("a comma or an end is expected", text, behind)
    return name, at, end, ended[1], None, ended.end()


def place(found: re.Match[bytes]) -> tuple[int, int]:
    """Where the value of an ITEM or a MEMBER begins, and where it ends, if that is in the match."""
    start = found.start() if found.re is ITEM else matched(_COLON.match(found.string, found.end(1) + 1)).end()
    behind = found.start("behind")
    if behind < 0:
        return start, start
    return start, start + len(found.string[start:behind].rstrip(_BLANKS))


def error_at(reason: str, text: bytes, at: int) -> NotJson:
    """What is wrong, and where."""
    return _NotJsonAt(reason, text, at)


class _NotJsonAt(NotJson):
    """Counts lines and columns when the message is asked for: in 1 MiB that takes 2 ms."""

    def __init__(self, reason: str, text: bytes, at: int) -> None:
        super().__init__(reason, text, at)

    def __str__(self) -> str:
        reason, text, at = self.args
        line, line_start = text.count(b"\n", 0, at) + 1, text.rfind(b"\n", 0, at) + 1
        column = len(text[line_start:at].translate(None, _WITHIN_CHARACTERS)) + 1
        return f"{reason} at line {line}, column {column}"


def matched(found: re.Match[bytes] | None) -> re.Match[bytes]:
    """Return the match of a pattern that matches here, whatever the text."""
    assert found, "the pattern matches here, whatever the text"
    return found


def _string(text: bytes, start: int) -> Generator[None, None, int]:
    """Behind the string that begins here."""
    at = start + 1
    while (end := matched(_PART.match(text, at)).end()) > at:
        at = end
        yield
    if text[at : at + 1] != b'"':
        raise error_at("a string has no end, a control character or an unknown escape", text, start)
    return at + 1


def _behind_blanks(text: bytes, at: int) -> int:
    return matched(START.match(text, at)).end()
