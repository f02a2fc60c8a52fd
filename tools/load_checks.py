"""What all users of the load test share: where they send, how an answer is settled, and the words for what broke.

A failure that breaks a promise of the service begins with its name, as the tables of README.md and PROTOCOL.md have
them. One that breaks none, such as a 503, is a failure all the same, without a name before it.
"""

from __future__ import annotations

import os
from typing import Any
from uuid import uuid4

from locust import HttpUser, between
from locust.clients import ResponseContextManager

READ_YOUR_WRITES = "read-your-writes"
BOUNDED_STALENESS = "bounded staleness"
MONOTONIC_READS = "monotonic reads"
LINEARIZABLE = "linearizable"
CONDITIONAL_WRITE = "conditional write"
SYNCHRONOUS_WRITE = "synchronous write"
NOTHING_LOST = "nothing lost"

JSON = {"Content-Type": "application/json"}

RUN = uuid4().hex[:12]
"""Marks the keys of this process, so that runs side by side don't meet."""


def _host() -> str:
    host = os.environ.get("HOST") or "http://127.0.0.1:8080"
    if not host.startswith(("http://", "https://")):
        raise SystemExit(f"HOST is {host!r}; locust expects a URL there, for example HOST=http://127.0.0.1:8080")
    return host


def seconds(name: str, default: str) -> float:
    """A duration from the environment. Raises SystemExit when it is none."""
    given = os.environ.get(name) or default
    try:
        return float(given)
    except ValueError:
        raise SystemExit(f"{name} is {given!r}; expected seconds, for example {name}={default}") from None


PAUSE = seconds("LOAD_PAUSE", "0.1")


class CheckingUser(HttpUser):
    """Sends one request after another and settles each answer. Bears LOAD_TOKEN, if there is one."""

    abstract = True
    host = _host()
    # 40 users with pauses of 0.1 s on average send some 20,000 requests a minute.
    wait_time = between(0.3 * PAUSE, 1.7 * PAUSE)

    def on_start(self) -> None:
        """Says who is asking."""
        self.client.headers.update(bearer())

    def send(self, method: str, url: str, name: str, **more: Any) -> ResponseContextManager:
        """A request that locust counts under `name`, to be used in a `with` and settled there."""
        answer: ResponseContextManager = self.client.request(method, url, name=name, catch_response=True, **more)
        return answer

    def drop_session(self) -> None:
        """Forgets the cookie: no instance is told any more what this user has written."""
        self.client.cookies.clear()


def bearer() -> dict[str, str]:
    """The header that says who is asking; none without LOAD_TOKEN."""
    token = os.environ.get("LOAD_TOKEN")
    return {"Authorization": f"Bearer {token}"} if token else {}


def new_key() -> str:
    """The path of a key that nobody else has."""
    return f"/config/performance_tests/{RUN}-{uuid4().hex}"


def complaint(answer: ResponseContextManager, status: int, body: bytes | None, guarantee: str = "") -> str:
    """What is wrong with an answer that should have this status and, unless it is None, this body; else empty.

    guarantee: what an answer breaks that was given, but is another one. To give none (5xx) breaks no promise.
    """
    if error := getattr(answer, "error", None):
        return f"expected {status}, got no answer: {error}"
    content, broken = answer.content or b"", f"{guarantee}: " if guarantee else ""
    if answer.status_code != status:
        given = broken if answer.status_code in (200, 404) else ""
        return f"{given}expected {status}, got {answer.status_code} {content[:60]!r}"
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


def header(answer: ResponseContextManager, name: str) -> str:
    """A header of the answer; empty if it has none, or if there was no answer."""
    return str(answer.headers.get(name, "")) if answer.headers else ""
