"""What is told of changes, as bytes: JSON for a long poll, events for a stream. Encoded once for all who are told it.

A document goes as a JSON string, in both: so it comes back byte for byte whatever it is (`JSON.parse` of an answer
with documents in it would change numbers, order and doubled names), it takes one line, and what another tool has put
there can't break the answer. What is not UTF-8 goes as `base64`. A key that no path can name is left out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from io import BytesIO
from typing import Any
from weakref import WeakKeyDictionary

from consistency.core.feed import ChangedKey, Telling, Told
from consistency.instance.crowd import Crowd, Waiter
from service.documents.listings import is_addressable, member_of
from service.json_encoding import encode, write_object
from service.turns import in_turns

_Write = Callable[[BytesIO, ChangedKey], Generator[None, None, None]]
"""In slices, into one buffer: 1.5 MB of control characters take 8 ms, and each copy of them 4."""


class Encoder:
    """One for an instance; belongs to its loop. left_out: is told of how many keys no client can be told."""

    def __init__(self, left_out: Callable[[int], None]) -> None:
        self._items = _Once(_write_item, b", ", left_out)
        self._events = _Once(_write_event, b"", left_out)

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
        items = await self._items.of(told.telling)
        more = b"true" if told.more else b"false"
        return b'%b, "changes": [%b], "more": %b}\n' % (encode(head)[:-1], items, more)

    async def events(self, told: Told) -> bytes:
        """What a stream tells, but for `reset` and `sync`. The very same bytes for all who are told it."""
        return await self._events.of(told.telling)


def reset(told: Told) -> bytes:
    """What is held is to be forgotten first; nothing where it is not."""
    return event("reset", {"revision": told.to.revision, "cause": told.reset}) if told.reset else b""


def sync(told: Told) -> bytes:
    """All up to here has been told. The only event that bears an id: nobody goes on from within a transaction."""
    to, more = str(told.to).encode(), b"true" if told.more else b"false"
    age = b"null" if told.age is None else b"%.3f" % told.age
    # Written by hand: the only thing that is made anew for each of a crowd.
    return b'id: %b\nevent: sync\ndata: {"to": "%b", "revision": %d, "age": %b, "more": %b}\n\n' % (
        to,
        to,
        told.to.revision,
        age,
        more,
    )


def stale(age: float | None) -> bytes:
    """That nothing has changed can't be said at the moment."""
    return event("stale", {"age": _age(age)})


def goodbye(reason: str, retry: int) -> bytes:
    """Come back, here or to another instance, after so many milliseconds."""
    return b"retry: %d\n%b" % (retry, event("goodbye", {"reason": reason}))


def event(name: str, document: dict[str, Any]) -> bytes:
    """One event of a stream: JSON has no line ends, so it is one line of data."""
    return b"event: %b\ndata: %b\n\n" % (name.encode(), encode(document))


class _Once:
    """Encodes what is told together, once. left_out: is told of how many keys each client is not told."""

    def __init__(self, write: _Write, between: bytes, left_out: Callable[[int], None]) -> None:
        self._write = write
        self._between = between
        self._left_out = left_out
        self._crowd = Crowd()
        self._done: WeakKeyDictionary[Telling, tuple[bytes, int]] = WeakKeyDictionary()
        self._under_way: WeakKeyDictionary[Telling, list[Waiter]] = WeakKeyDictionary()

    async def of(self, telling: Telling) -> bytes:
        while (done := self._done.get(telling)) is None:
            if (others := self._under_way.get(telling)) is not None:
                waiter: Waiter = asyncio.get_running_loop().create_future()
                others.append(waiter)
                await waiter  # it may have been cancelled: then it is done anew
                continue
            waiters = self._under_way[telling] = []
            try:
                whole = BytesIO()
                hidden = await in_turns(self._write_all(whole, telling))
                self._done[telling] = whole.getvalue(), hidden
            finally:
                del self._under_way[telling]
                self._crowd.wake(waiters)
        content, hidden = done
        if hidden:
            self._left_out(hidden)
        return content

    def _write_all(self, into: BytesIO, telling: Telling) -> Generator[None, None, int]:
        """Return how many keys are left out."""
        hidden = 0
        for change in telling.changes:
            if is_addressable(change.key):
                if into.tell():
                    into.write(self._between)
                yield from self._write(into, change)
            else:
                hidden += 1
            yield
        return hidden


def _write_item(into: BytesIO, change: ChangedKey) -> Generator[None, None, None]:
    about = {"key": change.key, "op": change.op, "mod_revision": change.mod_revision}
    yield from write_object(into, about, _rest(change))


def _write_event(into: BytesIO, change: ChangedKey) -> Generator[None, None, None]:
    """As `event`."""
    into.write(b"event: %b\ndata: " % change.op.encode())
    yield from write_object(into, {"key": change.key, "mod_revision": change.mod_revision}, _rest(change))
    into.write(b"\n\n")


def _rest(change: ChangedKey) -> dict[str, str]:
    """The document, and who wrote it and why, where that is known."""
    author = (("by", change.author.by), ("why", change.author.why))
    value = {} if change.value is None else member_of(change.value)
    return value | {name: text for name, text in author if text}


def _age(age: float | None) -> float | None:
    return None if age is None else round(age, 3)
