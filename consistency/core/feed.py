"""Rule 18 as a decision over values: what a client that holds the state as of a token is owed of its scope.

Pure: no I/O, no clock. The one idea is that of the cache: all content is a function of the version key. So whoever
holds the state at revision r of *this* history, and is told every name that a version after r bears, with the value
that each has at a later revision `to`, holds exactly the state at `to`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from consistency.core.known import Entry, History
from consistency.core.model import Revision, VersionEvent, VersionState
from consistency.core.records import NOBODY, Author

MOST_NAMES = 100
"""Names told at once, unless one transaction alone changed more. What is left is told next."""

MOST_PARTS = 64
"""Keys and prefixes in one scope."""

_MARK = re.compile(r"[0-9a-f]{32}")
_TOKEN = re.compile(r"([1-9][0-9]{0,18})-([0-9a-f]{32})(?:-([A-Za-z0-9_-]{1,2048}))?", re.ASCII)
_MAX_REVISION = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Scope:
    """Which keys somebody follows: these, and all that start with one of the prefixes. "" is the prefix of all.

    Two that mean the same are equal: what a prefix covers is not named beside it. Raises ValueError for none at all,
    and for more than MOST_PARTS.
    """

    keys: frozenset[str] = frozenset()
    prefixes: frozenset[str] = frozenset()
    _starts: tuple[str, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        given = frozenset(self.prefixes)
        prefixes = {each for each in given if not any(other != each and each.startswith(other) for other in given)}
        starts = tuple(sorted(prefixes))
        keys = frozenset(key for key in self.keys if not key.startswith(starts))
        if not 1 <= len(keys) + len(prefixes) <= MOST_PARTS:
            raise ValueError(f"a scope has 1 to {MOST_PARTS} keys and prefixes, not {len(keys) + len(prefixes)}")
        for name, value in (("keys", keys), ("prefixes", frozenset(prefixes)), ("_starts", starts)):
            object.__setattr__(self, name, value)

    def __contains__(self, name: str) -> bool:
        return name in self.keys or name.startswith(self._starts)

    def parts(self) -> list[tuple[str, bool]]:
        """Keys and prefixes in the order of their bytes, which is that of all keys in the scope.

        With each: whether it is a prefix.
        """
        parts = [*((key, False) for key in self.keys), *((prefix, True) for prefix in self.prefixes)]
        return sorted(parts, key=lambda part: in_order(part[0]))


def in_order(name: str) -> bytes:
    """What keys are ordered by."""
    return name.encode("utf-8", "surrogateescape")


@dataclass(frozen=True, slots=True)
class Token:
    """A place in a history: `revision` of the one in which `mark` stands for the last version at or before it.

    place: of a snapshot at `revision` that is not over: the name from which on the rest is to be told; else empty.
    """

    revision: Revision
    mark: str
    place: bytes = b""

    def __str__(self) -> str:
        told = f"{self.revision}-{self.mark}"
        return f"{told}-{base64.urlsafe_b64encode(self.place).decode().rstrip('=')}" if self.place else told

    @classmethod
    def parse(cls, text: str) -> Token:
        """What `str` wrote. Raises ValueError for anything else."""
        found = _TOKEN.fullmatch(text)
        if found is None or int(found[1]) > _MAX_REVISION:
            raise ValueError("it is none that was given out here")
        return cls(int(found[1]), found[2], _place(found[3]) if found[3] else b"")


def _place(written: str) -> bytes:
    try:
        return base64.b64decode(written + "=" * (-len(written) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        raise ValueError("its last part is none that was given out here") from None


def token_at(revision: Revision, version: VersionState) -> Token:
    """The token of `revision`, at which `version` is the last one."""
    return Token(revision, mark_of(version.nonce))


def mark_of(nonce: str) -> str:
    """A nonce as 32 hexadecimal digits: itself, unless somebody has put another kind of it by hand."""
    return nonce if _MARK.fullmatch(nonce) else hashlib.sha256(nonce.encode("utf-8", "replace")).hexdigest()[:32]


# What a client is owed: see `owed`.


@dataclass(frozen=True, slots=True)
class Nothing:
    """No key of the scope has changed since."""


@dataclass(frozen=True, slots=True)
class Named:
    """These keys have changed in (token, to], each last by the event that it names. more: others have after `to`.

    first: the revision of the first event. Clients that are owed the same from `first` to `to` are owed the same.
    """

    names: Mapping[str, VersionEvent]
    first: Revision
    to: Token
    more: bool


@dataclass(frozen=True, slots=True)
class Everything:
    """Anything may have changed: a version after the token says so."""


@dataclass(frozen=True, slots=True)
class Older:
    """The token is older than what is remembered here: the version key's own past has to be read from it on."""


@dataclass(frozen=True, slots=True)
class NotYet:
    """The token is ahead of what has been applied here: of another instance, or of another history (rule 10)."""


@dataclass(frozen=True, slots=True)
class OfAnother:
    """At the token's revision another version stands in this history: the one that it is from was lost (rule 8)."""


Owed = Nothing | Named | Everything | Older | NotYet | OfAnother


def owed(history: History, horizon: Revision, token: Token, scope: Scope, most: int = MOST_NAMES) -> Owed:
    """The changes of `scope` that an instance owes after `token`, by its `history`, which is complete up to `horizon`.

    most: names at once, unless one transaction alone changed more.
    """
    if not history.applied.count or token.revision > horizon:
        return NotYet()
    then = history.at(token.revision)
    if then is None:
        return Older()
    if mark_of(then.nonce) != token.mark:
        return OfAnother()
    if history.all_named_after(token.revision):
        return Everything()
    return _named(history.after(token.revision), scope, most)


def _named(events: Iterable[VersionEvent], scope: Scope, most: int) -> Named | Nothing:
    """The keys of `scope` that these name, up to the end of a transaction: one is told whole, or not yet."""
    names: dict[str, VersionEvent] = {}
    first, last = 0, None
    for event in events:
        concerned = [name for name in event.names or () if name in scope]
        if not concerned:
            continue
        if last is not None and len(names.keys() | set(concerned)) > most:
            return Named(names, first, token_at(last.state.revision, last.state), more=True)
        names |= dict.fromkeys(concerned, event)
        first, last = first or event.state.revision, event
    return Named(names, first, token_at(last.state.revision, last.state), more=False) if last else Nothing()


def is_value_at(entry: Entry, floor: Revision, horizon: Revision, revision: Revision) -> bool:
    """Whether what an entry holds is what its key had at `revision`.

    It is current from its mod_revision up to the horizon; that there is none is known from where that was seen.
    """
    since = entry.mod_revision if entry.value is not None else entry.validated_at
    return not entry.stale and floor <= entry.validated_at and since <= revision <= horizon


@dataclass(frozen=True, slots=True)
class ChangedKey:
    """One key as it stands at the end of what is told. op: "put" or "delete", at `mod_revision`.

    value: the document; None when it was deleted, and where no values are asked for. author: who did it; unknown for
    writes past the service, and in a reset.
    """

    key: str
    op: str
    mod_revision: Revision
    value: bytes | None = None
    author: Author = NOBODY


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Telling:
    """The keys that are told together; one object for all who are told the same."""

    changes: tuple[ChangedKey, ...]


@dataclass(frozen=True, slots=True)
class Told:
    """All that changed in the scope in (since, to]. Applied to the state at `since`, it gives exactly that at `to`.

    reset: why what is held has to be forgotten first: "asked" (there was no token), "everything" (a version says that
    anything may have changed), "compacted", "too much", "history" (another was found); else "". Then this is the scope
    itself, or its first part.
    more: there is more at once, after `to`. age: seconds since the last proof was sent, and the state at `to` was the
    newest at some moment since, if there is no more; None before the first proof.
    """

    since: Token | None
    to: Token
    age: float | None
    telling: Telling
    reset: str = ""
    more: bool = False

    @property
    def changes(self) -> tuple[ChangedKey, ...]:
        """The keys, in order; the last change of each."""
        return self.telling.changes


@dataclass(frozen=True, slots=True)
class Unproven:
    """That nothing has changed can't be said now: the last proof is too old. age: its age; None before the first."""

    age: float | None


NOTHING_TOLD = Telling(())
