"""What is told of changes, as bytes: JSON for a long poll, events for a stream. Encoded once for all who are told it.

A document goes as a JSON string, in both: so it comes back byte for byte whatever it is (`JSON.parse` of an answer
with documents in it would change numbers, order and doubled names), it takes one line, and what another tool has put
there can't break the answer. What is not UTF-8 goes as `base64`. A key that no path can name is left out.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Iterator
from typing import Any
from weakref import WeakKeyDictionary

from consistency.core.feed import ChangedKey, Telling, Told
from service.documents.listings import is_addressable
from service.turns import in_turns

_Encode = Callable[[ChangedKey], bytes]


class Encoder:
    """One for an instance; belongs to its loop. left_out: is told of how many keys no client can be told."""

    def __init__(self, left_out: Callable[[int], None]) -> None:
        self._left_out = left_out
        self._items = _Once(_item, b", ")
        self._events = _Once(_event, b"")

    async def answer(self, told: Told) -> bytes:
        """The body of an answer to a long poll."""
        head: dict[str, Any] = {
            "from": None if told.since is None else str(told.since),
            "to": str(told.to),
            "revision": told.to.revision,
            "age": _age(told.age),
            "reset": bool(told.reset),
        }
        if told.reset:
            head["cause"] = told.reset
        items = await self._items.of(self._shown(told))
        more = b"true" if told.more else b"false"
        return b'%b, "changes": [%b], "more": %b}\n' % (_dumped(head)[:-1], items, more)

    async def events(self, told: Told) -> bytes:
        """What a stream tells, but for `reset` and `sync`. The very same bytes for all who are told it."""
        return await self._events.of(self._shown(told))

    def _shown(self, told: Told) -> Telling:
        if hidden := sum(not is_addressable(change.key) for change in told.changes):
            self._left_out(hidden)
        return told.telling


def reset(told: Told) -> bytes:
    """What is held is to be forgotten first; nothing where it is not."""
    return event("reset", {"revision": told.to.revision, "cause": told.reset}) if told.reset else b""


def sync(told: Told) -> bytes:
    """All up to here has been told. The only event that bears an id: nobody goes on from within a transaction."""
    document = {"to": str(told.to), "revision": told.to.revision, "age": _age(told.age), "more": told.more}
    return b"id: %b\n%b" % (str(told.to).encode(), event("sync", document))


def stale(age: float | None) -> bytes:
    """That nothing has changed can't be said at the moment."""
    return event("stale", {"age": _age(age)})


def goodbye(reason: str, retry: int) -> bytes:
    """Come back, here or to another instance, after so many milliseconds."""
    return b"retry: %d\n%b" % (retry, event("goodbye", {"reason": reason}))


def event(name: str, document: dict[str, Any]) -> bytes:
    """One event of a stream: JSON has no line ends, so it is one line of data."""
    return b"event: %b\ndata: %b\n\n" % (name.encode(), _dumped(document))


class _Once:
    """Encodes what is told together, once."""

    def __init__(self, encode: _Encode, between: bytes) -> None:
        self._encode = encode
        self._between = between
        self._done: WeakKeyDictionary[Telling, bytes] = WeakKeyDictionary()
        self._under_way: WeakKeyDictionary[Telling, asyncio.Event] = WeakKeyDictionary()

    async def of(self, telling: Telling) -> bytes:
        while (done := self._done.get(telling)) is None:
            if (other := self._under_way.get(telling)) is not None:
                await other.wait()  # it may have been cancelled: then it is done anew
                continue
            over = self._under_way[telling] = asyncio.Event()
            try:
                pieces: list[bytes] = []
                await in_turns(self._encoding(telling, pieces))
                self._done[telling] = self._between.join(pieces)
            finally:
                del self._under_way[telling]
                over.set()
        return done

    def _encoding(self, telling: Telling, pieces: list[bytes]) -> Iterator[None]:
        for change in telling.changes:
            if is_addressable(change.key):
                pieces.append(self._encode(change))
                yield


def _item(change: ChangedKey) -> bytes:
    return _dumped({"key": change.key, "op": change.op, "mod_revision": change.mod_revision} | _rest(change))


def _event(change: ChangedKey) -> bytes:
    return event(change.op, {"key": change.key, "mod_revision": change.mod_revision} | _rest(change))


def _rest(change: ChangedKey) -> dict[str, str]:
    """The document, and who wrote it and why, where that is known."""
    author = (("by", change.author.by), ("why", change.author.why))
    return _value(change) | {name: text for name, text in author if text}


def _value(change: ChangedKey) -> dict[str, str]:
    if change.value is None:
        return {}
    try:
        return {"value": change.value.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(change.value).decode()}


def _age(age: float | None) -> float | None:
    return None if age is None else round(age, 3)


def _dumped(document: dict[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode()
