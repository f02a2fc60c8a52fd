"""Whether bytes are one JSON text (RFC 8259), found token by token: nothing is built, whatever the text would become.

Owns the grammar's structure; its tokens, and what is wrong with them, are `service.json_tokens`'. Refuses, with what
is wrong and where: what is no JSON text in UTF-8, what is nested too deep, and an object that names a member twice, at
any depth (RFC 8259, 4: readers differ in which one counts). Numbers are not evaluated, so one of 5,000 digits is fine.
The bytes stay as they are; a part of them is taken as it is written. Pure.

What is kept meanwhile: the names of the objects that are open, and nothing of what is closed. A parser builds about 60
bytes for each byte of `[{"":0},{"":0},…]`.

Whatever the text: from one pause to the next it takes no more than some milliseconds. Strings with many escapes are
taken in pieces, and many names are kept in several sets: to let one of 100,000 grow takes 4 ms, to free it as much.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from itertools import chain

from service.json_tokens import AFTER, CLOSED, ITEM, MEMBER, START, NotJson, carefully, error_at, place

__all__ = ["MAX_DEPTH", "NotJson", "Part", "Tell", "beginning", "scan"]

MAX_DEPTH = 128
"""Arrays and objects inside of one another. Readers in other languages give up at 500 or so."""

STRIDE = 128
"""Bytes looked at between two pauses, and the value at their end: 64 values at most, which take some 0.05 ms. By that
whoever is served beside waits longer.

Bytes are counted, not values: 64 strings of 24 KiB would take 3 ms. Measured, on a loop that answers 8 clients
meanwhile: with 64 values they get as many answers as when the check goes on in a thread; with 256 half as many, each
three times as late.
"""

SLICE = 32 * 1024
"""Bytes that are decoded at once: text may take four times as much."""

AT_ONCE = 512
"""Bytes of a name with escapes that are decoded in one go, which costs the least."""

# What may be decoded by itself: a run of bytes up to the end of a character, or an escape, of both halves if it is one
# of a pair. So 2048 of them are 128 KiB at most.
_UNIT = rb"[^\\]{1,64}+[\x80-\xbf]{0,3}+|\\[^u]|\\u[dD][89abAB]..\\u[dD][c-fC-F]..|\\u...."
_UNITS = re.compile(rb"(?:" + _UNIT + rb"){1,2048}+", re.DOTALL)

SHOWN = 1024
"""Bytes of a name that is unknown which are kept."""

MOST_NAMES = 4096
"""In one set. Further names of the same object are divided among SETS more."""

SETS = 64

Tell = Callable[[int, bytes, int, int], None]
"""Is told of a value when it has ended: how many values it is in, its name in UTF-8 (an item's is empty), its first
byte, and the one behind its last."""


@dataclass(frozen=True, slots=True)
class Part:
    """A value within a text that has been scanned: where it is written, and nothing evaluated yet."""

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
        return _unescaped(self.raw)


def beginning(name: bytes) -> str:
    """Enough of a name to be shown: a message has no room for 1.5 MB, and to decode them may take 60 ms."""
    return codecs.getincrementaldecoder("utf-8")("surrogatepass").decode(name[:SHOWN])


def _ignored(level: int, name: bytes, start: int, end: int) -> None:
    """What is told to nobody."""
    del level, name, start, end


def scan(
    text: bytes, max_depth: int = MAX_DEPTH, levels: int = 0, tell: Tell = _ignored
) -> Generator[None, None, None]:
    """Looks at all of `text`, in slices of well under a millisecond. Raises NotJson.

    max_depth: arrays and objects inside of one another. levels: of how many `tell` is told, from the outermost one on.
    """
    yield from _decode(text)
    around: list[set[bytes] | None] = []
    more: dict[int, list[set[bytes]]] = {}
    try:
        yield from _scan(text, max_depth, levels, tell, around, more)
    except NotJson:
        yield  # to find the match that failed took its time, and so does the message
        yield from _forget([names for names in around if names], *more.values())
        raise


def _scan(
    text: bytes,
    max_depth: int,
    levels: int,
    tell: Tell,
    around: list[set[bytes] | None],
    more: dict[int, list[set[bytes]]],
) -> Iterator[None]:
    """around: what is open around this: the names so far of an object, None for an array.

    more: names of the objects that have very many, by their levels.
    """
    names: set[bytes] | None = None  # of the object that is open here
    begun: list[tuple[bytes, int]] = []  # name and first byte of what is open, if it is to be told
    level = start = end = 0
    first = START.match(text)
    assert first, "it matches here, whatever the text"
    at = first.end()
    pause = at + STRIDE
    while True:
        if at >= pause:
            yield
            pause = at + STRIDE
        here = at
        found = (ITEM if names is None else MEMBER).match(text, at)
        if found is None:
            name, start, end, ended, opened, at = yield from carefully(text, at, within_object=names is not None)
        else:
            if names is None:
                ended, opened = found.groups()
                name = b""
            else:
                name, ended, opened = found.groups()
            at = found.end()
            if level < levels:
                start, end = place(found)
        if names is not None:
            if b"\\" in name:
                name = _without_escapes(name) if len(name) <= AT_ONCE else (yield from _in_pieces(name))
            known = names if len(names) < MOST_NAMES or name in names else _one_of(more, level, name)
            if name in known:
                raise error_at("a name is given twice in one object", text, here)
            known.add(name)
        if opened:
            if level == max_depth:
                raise NotJson(f"it is nested more than {max_depth} deep")
            if level < levels:
                begun.append((name, start))
            level += 1
            around.append(names)
            names = set() if opened == b"{" else None
            found = CLOSED.match(text, at)
            if found is None:
                continue
            ended, at = found[1], found.end()
        elif level < levels:
            tell(level, name, start, end)
        while ended != b",":
            if not around and not ended:
                return
            if not around or ended != (b"]" if names is None else b"}"):
                raise error_at("what is open here is not ended", text, at)
            if more:
                yield from _forget(more.pop(level, []))
            names = around.pop()
            level -= 1
            if level < levels:
                tell(level, *begun.pop(), text.rindex(ended, 0, at) + 1)
            found = AFTER.match(text, at)
            if found is None:
                raise error_at("a comma or an end is expected", text, at)
            ended, at = found[1], found.end()
        if not around:
            raise error_at("nothing may follow the document", text, at)


def _one_of(more: dict[int, list[set[bytes]]], level: int, name: bytes) -> set[bytes]:
    """The set that a further name of this object belongs to."""
    sets = more.get(level)
    if sets is None:
        sets = more[level] = [set() for _ in range(SETS)]
    return sets[hash(name) % SETS]


def _forget(*those: list[set[bytes]]) -> Iterator[None]:
    """Frees names in slices. 1. A text with 150,000 names is refused. 2. Freed with the text, they would take 6 ms."""
    for names in chain(*those):
        names.clear()
        yield


def _unescaped(string: bytes) -> str:
    return str(json.loads(string))


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
    return _unescaped(b'"' + name + b'"').encode("utf-8", "surrogatepass")


def _in_pieces(name: bytes) -> Generator[None, None, bytes]:
    """The same, with pauses. In one go 1 MiB may take 8 ms."""
    pieces: list[bytes] = []
    for found in _UNITS.finditer(name):
        pieces.append(_without_escapes(found[0]))
        yield
    return b"".join(pieces)
