"""Errors answer "did it happen?": one table from exceptions to RFC 9457 problem documents (the contract)."""

from __future__ import annotations

import json
import logging

import pytest

from consistency.core import store
from consistency.core.model import PreconditionFailed, WrongTimeline
from consistency.core.store import Denied, NoSpace, OutcomeUnknown, Rejected, StoreError, TooLarge, Unavailable
from service.http.answers import answer_error
from tests.http.conftest import Gateway


@pytest.mark.parametrize(
    ("error", "status", "outcome", "retry"),
    [
        (Unavailable("no endpoint answered"), 503, "not done", True),
        (store.BadCredentials("wrong password"), 503, "not done", True),
        (Denied("user config may not write"), 503, "not done", True),
        (OutcomeUnknown("no answer in 3 s"), 504, "unknown", False),
        (NoSpace("quota used up"), 507, "not done", False),
        (TooLarge("request is too large"), 413, "not done", False),
        (Rejected("duplicate key"), 502, "not done", False),
        (PreconditionFailed("a", 7), 412, "not done", False),
        (WrongTimeline(9, 7), 410, "not done", False),
        (store.Compacted("revision 3"), 410, "not done", False),
        (store.NotReached("revision 9 of 7"), 410, "not done", False),
        (ZeroDivisionError("secret internals"), 500, "unknown", False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_every_error_tells_whether_it_happened(error: Exception, status: int, outcome: str, retry: bool) -> None:
    """503 = not done, 504 = outcome unknown, 507 = out of space."""
    answer = answer_error(error)
    problem = json.loads(answer.body)
    headers = dict(answer.headers)
    assert (answer.status, problem["status"], problem["outcome"]) == (status, status, outcome)
    assert headers["Content-Type"] == "application/problem+json"
    assert ("Retry-After" in headers) == retry
    assert set(problem) == {"type", "title", "status", "detail", "outcome"}
    assert problem["type"].startswith("urn:problem-type:config-service:")
    assert "secret" not in answer.body.decode()


def test_no_store_error_is_unforeseen() -> None:
    """A new kind of error needs a row of its own, or an ancestor that has one."""
    kinds = [kind for kind in vars(store).values() if isinstance(kind, type) and issubclass(kind, StoreError)]
    assert len(kinds) > 5
    for kind in kinds:
        if kind is not StoreError:  # never raised itself
            assert answer_error(kind("why")).status != 500, kind


def test_a_special_case_of_an_error_is_answered_like_the_error() -> None:
    """The nearest ancestor's row."""

    class Throttled(Unavailable):
        pass

    assert answer_error(Throttled("later")).status == 503


def test_a_refused_precondition_tells_the_current_tag() -> None:
    """So that the client can look and try again."""
    assert ("ETag", '"7"') in answer_error(PreconditionFailed("a", 7)).headers
    assert "ETag" not in dict(answer_error(PreconditionFailed("a", 0)).headers)


def test_a_key_with_a_lone_surrogate_in_a_message_is_no_error() -> None:
    """A problem document can always be written."""
    assert json.loads(answer_error(Unavailable("bad \udc80 byte")).body)["status"] == 503


def test_an_unforeseen_error_is_logged_and_not_shown(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """500 without internals: after a write the outcome is unknown, since nobody can tell where it broke."""

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("internal detail")

    monkeypatch.setattr(gateway.answering.cache, "put", broken)
    with caplog.at_level(logging.ERROR):
        answer = gateway.ask("PUT", "/config/a", b"1")
    assert answer.status_code == 500
    assert answer.get_json(force=True)["outcome"] == "unknown"
    assert "internal detail" not in answer.text
    assert "internal detail" in caplog.text


def test_an_unknown_path_is_a_problem_document(gateway: Gateway) -> None:
    """Flask's own refusals as well."""
    answer = gateway.ask("GET", "/nowhere")
    assert (answer.status_code, answer.headers["Content-Type"]) == (404, "application/problem+json")
    assert answer.get_json(force=True)["type"] == "urn:problem-type:config-service:not-found"
