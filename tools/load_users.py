"""Users for a load test of one guarantee each; the main one, who keeps the contract's load, is in locustfile.py.

They take part only where they are named or chosen: see there. Values are numbers that rise with each write of a key,
so that an older one can be told from a newer one.
"""

from __future__ import annotations

import itertools
import random
import time
from collections import deque
from collections.abc import Iterator
from typing import ClassVar

from locust import task

from tools.load_checks import (
    BOUNDED_STALENESS,
    CONDITIONAL_WRITE,
    JSON,
    LINEARIZABLE,
    MONOTONIC_READS,
    SYNCHRONOUS_WRITE,
    CheckingUser,
    complaint,
    header,
    new_key,
    seconds,
    settle,
)

BOUND = seconds("LOAD_BOUND", "1")
CHANGE_EVERY = 2 * BOUND
"""Seconds between changes of a hot key: often enough to see what is old, seldom enough for most reads to be hits."""

CLOCK_TOLERANCE = 0.01
"""Seconds by which the clock here and those of the instances may disagree on how long the bound is."""


class OwnKeyUser(CheckingUser):
    """Writes a key of its own, then reads it without a session, on whichever instances the balancer picks."""

    abstract = True
    guarantee = ""
    write_query, write_name = "", ""
    read_query, read_name = "", ""
    reads = 1

    def on_start(self) -> None:
        """Begins with a key that nobody else has."""
        super().on_start()
        self._begin()

    def on_stop(self) -> None:
        """Leaves nothing behind."""
        _delete(self, self.key)

    @task
    def write_and_read(self) -> None:
        """What has been written has to be what is read."""
        number = next(self.numbers)
        value = b"%d" % number
        with self.send("PUT", self.key + self.write_query, self.write_name, data=value, headers=JSON) as answer:
            unsure = settle(answer, complaint(answer, 201 if number == 1 else 200, value))
        if unsure:  # it may happen later: nothing could be said about this key any more
            _delete(self, self.key)
            self._begin()
            return
        self.drop_session()
        for _ in range(self.reads):
            with self.send("GET", self.key + self.read_query, self.read_name) as answer:
                settle(answer, complaint(answer, 200, value, self.guarantee))

    def _begin(self) -> None:
        self.key, self.numbers = new_key(), itertools.count(1)


class LinearizableUser(OwnKeyUser):
    """`consistency=linearizable`: no older than any write that was acknowledged before the request."""

    guarantee = LINEARIZABLE
    write_name = "PUT to be read linearizably"
    read_query, read_name = "?consistency=linearizable", "GET consistency=linearizable"


class SynchronousUser(OwnKeyUser):
    """`sync=true`: when the write returns, no instance serves the old value any more, from memory either."""

    guarantee = SYNCHRONOUS_WRITE
    write_query, write_name = "?sync=true", "PUT sync=true"
    read_name = "GET after sync=true"
    reads = 3


class SharedKey:
    """A key that many users change and read, and what is known about its writes."""

    def __init__(self) -> None:
        self.path = new_key()
        self.numbers = itertools.count(1)
        self.changed_at = float("-inf")  # monotonic seconds at which its last write was sent
        self.writing = False
        self.retired = False  # a write of it has an unknown outcome: it may happen later
        self.answered: deque[tuple[float, int]] = deque(maxlen=10_000)  # when each number had been written
        self.acknowledged: set[int] = set()

    def written_before(self, moment: float) -> int:
        """The last number whose write was answered before then (monotonic seconds); 0 if none was."""
        return next((number for at, number in reversed(self.answered) if at < moment), 0)


class SharingUser(CheckingUser):
    """One of many who use the same keys. The first to come makes them up, the last to go deletes them.

    So a run that is started from the web page never meets the keys of the one before. Users are greenlets, which take
    turns: no lock.
    """

    abstract = True
    how_many = 1
    present: ClassVar[int] = 0
    shared: ClassVar[list[SharedKey]] = []

    def on_start(self) -> None:
        """Finds the keys, or makes them up."""
        super().on_start()
        kind = type(self)
        if not kind.present:
            kind.shared = [SharedKey() for _ in range(kind.how_many)]
        kind.present += 1
        self.keys = kind.shared

    def on_stop(self) -> None:
        """Leaves nothing behind, if nobody else is left."""
        type(self).present -= 1
        if not type(self).present:
            for key in self.keys:
                _delete(self, key.path)


class ChangingUser(SharingUser):
    """One of many who change a few keys now and then."""

    abstract = True
    how_many = 4
    write_name = ""

    @task(1)
    def change(self) -> None:
        """What has not been changed for a while; by one user at a time, so that the last number is the last written."""
        now = time.monotonic()
        due = [key for key in self._usable() if not key.writing and now - key.changed_at > CHANGE_EVERY]
        if due:
            self._write(random.choice(due), now)

    def _write(self, key: SharedKey, now: float) -> None:
        key.changed_at = now
        key.writing, number = True, next(key.numbers)
        with self.send("PUT", key.path, self.write_name, data=b"%d" % number, headers=JSON) as answer:
            wrong = settle(answer, complaint(answer, 201 if number == 1 else 200, b"%d" % number))
        key.writing = False
        if not wrong:
            key.answered.append((time.monotonic(), number))
        else:
            key.retired = True
            self.keys.append(SharedKey())

    def _usable(self) -> list[SharedKey]:
        return [key for key in self.keys if not key.retired]


class HotKeyUser(ChangingUser):
    """Reads a few keys over and over, mostly from memory, while each is changed now and then.

    Bounded staleness: never a value that was replaced longer than LOAD_BOUND before the request. Monotonic reads: with
    `min_revision`, never one that is older than what this user has seen.
    """

    write_name = "PUT hot"

    def on_start(self) -> None:
        """Has seen nothing yet."""
        super().on_start()
        self.revision = 0
        self.seen: dict[str, int] = {}  # the newest number of each key

    @task(4)
    def read(self) -> None:
        """Without a session, which would ask for more than the bound."""
        key = self._any()
        self.drop_session()
        least = key.written_before(time.monotonic() - BOUND - CLOCK_TOLERANCE)
        older = f"{least} had been written more than {BOUND:g} s before"
        self._get(key, "", "GET hot", least, BOUNDED_STALENESS, older)

    @task(1)
    def read_on(self) -> None:
        """Of what this user has seen, the service is told the revision."""
        key = self._any()
        least = self.seen.get(key.path, 0)
        query = f"?min_revision={self.revision}"
        self._get(key, query, "GET hot min_revision", least, MONOTONIC_READS, f"{least} had been read before")

    def _any(self) -> SharedKey:
        return random.choice(self._usable())

    def _get(self, key: SharedKey, query: str, name: str, least: int, guarantee: str, older: str) -> None:
        asked = self.revision if query else 0
        with self.send("GET", key.path + query, name) as answer:
            if answer.status_code == 404 and not least:
                settle(answer, "")
                return
            wrong = complaint(answer, 200, None, guarantee)
            number = int(answer.content) if not wrong and (answer.content or b"").isdigit() else 0
            revision = int(header(answer, "X-Config-Revision") or 0)
            if not wrong and number < least:
                wrong = f"{guarantee}: {older}, got {(answer.content or b'')[:50]!r}"
            if not wrong and revision < asked:
                wrong = f"{guarantee}: revision {asked} had been seen before, got an answer as of {revision}"
            settle(answer, wrong)
        self.revision = max(self.revision, revision)
        self.seen[key.path] = max(self.seen.get(key.path, 0), number)


class ConditionalUser(SharingUser):
    """`If-Match`: all of them count up one document; who has not seen the last edit must not get through."""

    def on_start(self) -> None:
        """Finds the document, or makes it up."""
        super().on_start()
        self.steps = self._edits(self.keys[0])

    @task
    def next_step(self) -> None:
        """One request. Between a read and the write that follows, others have time for theirs."""
        next(self.steps)

    def _edits(self, key: SharedKey) -> Iterator[None]:
        while True:
            seen = self._read(key)
            yield
            if seen is not None:
                self._write(key, *seen)
                yield

    def _read(self, key: SharedKey) -> tuple[int, str] | None:
        """How many edits there are, and the tag of that version; 0 and no tag where there is none yet."""
        with self.send("GET", f"{key.path}?use_cache=false", "GET to edit") as answer:
            if settle(answer, "" if answer.status_code == 404 else complaint(answer, 200, None)):
                return None
            return (int(answer.content), header(answer, "ETag")) if answer.status_code == 200 else (0, "")

    def _write(self, key: SharedKey, edits: int, tag: str) -> None:
        """One edit more. It is done, or refused since another was quicker; never done twice."""
        number, value = edits + 1, b"%d" % (edits + 1)
        condition = {"If-Match": tag} if tag else {"If-None-Match": "*"}
        with self.send("PUT", key.path, "PUT if-match", data=value, headers={**JSON, **condition}) as answer:
            if answer.status_code == 412:
                current = header(answer, "ETag")
                wrong = f"{CONDITIONAL_WRITE}: refused, although {tag} is current" if tag and current == tag else ""
            else:
                wrong = complaint(answer, 200 if tag else 201, value, CONDITIONAL_WRITE)
                if not wrong and number in key.acknowledged:
                    wrong = f"{CONDITIONAL_WRITE}: edit {number} was acknowledged twice, so one of them is lost"
                if not wrong:
                    key.acknowledged.add(number)
            settle(answer, wrong)


def _delete(user: CheckingUser, path: str) -> None:
    with user.send("DELETE", path, "DELETE at the end") as answer:
        settle(answer, complaint(answer, 204, b""))
