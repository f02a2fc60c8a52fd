"""Clients of the library, as programs have them: what each holds, and how sure it says it is of it, written down.

Half of them have threads, half share a loop. Owns their process, and the file of what they held; `python -m
torture.library` reads a `Load` as JSON from its standard input, and works until that is closed.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import Any

from config_client import AsyncConfigClient, Change, ConfigClient, Document, Fresh, Snapshot, StartFailed
from torture.followed import Told
from torture.history import CHECKED
from torture.workload import Load

PREFIXES = (CHECKED, f"{CHECKED}hot", f"{CHECKED}warm", f"{CHECKED}cold-1", f"{CHECKED}cold-2")

EVERY = 0.25
"""Seconds between two looks at a client's state."""

SETTLES = 20.0
"""Seconds after the last change within which a client is fresh, and its listener has been told of all that is held."""

Client = ConfigClient | AsyncConfigClient
Record = Callable[[Told], None]


class Watched:
    """What one client holds, from one look to the next, and what its listener has been told."""

    def __init__(self, number: int, load: Load, record: Record) -> None:
        self._number = number
        self._record = record
        self._lock = threading.Lock()  # a listener has a thread of its own; protects the following
        self._held: Mapping[str, Document] = {}
        self._revision = 0
        self._told: dict[str, int] = {}
        self.prefix = PREFIXES[number % len(PREFIXES)]
        ports = list(load.ports)
        Random(f"library:{load.seed}:{number}").shuffle(ports)
        self.arguments: dict[str, Any] = {
            "urls": [f"http://127.0.0.1:{port}" for port in ports],
            "prefix": self.prefix,
            "trust_env": False,
            "start_within": 10.0,
        }

    def listen(self, changes: Sequence[Change]) -> None:
        """The listener's: of each name what is there now."""
        with self._lock:
            for change in changes:
                self._told.pop(change.name, None)
                if change.now is not None:
                    self._told[change.name] = change.now.mod_revision

    def begin(self, client: Client) -> None:
        """It has started: from here on its listener is told of changes.

        First it is listened to, then what is held is noted: a change in between would be missing for ever.
        """
        with self._lock:
            client.on_update(self.listen)
            self._told = _versions(client.snapshot())

    def look(self, client: Client) -> None:
        """Write down what it holds, and how old it says that is. What is held is read last, so it is no older."""
        invoked = time.monotonic()
        state = client.state
        self._take(invoked, client.snapshot(), state.age if state.age < 1e6 else -1.0, type(state).__name__)

    def is_well(self, client: Client) -> bool:
        """Whether it is fresh, and its listener has been told of all that is held."""
        with self._lock:
            return isinstance(client.state, Fresh) and self._told == _versions(client.snapshot())

    def end(self, client: Client) -> None:
        """Its last word."""
        with self._lock:
            listened = self._told == _versions(client.snapshot())
        self.say("listened" if listened else "unlike", type(client.state).__name__)

    def say(self, word: str, note: str) -> None:
        """Something else than what it holds."""
        now = time.monotonic()
        self._record(self._word(word, now, now, note=note))

    def _take(self, invoked: float, snapshot: Snapshot, age: float, state: str) -> None:
        before, self._held = self._held, dict(snapshot)
        goes_on = self._revision and snapshot.revision >= self._revision
        since, self._revision = self._revision if goes_on else 0, snapshot.revision
        changes = _differences(before if goes_on else {}, self._held, self.prefix)
        reset = "" if goes_on else "history"
        self._record(
            self._word("told", invoked, time.monotonic(), since, snapshot.revision, reset, changes, age, note=state)
        )

    def _word(
        self, word: str, invoked: float, returned: float, since: int = 0, to: int = 0, reset: str = "",
        changes: tuple[tuple[str, str | None, int], ...] = (), age: float = -1.0, *, note: str,
    ) -> Told:  # fmt: skip
        return Told(
            self._number, False, -1, (self.prefix,), (), word, invoked, returned, since, to, reset,
            changes=changes, age=age, note=note, library=True,
        )  # fmt: skip


def _versions(snapshot: Snapshot) -> dict[str, int]:
    return {name: document.mod_revision for name, document in snapshot.items()}


def _differences(
    before: Mapping[str, Document], now: Mapping[str, Document], prefix: str
) -> tuple[tuple[str, str | None, int], ...]:
    come = [
        (prefix + name, document.value.decode(), document.mod_revision)
        for name, document in now.items()
        if name not in before or before[name].mod_revision != document.mod_revision
    ]
    return (*come, *((prefix + name, None, 0) for name in before.keys() - now.keys()))


def blocking(watched: Watched, ended: threading.Event) -> None:
    """One with threads, until it is told to end; it has one last word."""
    while True:
        try:
            with ConfigClient(**watched.arguments) as client:
                watched.begin(client)
                while not ended.wait(EVERY):
                    watched.look(client)
                until = time.monotonic() + SETTLES
                while not watched.is_well(client) and time.monotonic() < until:
                    time.sleep(0.05)
                watched.end(client)
            return
        except StartFailed as failed:
            watched.say("lost", str(failed)[:200])
            if ended.is_set():
                watched.say("unlike", "it could not start")
                return


async def on_a_loop(watched: Watched, ended: asyncio.Event) -> None:
    """As `blocking`."""
    while True:
        try:
            async with AsyncConfigClient(**watched.arguments) as client:
                watched.begin(client)
                while not ended.is_set():
                    await asyncio.sleep(EVERY)
                    watched.look(client)
                until = time.monotonic() + SETTLES
                while not watched.is_well(client) and time.monotonic() < until:
                    await asyncio.sleep(0.05)
                watched.end(client)
            return
        except StartFailed as failed:
            watched.say("lost", str(failed)[:200])
            if ended.is_set():
                watched.say("unlike", "it could not start")
                return


async def all_on_a_loop(crowd: Sequence[Watched], ended: threading.Event) -> None:
    """They share a loop, and end together."""
    over = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for watched in crowd:
            group.create_task(on_a_loop(watched, over))
        await asyncio.to_thread(ended.wait)
        over.set()


def main() -> None:
    """See the module's opening."""
    load = Load.from_json(sys.stdin.readline())
    ended, lock = threading.Event(), threading.Lock()  # protects the file
    with Path(load.held).open("w") as file:

        def record(told: Told) -> None:
            with lock:
                file.write(told.to_json() + "\n")

        crowd = [Watched(load.followers + number, load, record) for number in range(load.library)]
        looped, threaded = crowd[::2], crowd[1::2]
        with ThreadPoolExecutor(len(threaded) + 1) as pool:
            clients = [pool.submit(blocking, watched, ended) for watched in threaded]
            clients.append(pool.submit(lambda: asyncio.run(all_on_a_loop(looped, ended))))
            sys.stdin.read()
            ended.set()
            for client in clients:
                client.result()  # one that has failed fails the run


if __name__ == "__main__":
    main()
