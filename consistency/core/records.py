"""What a write puts besides its documents: who made it, the version, and what it leaves for the past. And how the watch
tells of it. Pure: frozen values, without I/O.

Owns the bounds of what is said of an author, and the form of it all in etcd. Nothing that a reader may rely on comes
from what is said of authors: what can't be read tells nothing, and the keys that a version names stay what they are.
"""

from __future__ import annotations

import enum
import json
import secrets
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from sys import getsizeof
from typing import Any

from consistency.core.holds import Intent
from consistency.core.policy import Kept
from consistency.core.versions import Revision, VersionState

# Who made a write

LONGEST_NAME = 128
"""Characters of the name of a token, and of the id of a request."""

LONGEST_REASON = 500
"""Characters of a reason."""

MOST_AUTHOR_BYTES = 32 * 1024
"""Bytes of all authors in one record: with 64 KiB behind its names, releases before this one still read it."""

MOST_AUTHORS = 100
"""Authors in one record: as many as keys."""

_PLACE = 6
"""Bytes that the number of a key may take: `, 99` and some."""


@dataclass(frozen=True, slots=True)
class Author:
    """by: the name of the token (never the token). request: its id. why: the reason that was given. "": not known.

    Raises ValueError for what is too long.
    """

    by: str = ""
    request: str = ""
    why: str = ""

    def __post_init__(self) -> None:
        told = (
            ("by", self.by, LONGEST_NAME),
            ("request", self.request, LONGEST_NAME),
            ("why", self.why, LONGEST_REASON),
        )
        for name, text, most in told:
            if len(text) > most:
                raise ValueError(f"{name} has at most {most} characters, not {len(text)}")

    def members(self) -> dict[str, str]:
        """What is known, as members of an object."""
        told = (("by", self.by), ("request", self.request), ("why", self.why))
        return {name: text for name, text in told if text}

    @property
    def size(self) -> int:
        """Bytes that it may take in a record, one key of its own included."""
        told = self.by + self.request + self.why
        return 64 + _PLACE + len(told) * (2 if told.isascii() else 12)

    @property
    def memory(self) -> int:
        """Bytes that it takes."""
        return getsizeof(self) + getsizeof(self.by) + getsizeof(self.request) + getsizeof(self.why)


NOBODY = Author()
"""Nothing is known of who it was."""


@dataclass(frozen=True, slots=True)
class Authors:
    """The authors of one version, each with the keys that he wrote; None: all of them."""

    parts: tuple[tuple[Author, frozenset[str] | None], ...] = ()

    @classmethod
    def of_each(cls, signed: Iterable[tuple[str, Author]]) -> Authors:
        """Return the authors of a version from its keys, each with who wrote it."""
        keys: dict[Author, set[str]] = {}
        for key, author in signed:
            keys.setdefault(author, set()).add(key)
        if len(keys) == 1:
            return cls.of_all(*keys)
        return cls(tuple((author, frozenset(named)) for author, named in keys.items() if author != NOBODY))

    @classmethod
    def of_all(cls, author: Author) -> Authors:
        """Return the authors of a version that one author wrote alone."""
        return cls(((author, None),)) if author != NOBODY else UNSIGNED

    @property
    def whole(self) -> Author:
        """The one author of the whole version; NOBODY if there are several, or none is known."""
        return next((author for author, keys in self.parts if keys is None), NOBODY)

    def of(self, key: str) -> Author:
        """Return who wrote this key, which the version names."""
        return next((author for author, keys in self.parts if keys is None or key in keys), NOBODY)

    def by_key(self, keys: Iterable[str]) -> dict[str, Author]:
        """Return who wrote each of these keys, which the version names."""
        found = dict.fromkeys(keys, self.whole)
        for author, named in self.parts:
            found.update(dict.fromkeys(named or (), author))
        return found

    @property
    def memory(self) -> int:
        """Bytes that these take, without the keys, which are the version's."""
        return sum(author.memory + getsizeof(keys) for author, keys in self.parts)

    def encoded(self, names: Sequence[str]) -> list[dict[str, Any]]:
        """As members of a record that bears these names. A key is told by its number among them."""
        numbers = {name: number for number, name in enumerate(names)}
        return [
            author.members() | ({} if keys is None else {"keys": sorted(numbers[key] for key in keys)})
            for author, keys in self.parts
        ]

    @classmethod
    def decoded(cls, found: object, names: Sequence[str]) -> Authors:
        """Reads what `encoded` wrote; of anything else, nobody."""
        try:
            if not isinstance(found, list) or len(found) > MOST_AUTHORS:
                return UNSIGNED
            return cls(tuple(_part(each, names) for each in found))
        except (ValueError, TypeError, AttributeError, IndexError):
            return UNSIGNED


UNSIGNED = Authors()
"""Nobody is known to have written any of it."""


def _part(found: dict[str, Any], names: Sequence[str]) -> tuple[Author, frozenset[str] | None]:
    told = found.get("by", ""), found.get("request", ""), found.get("why", "")
    "".join(told).encode()  # all of it is text, and none of it half of a surrogate pair, which could be told to nobody
    author = Author(*told)
    numbers: Collection[int] | None = found.get("keys")
    if numbers is None:
        return author, None
    if not all(isinstance(number, int) and number >= 0 for number in numbers):
        raise ValueError("not as it is written here")
    return author, frozenset(names[number] for number in numbers)


# The version


@dataclass(frozen=True, slots=True)
class VersionRecord:
    """What a write puts under the version key.

    `names` are the keys changed by the same transaction; None means "anything may have changed". `authors`: who wrote
    them, for those who are told; instances that don't know this member pass it over. `policy`: it has put another
    policy (rule 15). `kept`: each change has left a record (rule 19). `intent`: it has put this intent, and names no
    key yet (rule 16). `release`: it is the commit of the intent with this nonce.
    """

    nonce: str
    names: frozenset[str] | None
    op: str
    ack: bool = False
    authors: Authors = UNSIGNED
    policy: bool = False
    kept: bool = False
    intent: Intent | None = None
    release: str = ""

    def encode(self) -> bytes:
        """The JSON stored under `P/version`."""
        names = None if self.names is None else sorted(self.names)
        record: dict[str, Any] = {"nonce": self.nonce, "keys": names}
        if self.intent is not None:  # here, where a long list of names is read name by name
            record["hold"] = None if self.intent.keys is None else sorted(self.intent.keys)
            record["intent"] = self.intent.nonce
        record |= {"op": self.op, "ack": self.ack}
        if self.authors.parts:
            record["authors"] = self.authors.encoded(names or ())
        if self.policy:
            record["policy"] = True
        if self.kept:
            record["kept"] = True
        if self.release:
            record["release"] = self.release
        return json.dumps(record).encode()

    @classmethod
    def decode(cls, raw: bytes) -> VersionRecord:
        """Reads what `encode` wrote. Anything else, such as a value put by hand, means that all may have changed.

        A value that would take long to read means the same: the loop must not wait for it.
        """
        try:
            loaded = json.loads(raw) if len(raw) <= QUICK_TO_READ else _read_large(raw)
            nonce, names, op = loaded["nonce"], loaded["keys"], loaded.get("op", "")
            if not (isinstance(nonce, str) and isinstance(op, str) and (names is None or _are_names(names))):
                raise ValueError("not as it is written here")
            known = None if names is None else frozenset(names)
            authors = Authors.decoded(loaded.get("authors"), names or ())
            ack, policy, kept = (bool(loaded.get(name, False)) for name in ("ack", "policy", "kept"))
            intent, release = _intent(loaded), loaded.get("release", "")
            if not isinstance(release, str):
                raise ValueError("not as it is written here")
            return cls(nonce, known, op, ack, authors, policy, kept, intent, release)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return cls(nonce=f"unreadable:{raw[:64].hex()}", names=None, op="unreadable")


QUICK_TO_READ = 64 * 1024
"""Bytes of JSON that are read within a millisecond, whatever they are made of."""

LARGEST_VERSION = 320 * 1024
"""Bytes of the largest that is written here: 100 keys of 512 bytes, six bytes for each where JSON has to escape it."""

MOST_NAMES = 100
"""Names in a version that is larger than QUICK_TO_READ. Reading a few long ones is quick as well."""

_scan = json.JSONDecoder().raw_decode
_OPENING, _BETWEEN, _HELD, _CLOSING = '{"nonce": ', ', "keys": [', '], "hold": [', "], "


def _read_large(raw: bytes) -> dict[str, Any]:
    """Name by name, so that it ends where a record of ours would have ended. Raises ValueError for any other."""
    if len(raw) > LARGEST_VERSION:
        raise ValueError("larger than any that is written here")
    text = raw.decode()
    nonce, at = _string_at(text, _after(text, _OPENING, 0))
    at = _after(text, _BETWEEN, at)
    holds = text.startswith(_HELD, at)
    if holds:
        at += len(_HELD)
    names: list[str] = []
    while len(names) < MOST_NAMES:
        name, at = _string_at(text, at)
        names.append(name)
        if not text.startswith(", ", at):
            break
        at += len(", ")
    at = _after(text, _CLOSING, at)
    if len(text) - at > QUICK_TO_READ:
        raise ValueError("more than is written here")
    named = {"keys": [], "hold": names} if holds else {"keys": names}
    return {**json.loads("{" + text[at:]), "nonce": nonce, **named}


def _after(text: str, expected: str, at: int) -> int:
    if not text.startswith(expected, at):
        raise ValueError("not in the order in which it is written here")
    return at + len(expected)


def _string_at(text: str, at: int) -> tuple[str, int]:
    if not text.startswith('"', at):
        raise ValueError("no name")
    found, end = _scan(text, at)
    return str(found), end


def _intent(loaded: dict[str, Any]) -> Intent | None:
    if "intent" not in loaded:
        return None
    nonce, held = loaded["intent"], loaded["hold"]
    if not (isinstance(nonce, str) and (held is None or _are_names(held))):
        raise ValueError("not as it is written here")
    return Intent(nonce, None if held is None else frozenset(held))


def _are_names(found: object) -> bool:
    """Whether it is a list of what keys can be called: a surrogate that stands for no byte can't be asked for."""
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        return False
    "".join(found).encode("utf-8", "surrogateescape")
    return True


def new_nonce() -> str:
    """128 random bits, in hex."""
    return secrets.token_hex(16)


@dataclass(frozen=True, slots=True)
class VersionEvent:
    """One change of the version key, seen by the watch. A deletion has `state.count` 0."""

    state: VersionState
    names: frozenset[str] | None
    ack: bool = False
    op: str = ""
    authors: Authors = UNSIGNED
    policy: bool = False
    kept: bool = False
    intent: Intent | None = None
    release: str = ""


# The past


class Op(enum.StrEnum):
    """What a record tells of: a put, a delete, or that an audit has found a change made past the service (rule 13)."""

    PUT = "p"
    DELETE = "d"
    OUTSIDE = "o"


OPS = {Op.PUT: "put", Op.DELETE: "delete", Op.OUTSIDE: "outside"}
"""As it is told."""

FRESH = "+"
"""In place of an op: beside the record of the same nonce, that there was no such key just before."""


DOUBTED = "!"
"""The same, where the writer has found that what it overwrote has left no record: somebody has put it past the service,
or an instance of an earlier release."""


@dataclass(frozen=True, slots=True)
class Keeping:
    """How a write leaves records: documents up to `max_bytes`; `at`: seconds since 1970."""

    max_bytes: int
    at: float

    @classmethod
    def by(cls, kept: Kept, now: float) -> Keeping | None:
        """As the policy says; None: not at all."""
        return cls(kept.max_bytes, now) if kept.keep else None


@dataclass(frozen=True, slots=True)
class Trace:
    """One record by its name.

    fresh: there was no such key just before. doubted: what was there just before has left no record.
    """

    mod_revision: Revision
    op: Op
    nonce: str
    fresh: bool = False
    doubted: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """Its own, and those of what stands beside it."""
        beside = ((FRESH, self.fresh), (DOUBTED, self.doubted))
        return self.nonce + self.op, *(self.nonce + kind for kind, there in beside if there)


@dataclass(frozen=True, slots=True)
class Record:
    """One change, as the past keeps it.

    at: seconds since 1970, None if that can't be read. size: of the document, in bytes.
    document: None for a delete, and where it was too large to be kept.
    """

    mod_revision: Revision
    op: Op
    at: float | None = None
    author: Author = NOBODY
    size: int = 0
    document: bytes | None = None

    def encode(self) -> bytes:
        """What is stored: a line of JSON, then the document."""
        head: dict[str, Any] = {"at": self.at, **self.author.members()}
        if self.op is Op.PUT:
            head |= {"size": self.size, "kept": self.document is not None}
        return json.dumps(head).encode() + b"\n" + (self.document or b"")

    @classmethod
    def decode(cls, trace: Trace, raw: bytes) -> Record:
        """Reads what `encode` wrote; of anything else nothing is known but the change itself."""
        line, _, document = raw.partition(b"\n")
        try:
            head = json.loads(line)
            at, size, kept = float(head["at"]), int(head.get("size", 0)), head.get("kept") is True
            author = Author(*(str(head.get(name, "")) for name in ("by", "request", "why")))
            "".join((author.by, author.request, author.why)).encode()
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return cls(trace.mod_revision, trace.op)
        whole = kept and trace.op is Op.PUT and size == len(document)
        return cls(trace.mod_revision, trace.op, at, author, size, document if whole else None)
