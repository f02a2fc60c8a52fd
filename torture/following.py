"""Clients that follow a scope by `/changes`, in both encodings, and write down all that they are told.

Each holds nothing but its token, and goes on from it at another instance, for ever: after an answer, after a stream has
lived for a while, after whatever went wrong. What it holds is the checker's to work out.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from http.client import HTTPConnection, HTTPException, HTTPResponse
from random import Random
from socket import SHUT_RDWR
from typing import Any
from urllib.parse import quote

from tests.support.events import EventReader, ServerEvent
from torture.followed import Told
from torture.history import CHECKED

PATIENCE = 15.0
"""Seconds without a word after which a stream is given up: it has one every 10 s."""

SCOPES: Sequence[tuple[tuple[str, ...], tuple[str, ...]]] = (
    ((CHECKED,), ()),
    ((f"{CHECKED}hot", f"{CHECKED}warm-1"), ()),
    ((f"{CHECKED}cold-1",), (f"{CHECKED}hot-0", f"{CHECKED}cold-2")),
    ((), (f"{CHECKED}hot-1", f"{CHECKED}warm-2")),
)
"""Prefixes and keys."""

Record = Callable[[Told], None]


class Follower:
    """One of them; `live` is its thread's. Even ones poll, odd ones read streams. scope: prefixes and keys."""

    def __init__(
        self,
        number: int,
        ports: Sequence[int],
        seed: int,
        record: Record,
        scope: tuple[tuple[str, ...], tuple[str, ...]] | None = None,
    ) -> None:
        self._number = number
        self._ports = ports
        self._random = Random(f"follower:{seed}:{number}")
        self._record = record
        self._prefixes, self._keys = scope or SCOPES[number // 2 % len(SCOPES)]
        self._streams = number % 2 == 1
        self._token = ""
        self._revision = 0  # of what is held; 0: nothing
        self._connection: HTTPConnection | None = None

    def live(self, ended: threading.Event) -> None:
        """Until it is told to end."""
        while not ended.is_set():
            instance = self._random.randrange(len(self._ports))
            connection = HTTPConnection("127.0.0.1", self._ports[instance], timeout=PATIENCE)
            invoked, self._connection = time.monotonic(), connection
            try:
                if self._streams:
                    self._stream(connection, instance, ended)
                else:
                    self._poll(connection, instance)
            except (OSError, HTTPException, ValueError) as error:
                self._note("lost", instance, invoked, note=f"{type(error).__name__}: {error}"[:100])
                ended.wait(0.2)
            finally:
                connection.close()

    def hang_up(self) -> None:
        """Wait for no more words. From another thread, once it is told to end."""
        socket = self._connection.sock if self._connection else None
        if socket is not None:
            with contextlib.suppress(OSError):  # it has been closed meanwhile
                socket.shutdown(SHUT_RDWR)

    def _poll(self, connection: HTTPConnection, instance: int) -> None:
        for _ in range(self._random.randrange(1, 20)):
            invoked = time.monotonic()
            response = self._ask(connection, {}, wait=self._random.choice((0, 1, 5)))
            body = response.read()
            if response.status != 200:
                self._refused(instance, invoked, response.status)
                return
            told = json.loads(body)
            changes = [(each["key"], each.get("value"), each["mod_revision"]) for each in told["changes"]]
            self._take(instance, invoked, told, changes, reset=told.get("cause", "") if told["reset"] else "")

    def _stream(self, connection: HTTPConnection, instance: int, ended: threading.Event) -> None:
        invoked = time.monotonic()
        response = self._ask(connection, {"Accept": "text/event-stream"})
        if response.status != 200:
            response.read()
            self._refused(instance, invoked, response.status)
            return
        ends = time.monotonic() + self._random.uniform(1.0, 40.0)
        reset, changes = "", list[tuple[str, str | None, int]]()
        for event in _events(response):
            match event.name:
                case "reset":
                    reset, changes = event.data["cause"], []
                case "put":
                    changes.append((event.data["key"], event.data["value"], event.data["mod_revision"]))
                case "delete":
                    changes.append((event.data["key"], None, event.data["mod_revision"]))
                case "sync":
                    self._take(instance, invoked, event.data, changes, reset=reset)
                    reset, changes = "", []
                case "stale" | "goodbye":
                    self._note(event.name, instance, invoked)
            if ended.is_set() or event.name == "goodbye" or time.monotonic() > ends:
                break
        self._note("lost", instance, invoked, note="the stream ended")

    def _ask(self, connection: HTTPConnection, headers: dict[str, str], wait: int | None = None) -> HTTPResponse:
        query = [f"prefix={quote(each)}" for each in self._prefixes] + [f"key={quote(each)}" for each in self._keys]
        query += [f"after={self._token}"] if self._token else []
        query += [] if wait is None else [f"wait={wait}"]
        connection.request("GET", f"/changes?{'&'.join(query)}", headers=headers)
        return connection.getresponse()

    def _take(
        self,
        instance: int,
        invoked: float,
        told: dict[str, Any],
        changes: Sequence[tuple[str, str | None, int]],
        *,
        reset: str,
    ) -> None:
        since = 0 if reset else self._revision
        self._token, self._revision = told["to"], told["revision"]
        part = told["to"].count("-") > 1  # of a snapshot, with more to come
        self._record(
            Told(
                follower=self._number,
                streams=self._streams,
                instance=instance,
                prefixes=self._prefixes,
                keys=self._keys,
                word="told",
                invoked=invoked,
                returned=time.monotonic(),
                since=since,
                to=told["revision"],
                reset=reset,
                part=part,
                more=told["more"],
                changes=tuple(changes),
                age=-1.0 if told["age"] is None else told["age"],
            )
        )

    def _refused(self, instance: int, invoked: float, status: int) -> None:
        self._note("lost", instance, invoked, note=str(status))
        if status == 410:
            self._token, self._revision = "", 0
        time.sleep(0.2)

    def _note(self, word: str, instance: int, invoked: float, note: str = "") -> None:
        self._record(
            Told(
                follower=self._number,
                streams=self._streams,
                instance=instance,
                prefixes=self._prefixes,
                keys=self._keys,
                word=word,
                invoked=invoked,
                returned=time.monotonic(),
                note=note,
            )
        )


def _events(response: HTTPResponse) -> Iterator[ServerEvent]:
    reader = EventReader()
    while piece := response.read1(65536):
        yield from reader.read(piece)
