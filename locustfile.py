"""The load a fleet has to carry without one failure: users who write, read back and delete keys of their own.

    locust                                             # web page at http://localhost:8089
    locust --headless -u 40 -r 10 -t 60s --host http://127.0.0.1:8080
    locust --class-picker                              # the page lets one choose among all users
    locust --headless -u 40 -r 10 -t 60s HotKeyUser SynchronousUser
    locust --list                                      # what there is to choose from

A user sends one request after another and checks each answer, byte for byte; a failure begins with the guarantee that
broke. Cookies are kept, as browsers and most clients do; that alone makes each user read its own writes, on whichever
instance the balancer picks. ConfigUser, below, is the load of the contract, and the only one where no other is chosen;
the others, in deploy/load_users.py, are each about another guarantee.

Environment: HOST, the URL to load; LOAD_PAUSE, seconds between two requests of a user (0.35); LOAD_TOKEN, a token with
the scopes read and write, if the service wants one; LOAD_BOUND, its CACHE_STALENESS_BOUND in seconds (1); LOAD_RESULT,
where the final result goes, as LOAD_RESULT.json (--json-file would take the tables away, --csv lacks the last second).
"""

from __future__ import annotations

import json
import os
import secrets
from collections import Counter
from collections.abc import Iterator
from typing import Any

from locust import events, task
from locust.env import Environment
from locust.stats import save_stats_json

from deploy.load_checks import JSON, LINEARIZABLE, READ_YOUR_WRITES, CheckingUser, complaint, header, new_key, settle
from deploy.load_users import ConditionalUser, HotKeyUser, LinearizableUser, SynchronousUser

__all__ = ["ConditionalUser", "ConfigUser", "HotKeyUser", "LinearizableUser", "SynchronousUser"]

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
            self.key = new_key()
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
        guarantee = READ_YOUR_WRITES if use_cache else LINEARIZABLE
        with self.send("GET", url, name) as answer:
            wrong = complaint(answer, 404 if value is None else 200, value, guarantee)
            source = header(answer, "X-Cache") or "none"
            if use_cache:
                SERVED_FROM[source] += 1
            elif source != "BYPASS" and not wrong:
                wrong = f"{guarantee}: expected X-Cache: BYPASS without the cache, got {source}"
            settle(answer, wrong)


def _prepare(environment: Environment, **_: Any) -> None:
    options = environment.parsed_options
    # Locust would take all there are; a worker takes those that its master sends.
    if options and not (options.user_classes or options.class_picker or options.worker):
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
