"""The load a fleet has to carry without one failure: users who write, read back and delete keys of their own.

    locust                                             # web page at http://localhost:8089
    locust --headless -u 40 -r 10 -t 60s --host http://127.0.0.1:8080
    locust --class-picker                              # the page lets you choose among the users
    locust --headless -u 40 -r 10 -t 60s LinearizableUser SynchronousUser

A user sends one request after another and checks each answer, byte for byte; a failure begins with the guarantee that
broke. Cookies are kept, as browsers and most clients do; that alone makes each user read its own writes, on whichever
instance the balancer picks. Other users, in deploy/load_users.py, take part only where they are named or chosen.

Environment: HOST, the URL to load; LOAD_PAUSE, seconds between two requests of a user (0.35); LOAD_TOKEN, the bearer
token, if the service asks for one; LOAD_BOUND, its staleness bound in seconds (1); LOAD_RESULT, where the final result
goes, as LOAD_RESULT.json (--json-file would take the tables away, --csv lacks the last second).
"""

from __future__ import annotations

import json
import os
import secrets
from collections import Counter
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

from locust import events, task
from locust.env import Environment
from locust.stats import save_stats_json

from deploy.load_users import (
    JSON,
    ROOT,
    BoundedUser,
    CheckingUser,
    ConditionalUser,
    LinearizableUser,
    SynchronousUser,
    complaint,
    settle,
)

__all__ = ["BoundedUser", "ConditionalUser", "ConfigUser", "LinearizableUser", "SynchronousUser"]

READS_AFTER_WRITE = 15
READS_AFTER_DELETE = 2
"""Reads of each value, and of its absence. In all 2 PUT, 1 DELETE and 32 GET in the life of a key."""

GRACE = 10.0
"""Seconds that users get at the end to finish the request under way and to delete their keys."""

SERVED_FROM: Counter[str] = Counter()
"""Answers to GET use_cache=true by their X-Cache, printed at the end."""


class ConfigUser(CheckingUser):
    """Lives through the life of one key after another: PUT, reads, another PUT, reads, DELETE, reads."""

    def on_start(self) -> None:
        """Begins with a key that nobody else has."""
        super().on_start()
        self.steps = self._lives()

    def on_stop(self) -> None:
        """Leaves nothing behind. DELETE of an absent key is a 204, too."""
        self._delete()

    @task
    def next_step(self) -> None:
        """One request."""
        next(self.steps)

    def _lives(self) -> Iterator[None]:
        while True:
            self.key = f"{ROOT}{uuid4().hex}"
            yield from self._life()
            self._delete()
            yield
            yield from self._read(None, READS_AFTER_DELETE)

    def _life(self) -> Iterator[None]:
        for status in (201, 200):
            value = json.dumps({"written": secrets.token_hex(16), "text": 'é, \u2603, "quoted"'}).encode()
            wrong = self._put(value, status)
            yield
            if wrong:
                return  # already a failure: the reads would count it again
            yield from self._read(value, READS_AFTER_WRITE)

    def _read(self, value: bytes | None, times: int) -> Iterator[None]:
        """Reads in turn with and without the cache; both have to give the value just written."""
        for number in range(times):
            self._get(value, use_cache=number % 2 == 0)
            yield

    def _put(self, value: bytes, status: int) -> str:
        with self.send("PUT", self.key, "PUT", data=value, headers=JSON) as answer:
            return settle(answer, complaint(answer, status, value))

    def _delete(self) -> None:
        with self.send("DELETE", self.key, "DELETE") as answer:
            settle(answer, complaint(answer, 204, b""))

    def _get(self, value: bytes | None, *, use_cache: bool) -> None:
        url, name = f"{self.key}?use_cache={str(use_cache).lower()}", f"GET use_cache={str(use_cache).lower()}"
        guarantee = "read your writes" if use_cache else "linearizable, without the cache"
        with self.send("GET", url, name) as answer:
            wrong = complaint(answer, 404 if value is None else 200, value, guarantee)
            source = answer.headers.get("X-Cache", "none") if answer.headers else "none"
            if use_cache:
                SERVED_FROM[source] += 1
            elif source != "BYPASS" and not wrong:
                wrong = f"expected X-Cache: BYPASS without the cache, got {source}"
            settle(answer, wrong)


def _prepare(environment: Environment, **_: Any) -> None:
    chosen = environment.parsed_options
    if chosen and not (chosen.class_picker or chosen.user_classes):
        environment.user_classes = [ConfigUser]
    # Without it, users are cut off in the middle of a PUT, and leave its key behind.
    environment.stop_timeout = environment.stop_timeout or GRACE
    if result := os.environ.get("LOAD_RESULT"):
        events.quit.add_listener(lambda **_: save_stats_json(environment.stats, result))  # type: ignore[no-untyped-call]  # the same


def _tell_where_reads_came_from(**_: Any) -> None:
    told = ", ".join(f"{source} {count}" for source, count in SERVED_FROM.most_common())
    print(f"X-Cache of GET use_cache=true: {told or 'no answers'}")  # noqa: T201  # for whoever started the run


events.init.add_listener(_prepare)  # type: ignore[no-untyped-call]  # the same
events.quitting.add_listener(_tell_where_reads_came_from)  # type: ignore[no-untyped-call]  # the same
