"""The load a fleet has to carry without one failure: users who read far more than they write.

    locust                                             # web page at http://localhost:8089
    locust --headless -u 40 -r 10 -t 60s --host http://127.0.0.1:8080
    locust --class-picker                              # the page lets one choose among all users
    locust --headless -u 40 -r 10 -t 60s HotKeyUser SynchronousUser
    locust --list                                      # what there is to choose from

A user sends one request after another and checks each answer, byte for byte; a failure begins with the guarantee that
broke. Cookies are kept, as browsers and most clients do; that alone makes each user read its own writes, on whichever
instance the balancer picks. ConfigUser, below, is the load of the contract, and the only one where no other is chosen;
the others, in tools/load_users.py and tools/load_followers.py, are each about another guarantee.

Environment: HOST, the URL to load; LOAD_PAUSE, seconds between two requests of a user (0.1); LOAD_TOKEN, a token with
the scopes read and write, if the service wants one; LOAD_BOUND, its CACHE_STALENESS_BOUND in seconds (1); LOAD_READS,
reads for each write of the usual users (150); LOAD_RESULT, where the final result goes, as LOAD_RESULT.json
(--json-file would take the tables away, --csv lacks the last second).

At the end all that was written is deleted, after Ctrl-C and SIGTERM, too; what a run has left that was killed, the next
one deletes (tools/load_leftovers.py).
"""

from __future__ import annotations

import json
import os
import random
import secrets
import signal
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import gevent  # type: ignore[import-untyped]  # it has no types
import requests
from locust import events, task
from locust.clients import ResponseContextManager
from locust.env import Environment
from locust.stats import save_stats_json

from tools import load_report
from tools.load_checks import (
    BOUNDED_STALENESS,
    JSON,
    LINEARIZABLE,
    READ_YOUR_WRITES,
    RUN,
    CheckingUser,
    bearer,
    complaint,
    header,
    new_key,
    seconds,
    settle,
)
from tools.load_followers import FollowingUser
from tools.load_leftovers import Run, dead_runs, delete_keys
from tools.load_users import (
    BOUND,
    CLOCK_TOLERANCE,
    ConditionalUser,
    HotKeyUser,
    LinearizableUser,
    SynchronousUser,
)
from tools.shared_documents import Document

__all__ = ["ConditionalUser", "ConfigUser", "FollowingUser", "HotKeyUser", "LinearizableUser", "SynchronousUser"]

READS = int(seconds("LOAD_READS", "150"))
"""Reads for each write, of all documents, by whoever has written."""

FROM_ETCD_EVERY = 20
"""One read in so many is with use_cache=false."""

GRACE = 10.0
"""Seconds that users get at the end to finish the request under way and to delete their keys."""

SERVED_FROM: Counter[str] = Counter()
"""Answers to GET use_cache=true by their X-Cache, printed at the end."""

DOCUMENTS: list[Document] = []
"""What there is to read. Users are greenlets, which take turns: no lock."""


class ConfigUser(CheckingUser):
    """Has one document, changes it seldom, and reads those of all users all the time, nearly always from memory."""

    def on_start(self) -> None:
        """Begins somewhere in the round of another: a fleet is not written to all at once."""
        super().on_start()
        self.own: Document | None = None
        self.reads = 0
        self.steps = self._lives(random.randrange(READS))

    def on_stop(self) -> None:
        """Leaves nothing behind. DELETE of an absent key is a 204, too."""
        if self.own:
            self._delete(self.own)

    @task
    def next_step(self) -> None:
        """One request."""
        next(self.steps)

    def _lives(self, before: int) -> Iterator[None]:
        while True:
            yield from self._life(Document(new_key()), before)
            before = 0

    def _life(self, own: Document, before: int) -> Iterator[None]:
        """PUT, reads, another PUT, reads, DELETE, reads: three writes for three rounds of reads."""
        self.own = own
        if not self._put(own, 201):
            return  # already a failure: the reads would count it again
        yield
        DOCUMENTS.append(own)
        yield from self._read(own, READS - before)
        if not self._put(own, 200):
            return
        yield
        yield from self._read(own, READS)
        if not self._delete(own):
            return
        yield
        yield from self._read(own, READS)
        DOCUMENTS.remove(own)

    def _read(self, own: Document, times: int) -> Iterator[None]:
        """What has just been written first, from memory and from etcd; then whatever there is."""
        for number in range(times):
            self.reads += 1
            if number < 2:
                self._get(own, use_cache=number == 0)
            else:
                self._get(random.choice(DOCUMENTS), use_cache=self.reads % FROM_ETCD_EVERY != 0)
            yield

    def _put(self, document: Document, status: int) -> bool:
        value = json.dumps({"written": secrets.token_hex(16), "text": 'é, \u2603, "quoted"'}).encode()
        document.begin(value)
        with self.send("PUT", document.path, "PUT", data=value, headers=JSON) as answer:
            return self._done(document, settle(answer, complaint(answer, status, value)))

    def _delete(self, document: Document) -> bool:
        document.begin(None)
        with self.send("DELETE", document.path, "DELETE") as answer:
            return self._done(document, settle(answer, complaint(answer, 204, b"")))

    def _done(self, document: Document, wrong: str) -> bool:
        """Whether it is. If not, nothing could be said about this document any more: it may be done later."""
        if not wrong:
            document.acknowledge(time.monotonic())
        elif document in DOCUMENTS:
            DOCUMENTS.remove(document)
        return not wrong

    def _get(self, document: Document, *, use_cache: bool) -> None:
        asked = time.monotonic()
        cached = str(use_cache).lower()
        with self.send("GET", f"{document.path}?use_cache={cached}", f"GET use_cache={cached}") as answer:
            wrong = self._wrong(document, answer, asked, use_cache=use_cache)
            source = header(answer, "X-Cache") or "none"
            if use_cache:
                SERVED_FROM[source] += 1
            elif source != "BYPASS" and not wrong:
                wrong = f"{LINEARIZABLE}: expected X-Cache: BYPASS without the cache, got {source}"
            settle(answer, wrong)

    def _wrong(self, document: Document, answer: ResponseContextManager, asked: float, *, use_cache: bool) -> str:
        """What is wrong with the answer: its value must be one that was current late enough for what is promised."""
        guarantee, since = LINEARIZABLE, asked
        if use_cache and document is self.own:
            guarantee = READ_YOUR_WRITES
        elif use_cache:
            guarantee, since = BOUNDED_STALENESS, asked - BOUND - CLOCK_TOLERANCE
        possible = document.possible(since)
        given = answer.content or b""
        if answer.status_code == 404 and None in possible:
            return ""
        if answer.status_code == 200 and given in possible:
            return complaint(answer, 200, given)
        value = possible[-1]
        return complaint(answer, 404 if value is None else 200, value, guarantee)


_run = Run(RUN)


def _prepare(environment: Environment, **_: Any) -> None:
    # Its timers count from when it last looked at the clock, which was before all was imported: a short run on a busy
    # machine was over before it began.
    gevent.get_hub().loop.update_now()
    options = environment.parsed_options
    # Locust would take all there are; a worker takes those that its master sends.
    if options and not (options.user_classes or options.class_picker or options.worker):
        environment.user_classes = [ConfigUser]
    # Without it, users are cut off in the middle of a PUT, and leave its key behind.
    environment.stop_timeout = environment.stop_timeout or GRACE
    # Python would raise KeyboardInterrupt in whatever greenlet runs, where it can be lost; SIGTERM has one of its own.
    gevent.signal_handler(signal.SIGINT, os.kill, os.getpid(), signal.SIGTERM)
    if result := os.environ.get("LOAD_RESULT"):
        events.quit.add_listener(lambda **_: save_stats_json(environment.stats, result))  # type: ignore[no-untyped-call]  # the same


def _begin(environment: Environment, **_: Any) -> None:
    """Deletes what runs have left that were killed, and marks this one as alive."""
    host = _host(environment)
    for name, where, forget in dead_runs():
        number = _deleted(host, name)  # by another address it may be the same service
        if number:
            load_report.say(f"deleted what a run had left that was killed: {number} documents")
        if number or (number == 0 and where == host):
            forget()
    _run.begin(host)
    load_report.begin(environment, host)


def _end(environment: Environment, **_: Any) -> None:
    """All users have gone, each with its document; what is still there was written after its user had given up."""
    DOCUMENTS.clear()
    if _deleted(_host(environment), RUN) is not None:
        _run.end()


def _deleted(host: str, run: str) -> int | None:
    """How many documents of a run there still were; None if that can't be known, and the next run has to look again."""
    try:
        return delete_keys(host, run, bearer())
    except requests.RequestException as error:
        load_report.say(f"what run {run} has left at {host} could not be deleted: {error}")
        return None


def _host(environment: Environment) -> str:
    return str(environment.host or ConfigUser.host).rstrip("/")


def _tell_where_reads_came_from(**_: Any) -> None:
    told = ", ".join(f"{source} {count:,}" for source, count in SERVED_FROM.most_common())
    print(f"X-Cache of GET use_cache=true: {told or 'no answers'}")  # noqa: T201  # for whoever started the run


events.init.add_listener(_prepare)  # type: ignore[no-untyped-call]  # the same
events.test_start.add_listener(_begin)  # type: ignore[no-untyped-call]  # the same
events.test_stop.add_listener(_end)  # type: ignore[no-untyped-call]  # the same
events.quitting.add_listener(_tell_where_reads_came_from)  # type: ignore[no-untyped-call]  # the same
