"""`FakeConfig`: a client without a service. A test says what happens; all of it goes through the real feed.

Nothing runs by itself: no thread, no socket, no clock. Listeners are told in the thread of the test, before the call
that changes something returns; what they raise comes out there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, TypeVar

from config_client.base import Delete, Options, Put, Reading
from config_client.changes import Backlog, Change
from config_client.connection import Connection
from config_client.core.feed import Connect, Phase
from config_client.core.replica import Update
from config_client.core.requests import path_of
from config_client.errors import Closed, InvalidValue, PreconditionFailed, TimedOut
from config_client.service import Written
from config_client.values import encoded

F = TypeVar("F", bound="FakeConfig")
GONE: Any = object()
"""Stands for a document that is deleted."""


class FakeHandle:
    """What `on_change` returns: to be closed, or left to the fake."""

    def __init__(self, close: Callable[[], None]) -> None:
        self.close = close


class FakeConfig(Reading):
    """A `ConfigClient` for tests: the same reads, listeners and writes, and what happens to it is scripted.

    with FakeConfig({"limits": {"rate": 5}}) as config:
        config.set(limits={"rate": 6})    # somebody changes it
        config.go_stale()                 # the service can't prove that nothing is newer
        config.lose("no route to host")   # no instance can be reached
        config.recover()                  # and all is well again, with whatever has changed meanwhile
    """

    def __init__(
        self,
        documents: Mapping[str, Any] | None = None,
        *,
        prefix: str = "",
        on_invalid: Callable[[InvalidValue], object] | None = None,
    ) -> None:
        super().__init__(Connection("http://fake.invalid"), prefix, Options())
        self._on_invalid = on_invalid
        self._now = 1000.0
        self._clock = lambda: self._now
        self._stored: dict[str, tuple[bytes, int]] = {}
        self._newest = 1
        self._timeline = 0
        for name, value in (documents or {}).items():
            self._store({name: value})

    # --- its life

    def __enter__(self: F) -> F:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self: F) -> F:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """As `ConfigClient.start`: what there is is read."""
        if self._is_open:
            raise Closed("a client starts once; make another")
        self._is_open = True
        self.recover()

    def close(self, within: float = 5.0) -> None:
        """As `ConfigClient.close`."""
        del within
        self._is_open = False

    # --- what happens to it

    def set(self, documents: Mapping[str, Any] | None = None, /, **more: Any) -> int:
        """Somebody writes these, in one transaction; return its revision. It is told of at once, unless it is lost."""
        return self._happens({**(documents or {}), **more})

    def remove(self, *names: str) -> int:
        """Somebody deletes these, in one transaction; return its revision."""
        return self._happens(dict.fromkeys(names, GONE))

    def go_stale(self) -> None:
        """The instance can't prove any more that nothing is newer: `state` is Stale."""
        self._receive(_event("stale", {"age": None}))

    def lose(self, why: str = "no route to host") -> None:
        """No instance can be reached, and a while passes: `state` is Lost. What is set meanwhile is not told."""
        self._feed.ended(why, self._now)
        self.pass_time(60.0)

    def recover(self, *, reset: bool = False) -> None:
        """An instance is reached again, and tells what has changed; reset: anew, since its history is gone."""
        self.pass_time(0.0)
        while self._feed.phase is Phase.WAITING:
            step = self._feed.next(self._now)
            if isinstance(step, Connect):
                self._feed.opened()
            else:
                self._now += step.seconds
        self._tell(reset=reset or not self._feed.view.token)

    def restore(self, documents: Mapping[str, Any]) -> None:
        """The service comes back from an older backup, which has these: all is told anew, at lower revisions."""
        self._stored, self._newest, self._timeline = {}, 1, self._timeline + 1
        self._store(documents)
        self._tell(reset=True)

    def pass_time(self, seconds: float) -> None:
        """Time passes, in which nothing comes."""
        self._now += seconds

    # --- what a client does

    def on_change(self, name: str, callback: Callable[[Change], object]) -> FakeHandle:
        """As `ConfigClient.on_change`, told in the thread of the test."""
        return self._listen(name, lambda changes: [callback(each) for each in changes])

    def on_update(self, callback: Callable[[list[Change]], object], name: str = "") -> FakeHandle:
        """As `ConfigClient.on_update`, told in the thread of the test."""
        return self._listen(name, callback)

    def wait_for(self, revision: int, timeout: float = 30.0) -> None:
        """As `ConfigClient.wait_for`; what has not come won't come by waiting."""
        if self.revision < revision:
            raise TimedOut(f"revision {revision} has not come within {timeout:g} s; {self.revision} is held")

    def put(
        self, name: str, value: Any, *, if_match: int | None = None, reason: str | None = None, sync: bool = False
    ) -> Written:
        """As `ConfigClient.put`."""
        return self.batch([Put(name, value, if_match)], reason=reason, sync=sync)

    def delete(
        self, name: str, *, if_match: int | None = None, reason: str | None = None, sync: bool = False
    ) -> Written:
        """As `ConfigClient.delete`."""
        return self.batch([Delete(name, if_match)], reason=reason, sync=sync)

    def batch(self, operations: Sequence[Put | Delete], *, reason: str | None = None, sync: bool = False) -> Written:
        """As `ConfigClient.batch`."""
        del reason, sync
        existed = []
        for index, each in enumerate(operations):
            found = self._stored.get(self.prefix + each.name)
            existed.append(found is not None)
            if each.if_match is not None and each.if_match != (found[1] if found else 0):
                said = f"{each.name}: it is at {found[1] if found else 'none'}"
                raise PreconditionFailed(said, status=412, kind="precondition-failed", index=index)
        changes = {each.name: each.value if isinstance(each, Put) else GONE for each in operations}
        return Written(self._happens(changes), tuple(existed))

    # --- inside

    def _happens(self, changes: Mapping[str, Any]) -> int:
        self._store(changes)
        if self._feed.phase is Phase.STREAMING:
            self._tell(reset=False)
        return self._newest

    def _store(self, changes: Mapping[str, Any]) -> None:
        for name in changes:
            path_of(self.prefix + name)  # it refuses what is no key, and so does a fake
        self._newest += 1
        for name, value in changes.items():
            if value is GONE:
                self._stored.pop(self.prefix + name, None)
            else:
                document = encoded(value)
                json.loads(document)  # the service refuses what is no JSON, and so does a fake
                self._stored[self.prefix + name] = (document, self._newest)

    def _tell(self, *, reset: bool) -> None:
        held = {} if reset else {key: each.mod_revision for key, each in self._feed.view.documents.items()}
        told = _event("reset", {"revision": self._newest, "cause": "history"}) if reset else b""
        for key, (value, revision) in self._stored.items():
            if held.get(key) != revision:
                told += _event("put", {"key": key, "mod_revision": revision, "value": value.decode()})
        for key in held.keys() - self._stored.keys():
            told += _event("delete", {"key": key, "mod_revision": self._newest})
        token = f"{self._newest}-{self._timeline}"
        self._receive(told + _event("sync", {"to": token, "revision": self._newest, "age": 0.0}))

    def _receive(self, chunk: bytes) -> None:
        update = self._feed.received(chunk, self._now)
        if update is None:
            return
        refused = self._memory.publish(update)
        self._feed.applied(update)
        for each in refused if self._on_invalid else ():
            assert self._on_invalid is not None
            self._on_invalid(each)

    def _listen(self, name: str, callback: Callable[[list[Change]], object]) -> FakeHandle:
        backlog = Backlog(self.prefix, name)

        def hear(update: Update) -> None:
            if backlog.add(update) and (changes := backlog.take()):
                callback(changes)

        self._memory.hear(hear)
        return FakeHandle(lambda: self._memory.forget(hear))


def _event(name: str, data: Mapping[str, Any]) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()
