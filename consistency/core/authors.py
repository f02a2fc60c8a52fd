"""Who made a write, by which request, and why: what its version carries for those who are told of it. Pure.

Owns the bounds of what is said, and its form in a version's record. Nothing that a reader may rely on comes from here:
what can't be read tells nothing, and the keys that a version names stay what they are.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from sys import getsizeof
from typing import Any

LONGEST_NAME = 128
"""Characters of the name of a token, and of the id of a request."""

LONGEST_REASON = 500
"""Characters of a reason."""

MOST_BYTES = 32 * 1024
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
