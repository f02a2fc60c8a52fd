"""What keys had at a revision of the past, for those who are told of changes (rule 18).

Owns which reads of the past are made, and that they are shared: by the token that they are asked as of, so that what
was read in a history that is lost is nobody's answer in another. Fills nothing: the cache learns by proofs (rule 5).
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from consistency.core.feed import ChangedKey, Named, Scope, Telling, Token, in_order
from consistency.core.model import NOBODY, Document, Revision, VersionEvent
from consistency.core.store import Store, TooLarge, Unavailable
from consistency.instance.crowd import Crowd
from consistency.instance.shared_reads import SharedReads
from consistency.instance.state import LocalState
from consistency.tasks import Errands

T = TypeVar("T")

TOLD_AT_ONCE = 1024 * 1024
"""Bytes of values that are told at once, unless one document or one transaction alone has more: a client that doesn't
read keeps so much here. What is left is told next."""

READS_AT_ONCE = 4
"""Reads of the past under way: an answer may take 16 MiB until what is too much of it has been let go."""

KEPT = 4 * 1024 * 1024
"""Bytes of what was told lately, of each kind, for those who are told the same a little later."""

PAGE = 200
PAGE_OF_NAMES = 1000
"""Documents in one page of a snapshot, with their values and without."""

AT_ONCE = 100
"""Keys in one read."""


@dataclass(frozen=True, slots=True)
class Page:
    """Part of a snapshot. place: the name from which on the rest is told; empty at the end of the whole."""

    telling: Telling
    place: bytes


class PastValues:
    """Belongs to one loop. `timeout`: seconds for each read."""

    def __init__(self, store: Store, state: LocalState, errands: Errands, crowd: Crowd, timeout: float) -> None:
        self._store = store
        self._state = state
        self._timeout = timeout
        self._turns = asyncio.Semaphore(READS_AT_ONCE)
        self._tellings = SharedReads[Telling]("feed-read", errands, crowd, _size, KEPT)
        self._documents = SharedReads[Document | None]("feed-read", errands, crowd, _document_size, KEPT)
        self._pages = SharedReads[Page]("feed-read", errands, crowd, lambda page: _size(page.telling), KEPT)

    async def telling(self, scope: Scope, owed: Named, values: bool, *, whole: bool) -> Telling:
        """The owed keys as they are at `owed.to`; one object for all clients that are owed it.

        whole: it can't be told in parts. Raises TooLarge (unless whole), Compacted, Denied, Unavailable.
        """
        question = (scope, owed.first, owed.to, values)
        return await self._tellings.get(question, lambda: self._tell(owed, values, whole))

    async def page(self, scope: Scope, at: Token, values: bool) -> Page:
        """The documents of a scope as they stood at a token, from its place on. Raises as `telling` does."""
        return await self._pages.get((scope, at, values), lambda: self._page(scope, at.revision, at.place, values))

    async def _tell(self, owed: Named, values: bool, whole: bool) -> Telling:
        names = sorted(owed.names, key=in_order)
        known: dict[str, ChangedKey] = {}
        for name in names:
            if (change := self._known(name, owed, values)) is not None:
                known[name] = change
        _refuse_more(known.values(), whole)
        missing = [name for name in names if name not in known]
        for name, document in (await self._read(missing, owed.to, values, whole)).items():
            known[name] = _changed(name, document, owed.names[name].state.revision, values)
        _refuse_more(known.values(), whole)
        return Telling(tuple(_signed(known[name], owed.names[name]) for name in names))

    def _known(self, name: str, owed: Named, values: bool) -> ChangedKey | None:
        """What needs no read: a write of one kind says itself what it did, and an entry may be current at `to`."""
        event = owed.names[name]
        if not values and event.op in ("put", "delete"):
            return ChangedKey(name, event.op, event.state.revision)
        entry = self._state.value_at(name, owed.to.revision)
        if entry is None:
            return None
        if entry.value is None:
            return ChangedKey(name, "delete", event.state.revision)
        return ChangedKey(name, "put", entry.mod_revision, entry.value if values else None)

    async def _read(self, names: Sequence[str], at: Token, values: bool, whole: bool) -> Mapping[str, Document | None]:
        if len(names) == 1:  # the usual case: other scopes that it concerns ask for the same
            (name,), then = names, at.revision
            return {name: await self._documents.get((name, at, values), lambda: self._read_one(name, then, values))}
        found: dict[str, Document | None] = {}
        for start in range(0, len(names), AT_ONCE):
            found |= await self._read_some(names[start : start + AT_ONCE], at.revision, values, whole)
        return found

    async def _read_one(self, name: str, at: Revision, values: bool) -> Document | None:
        (document,) = await self._in_turn(
            lambda: self._store.values((name,), at, names_only=not values, timeout=self._timeout)
        )
        return document

    async def _read_some(
        self, names: Sequence[str], at: Revision, values: bool, whole: bool
    ) -> dict[str, Document | None]:
        try:
            documents = await self._in_turn(
                lambda: self._store.values(names, at, names_only=not values, timeout=self._timeout)
            )
        except TooLarge:
            if not whole or len(names) < 2:
                raise
            half = len(names) // 2
            return await self._read_some(names[:half], at, values, whole) | await self._read_some(
                names[half:], at, values, whole
            )
        return dict(zip(names, documents, strict=True))

    async def _page(self, scope: Scope, at: Revision, place: bytes, values: bool) -> Page:
        """Keys and prefixes in the order of their bytes; a page is of keys, or of one prefix."""
        parts = [part for part in scope.parts() if _is_left(part, place)]
        keys = [name for name, _ in itertools.takewhile(lambda part: not part[1], parts)]
        if keys:
            found = await self._read_first(keys, at, values)
            there = [(key, document) for key, document in found.items() if document is not None]
            told = _fitting(there)
            if len(told) < len(there):
                return Page(_telling(told, values), in_order(there[len(told)][0]))
            return Page(_telling(told, values), _start_of(parts[len(found) :]))
        if not parts:
            return Page(Telling(()), b"")
        prefix = parts[0][0]
        scan = await self._in_turn(
            lambda: self._store.scan(
                prefix,
                after=max(place, in_order(prefix)),
                limit=PAGE if values else PAGE_OF_NAMES,
                at=at,
                names_only=not values,
                timeout=self._timeout,
            )
        )
        told = _fitting(scan.documents)
        more = scan.more or len(told) < len(scan.documents)
        return Page(_telling(told, values), in_order(told[-1][0]) + b"\x00" if more else _start_of(parts[1:]))

    async def _read_first(self, keys: Sequence[str], at: Revision, values: bool) -> dict[str, Document | None]:
        """As many of the first keys as one read takes."""
        try:
            return await self._read_some(keys, at, values, whole=False)
        except TooLarge:
            if len(keys) < 2:
                raise
            return await self._read_first(keys[: len(keys) // 2], at, values)

    async def _in_turn(self, read: Callable[[], Awaitable[T]]) -> T:
        """What a read returns, when few enough are under way. Raises Unavailable when that takes too long."""
        try:
            async with asyncio.timeout(self._timeout):
                await self._turns.acquire()
        except TimeoutError:
            raise Unavailable("too many reads of the past are under way") from None
        try:
            return await read()
        finally:
            self._turns.release()


def _is_left(part: tuple[str, bool], place: bytes) -> bool:
    """Whether anything of a part of a scope is at the place, or after it."""
    name, is_prefix = in_order(part[0]), part[1]
    return name >= place or (is_prefix and place.startswith(name))


def _start_of(parts: Sequence[tuple[str, bool]]) -> bytes:
    return in_order(parts[0][0]) if parts else b""


def _fitting(documents: Sequence[tuple[str, Document]]) -> Sequence[tuple[str, Document]]:
    """The first of them, as many as are told at once."""
    left = TOLD_AT_ONCE
    for number, (_, document) in enumerate(documents):
        left -= len(document.data)
        if left < 0:
            return documents[: max(1, number)]
    return documents


def _refuse_more(changes: Collection[ChangedKey], whole: bool) -> None:
    """Raises TooLarge when these are more than is told at once, and can be told in parts."""
    if not whole and len(changes) > 1 and sum(len(each.value or b"") for each in changes) > TOLD_AT_ONCE:
        raise TooLarge(f"what has changed has more than {TOLD_AT_ONCE} bytes")


def _telling(documents: Iterable[tuple[str, Document]], values: bool) -> Telling:
    return Telling(tuple(_changed(key, document, 0, values) for key, document in documents))


def _changed(name: str, document: Document | None, gone_at: Revision, values: bool) -> ChangedKey:
    if document is None:
        return ChangedKey(name, "delete", gone_at)
    return ChangedKey(name, "put", document.mod_revision, document.data if values else None)


def _signed(change: ChangedKey, event: VersionEvent) -> ChangedKey:
    """With its author, if it was this version's writer: what stands there may have been put past the service since."""
    author = event.authors.of(change.key)
    return change if author == NOBODY or change.mod_revision != event.state.revision else replace(change, author=author)


OVERHEAD = 200
"""Bytes of a key that is told, beyond its name and its value."""


def _size(telling: Telling) -> int:
    return OVERHEAD + sum(
        OVERHEAD + len(each.key) + len(each.value or b"") + each.author.memory for each in telling.changes
    )


def _document_size(document: Document | None) -> int:
    return OVERHEAD + (len(document.data) if document else 0)
