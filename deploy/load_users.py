"""Users of the load test, each of whom checks one guarantee, and what they share. locustfile.py has the main one.

A failure begins with the guarantee that broke, in the README's words. Values are numbered by this process, so that a
user can tell an older value from a newer one.
"""

from __future__ import annotations

import itertools
import os
import time
from collections import Counter, deque
from typing import Any, ClassVar
from uuid import uuid4

from locust import HttpUser, between, task
from locust.clients import ResponseContextManager

RUN = uuid4().hex[:12]
"""Marks the keys of this process, so that runs side by side don't meet."""

ROOT = f"/config/performance_tests/{RUN}-"
JSON = {"Content-Type": "application/json"}


def _host() -> str:
    host = os.environ.get("HOST") or "http://127.0.0.1:8080"
    if not host.startswith(("http://", "https://")):
        raise SystemExit(f"HOST is {host!r}; locust expects a URL there, for example HOST=http://127.0.0.1:8080")
    return host


def _seconds(name: str, default: str) -> float:
    given = os.environ.get(name) or default
    try:
        return float(given)
    except ValueError:
        raise SystemExit(f"{name} is {given!r}; expected seconds, for example {name}={default}") from None


PAUSE = _seconds("LOAD_PAUSE", "0.35")
BOUND = _seconds("LOAD_BOUND", "1")


class CheckingUser(HttpUser):
    """Sends one request after another and settles each answer."""

    abstract = True
    host = _host()
    # 40 users with pauses of 0.35 s on average send about 6000 requests a minute.
    wait_time = between(0.3 * PAUSE, 1.7 * PAUSE)

    def on_start(self) -> None:
        """Bears the token, if the service asks for one."""
        if token := os.environ.get("LOAD_TOKEN"):
            self.client.headers["Authorization"] = f"Bearer {token}"

    def send(self, method: str, url: str, name: str, **more: Any) -> ResponseContextManager:
        """A request, to be used in a `with` and settled there."""
        answer: ResponseContextManager = self.client.request(method, url, name=name, catch_response=True, **more)
        return answer


class OwnKeyUser(CheckingUser):
    """Writes a key of its own, and reads it without a session: no cookie says what it wrote."""

    abstract = True
    guarantee = ""
    written = ""
    """Query of the write."""
    read = ""
    """Query of the read."""

    def on_start(self) -> None:
        super().on_start()
        self.key = f"{ROOT}{uuid4().hex}"
        self.numbers = itertools.count(1)

    def on_stop(self) -> None:
        """Leaves nothing behind."""
        with self.send("DELETE", self.key, "DELETE") as answer:
            settle(answer, complaint(answer, 204, b""))

    @task
    def write_and_read(self) -> None:
        """What was written has to be what is read."""
        number = next(self.numbers)
        value = str(number).encode()
        with self.send(
            "PUT", self.key + self.written, f"PUT {self.written}".strip(), data=value, headers=JSON
        ) as answer:
            if settle(answer, complaint(answer, 201 if number == 1 else 200, value)):
                return
        self.client.cookies.clear()
        with self.send("GET", self.key + self.read, f"GET {self.read}".strip()) as answer:
            settle(answer, complaint(answer, 200, value, self.guarantee))


class LinearizableUser(OwnKeyUser):
    """`consistency=linearizable`: no older than any write acknowledged before the request, on whichever instance."""

    guarantee = "linearizable"
    read = "?consistency=linearizable"


class SynchronousUser(OwnKeyUser):
    """`sync=true`: when the write returns, no instance serves the old value any more, from memory either."""

    guarantee = "synchronous write"
    written = "?sync=true"


class SharedKeysUser(CheckingUser):
    """One of many who use the same keys; whoever stops last leaves nothing behind."""

    abstract = True
    keys: tuple[str, ...] = ()
    running: ClassVar[Counter[str]] = Counter()
    """Users by class. Greenlets take turns: no lock."""

    def on_start(self) -> None:
        super().on_start()
        self.running[type(self).__name__] += 1

    def on_stop(self) -> None:
        """Deletes the keys, if nobody else is left."""
        self.running[type(self).__name__] -= 1
        if not self.running[type(self).__name__]:
            for key in self.keys:
                with self.send("DELETE", key, "DELETE") as answer:
                    settle(answer, complaint(answer, 204, b""))


class ConditionalUser(SharedKeysUser):
    """`If-Match`: one document that all of them change; who has not seen the last version must not get through."""

    keys = (f"{ROOT}shared",)

    @task
    def change(self) -> None:
        """Over the present version; then once more over the one before, which has to be refused."""
        (key,) = self.keys
        with self.send("GET", f"{key}?use_cache=false", "GET use_cache=false") as answer:
            seen = answer.headers.get("ETag", "") if answer.headers else ""
            if settle(answer, "" if answer.status_code == 404 else complaint(answer, 200, None)):
                return
        condition = {"If-Match": seen} if seen else {"If-None-Match": "*"}
        with self.send("PUT", key, "PUT if-match", data=b"1", headers={**JSON, **condition}) as answer:
            others_were_quicker = answer.status_code == 412
            if settle(answer, "" if others_were_quicker else complaint(answer, 200 if seen else 201, b"1")):
                return
        with self.send("PUT", key, "PUT if-match", data=b"2", headers={**JSON, **condition}) as answer:
            wrong = complaint(answer, 412, None, "conditional write")
            settle(answer, wrong and f"{wrong}: {seen or 'absence'} was no longer what is there")


class Hot:
    """A key that is changed by one user at a time, and when each of its numbers was answered."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.busy = False
        self.done: deque[tuple[float, int]] = deque(maxlen=10_000)

    def least(self, before: float) -> int:
        """The last number answered before that moment (monotonic seconds); 0 if none was."""
        return max((number for at, number in self.done if at < before), default=0)


class BoundedUser(SharedKeysUser):
    """Reads from memory what these users change: never a value that was replaced longer than LOAD_BOUND ago."""

    keys = tuple(f"{ROOT}hot-{number}" for number in range(4))
    hot = tuple(map(Hot, keys))
    turns = itertools.cycle(hot)
    numbers = itertools.count(1)

    @task(1)
    def write(self) -> None:
        """One at a time for each key, so that the last number answered is the last one written."""
        hot = next(self.turns)
        if hot.busy:
            return
        hot.busy = True
        try:
            number = next(self.numbers)
            with self.send("PUT", hot.key, "PUT hot", data=str(number).encode(), headers=JSON) as answer:
                if not settle(answer, "" if answer.status_code in (200, 201) else complaint(answer, 200, None)):
                    hot.done.append((time.monotonic(), number))
        finally:
            hot.busy = False

    @task(20)
    def read(self) -> None:
        """Without a session: a cookie would ask for more than the bound."""
        hot = next(self.turns)
        least = hot.least(time.monotonic() - BOUND)
        self.client.cookies.clear()
        with self.send("GET", hot.key, "GET hot") as answer:
            if answer.status_code == 404 and not least:
                settle(answer, "")
                return
            wrong = complaint(answer, 200, None, "bounded staleness")
            content = answer.content or b""
            if not wrong and (not content.isdigit() or int(content) < least):
                wrong = f"bounded staleness: {least} was written more than {BOUND:g} s before, got {content[:50]!r}"
            settle(answer, wrong)


def complaint(answer: ResponseContextManager, status: int, body: bytes | None, guarantee: str = "") -> str:
    """What is wrong with an answer that should have this status and, unless it is None, this body; else empty.

    guarantee: the one that an answer breaks which is otherwise in order.
    """
    if error := getattr(answer, "error", None):
        return f"expected {status}, got no answer: {error}"
    content, broken = answer.content or b"", f"{guarantee}: " if guarantee else ""
    if answer.status_code != status:
        # What is in order by itself is a wrong one; a refusal breaks no promise about what is read.
        promise = broken if answer.status_code < 500 else ""
        return f"{promise}expected {status}, got {answer.status_code} {content[:60]!r}"
    if body is not None and content != body:
        return f"{broken}expected the value last written, {body[:50]!r}, got {content[:50]!r}"
    return ""


def settle(answer: ResponseContextManager, wrong: str) -> str:
    """Tells locust whether the answer counts as a failure, and gives the complaint back."""
    if wrong:
        answer.failure(wrong)  # type: ignore[no-untyped-call]  # locust leaves it without annotations
    else:
        answer.success()  # type: ignore[no-untyped-call]  # the same
    return wrong
