"""`ConfigClient`: for programs with threads. Reads come from memory; one thread follows the changes."""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from types import TracebackType
from typing import Any

from config_client.base import Delete, Options, Put, Reading, made_connection
from config_client.changes import Backlog, Change, Refusals
from config_client.connection import Connection
from config_client.core.replica import Update
from config_client.errors import Closed, InvalidValue, TimedOut
from config_client.following import Follower
from config_client.listening import Listener
from config_client.service import Service, Written
from config_client.values import encoded

log = logging.getLogger("config_client")


class ConfigClient(Reading):
    """Configuration beneath a prefix, held in memory and told of every change.

    with ConfigClient("http://config.internal:8080", prefix="team/app/", fallback="/var/lib/app/config.json") as config:
        limits = config.get("limits", Limits)

    urls: one address or several; each instance, or what stands before them. prefix: names are those beneath it. token,
    or token_file, which is read anew for each connection. fallback, fallback_max_age, start_within, feed: see
    `Options`.
    on_invalid: called, on a thread of its own, with an InvalidValue for each document that its type refuses. Further
    arguments are those of `Connection`. Raises ConfigError for an argument that is wrong.

    After a fork the child follows the changes anew, by itself; listeners are told there, too.
    """

    def __init__(
        self,
        urls: str | Sequence[str],
        *,
        prefix: str = "",
        options: Options | None = None,
        on_invalid: Callable[[InvalidValue], object] | None = None,
        **connection: Any,
    ) -> None:
        own = {name: connection.pop(name) for name in Options.__dataclass_fields__ if name in connection}
        super().__init__(made_connection(urls, connection), prefix, options or Options(**own))
        self._on_invalid = on_invalid
        self._refusals = Refusals()
        self._listeners: list[Listener] = []
        self._invalid_listener: Listener | None = None
        self._is_closed = False

    @classmethod
    def over(cls, connection: Connection, *, prefix: str = "", **options: Any) -> ConfigClient:
        """Return a client of a `Connection` that there is already; options are those of the class."""
        given = {name: getattr(connection, name) for name in Connection.__dataclass_fields__ if name != "urls"}
        return cls(connection.urls, prefix=prefix, **given, **options)

    def _begin(self) -> None:
        """Make what holds locks, sockets and threads: at the start, and in a forked child."""
        self._moved = threading.Condition()  # told of each view, and of each attempt that has ended
        self._lock = threading.Lock()  # protects the list of listeners
        self._service = Service(self.connection)
        self._follower = Follower(
            self._feed, self.connection, self.prefix, clock=self._clock, apply=self._apply, moved=self._tell_moved
        )
        _alive.add(self)
        self._follower.start()

    # --- its life

    def __enter__(self) -> ConfigClient:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Return when there is something to read: from the service, else from the file, if that takes too long.

        Raises StartFailed, which says what was tried, and Closed.
        """
        if self._is_closed or self._is_open:
            raise Closed("a client starts once; make another")
        self._load()
        self._begin()
        until = time.monotonic() + self._options.start_within
        with self._moved:
            while not (self._told or self._feed.is_refused) and (left := until - time.monotonic()) > 0:
                self._moved.wait(left)
        if not self._told:
            failed = self._start_failed()
            if not self._memory.view.token:
                self.close()
                raise failed
            log.warning("it starts with the last known good of revision %d: %s", self.revision, "; ".join(failed.tried))
        self._is_open = True
        if self._on_invalid is not None:
            on_invalid = self._on_invalid
            self._invalid_listener = Listener(self._refusals, partial(_each, on_invalid), "on_invalid")
            self._listeners.append(self._invalid_listener)
            self._invalid_listener.start(lambda: None)

    def close(self, within: float = 5.0) -> None:
        """End all threads and connections; reads raise Closed from now on. It may be called twice.

        within: seconds for all of it. A listener that hangs is left behind, and the log says so.
        """
        self._is_open, self._is_closed = False, True
        if self not in _alive:
            return
        _alive.discard(self)
        until = time.monotonic() + within
        if not self._follower.close(within):
            log.warning("the client's thread has not ended within %g s; it is left behind", within)
        with self._lock:
            listeners, self._listeners = self._listeners, []
        for listener in listeners:
            listener.close(max(0.0, until - time.monotonic()))
        self._tell_moved()
        self._service.close()

    # --- being told

    def on_change(self, name: str, callback: Callable[[Change], object]) -> Listener:
        """Call back for each change of a name; of all names that begin so, if it ends with a slash or is empty.

        Returns a handle to close. The callback has a thread of its own: one that is slow is told the last change of
        each name, one that raises is logged and told further. It is told after memory and file have changed.
        """
        return self._listen(name, partial(_each, callback))

    def on_update(self, callback: Callable[[list[Change]], object], name: str = "") -> Listener:
        """As `on_change`, but call back once for all that has changed from one consistent state to another."""
        return self._listen(name, callback)

    def wait_for(self, revision: int, timeout: float = 30.0) -> None:
        """Return when what is read is no older than `revision`. Raises TimedOut, Closed."""
        if not self._is_open:
            self._refuse()
        until = time.monotonic() + timeout
        with self._moved:
            while self._memory.view.revision < revision:
                if not self._is_open:
                    self._refuse()
                left = until - time.monotonic()
                if left <= 0:
                    held = self._memory.view.revision
                    raise TimedOut(f"revision {revision} has not come within {timeout:g} s; {held} is held")
                self._moved.wait(left)

    # --- writes

    def put(
        self, name: str, value: Any, *, if_match: int | None = None, reason: str | None = None, sync: bool = False
    ) -> Written:
        """Write a document: any JSON value, a model of pydantic's, or bytes of JSON text.

        if_match: the mod_revision that it must bear; 0: there must be none. reason: why, for services that keep it.
        sync: return when no instance serves the old one. Memory has it when `wait_for(written.revision)` returns.
        Raises PreconditionFailed, Denied, Rejected, Unavailable: not done; OutcomeUnknown: perhaps.
        """
        key = self.prefix + name
        return self._open_service().put(key, encoded(value), if_match=if_match, reason=reason, sync=sync)

    def delete(
        self, name: str, *, if_match: int | None = None, reason: str | None = None, sync: bool = False
    ) -> Written:
        """Delete a document, if there is one. Arguments and errors are those of `put`."""
        return self._open_service().delete(self.prefix + name, if_match=if_match, reason=reason, sync=sync)

    def batch(self, operations: Sequence[Put | Delete], *, reason: str | None = None, sync: bool = False) -> Written:
        """Do up to 100 operations, all or nothing. Errors are those of `put`."""
        return self._open_service().batch([self._operation(each) for each in operations], reason=reason, sync=sync)

    # --- inside

    def _open_service(self) -> Service:
        if not self._is_open:
            self._refuse()
        return self._service

    def _listen(self, name: str, callback: Callable[[list[Change]], object]) -> Listener:
        if not self._is_open:
            self._refuse()
        backlog = Backlog(self.prefix, name)
        listener = Listener(backlog, callback, repr(name))

        def hear(update: Update) -> None:
            if backlog.add(update):
                listener.wake()

        def forget() -> None:
            self._memory.forget(hear)
            with self._lock:
                self._listeners = [each for each in self._listeners if each is not listener]

        with self._lock:
            self._listeners.append(listener)
        self._memory.hear(hear)
        listener.start(forget)
        return listener

    def _apply(self, update: Update) -> None:
        """Persist, then publish, then notify."""
        if self._keeper is not None and (update.names or not self._told or self._keeper.is_due()):
            self._keeper.keep(update.after, self._feed.proven_at)
        refused = self._memory.publish(update)
        self._told = True
        for each in refused:
            log.warning("a document is refused by its type: %s", each)
            self._refusals.add(each)
        if refused and self._invalid_listener is not None:
            self._invalid_listener.wake()
        self._tell_moved()

    def _tell_moved(self) -> None:
        with self._moved:
            self._moved.notify_all()

    def _begin_anew(self) -> None:
        """In a forked child: no thread has come along, and whoever held a lock is not here."""
        for listener in self._listeners:
            listener.after_fork()
        self._memory.after_fork()
        self._feed = self._make_feed(self._memory.view, self._feed.known_at)
        self._begin()
        for listener in self._listeners:
            listener.start_anew()


def _each(callback: Callable[[Any], object], told: list[Any]) -> None:
    """Call back for each, whatever the ones before have raised."""
    for each in told:
        try:
            callback(each)
        except Exception:
            log.exception("a listener has failed; it is told further")


_alive: weakref.WeakSet[ConfigClient] = weakref.WeakSet()


def _after_fork() -> None:
    for client in list(_alive):
        client._begin_anew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
