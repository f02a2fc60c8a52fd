"""Large answers go out in pieces, so many at a time. Hazard: a server copies one for each client that never reads."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from werkzeug.test import Client, create_environ, run_wsgi_app

from service.http.large_answers import GRACE, LARGE, LEAST_RATE, PIECE, LargeAnswers

BODY = bytes(range(256)) * (3 * PIECE // 256) + b"end"


class Clock:
    """Moved by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def answering(body: Iterable[bytes]) -> Any:
    """An application that always gives this answer."""

    def application(_: object, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Length", str(len(BODY)))])
        return body

    return application


def ask(application: LargeAnswers) -> tuple[str, Any]:
    """The status line, and the answer's body, which is not read yet."""
    told: list[str] = []
    body = application(create_environ(), lambda status, _: told.append(status))
    return told[-1], body


@pytest.mark.parametrize("body", [[BODY], [BODY[:7], BODY[7:]], iter([BODY])], ids=["whole", "two", "iterator"])
def test_a_large_answer_arrives_byte_for_byte(body: Iterable[bytes]) -> None:
    pieces, status, headers = run_wsgi_app(LargeAnswers(answering(body), 1), create_environ())
    assert (status, headers["Content-Length"]) == ("200 OK", str(len(BODY)))
    sent = list(pieces)
    assert b"".join(sent) == BODY
    assert max(map(len, sent)) == PIECE


def test_a_small_answer_needs_no_place() -> None:
    application = LargeAnswers(answering([b"x" * LARGE]), 0)
    assert ask(application) == ("200 OK", [b"x" * LARGE])


def test_beyond_the_places_an_answer_is_503_until_another_has_ended() -> None:
    """Read to its end, or left by its client: either way its place is free again, once."""
    application = LargeAnswers(answering([BODY]), 2)
    _, first = ask(application)
    _, second = ask(application)
    answer = Client(application).get("/")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert answer.json is not None
    assert answer.json["type"].endswith("too-many-answers")
    next(first)
    first.close()
    first.close()
    (status, third), (refused, _) = ask(application), ask(application)
    assert (status, refused) == ("200 OK", "503 SERVICE UNAVAILABLE")
    assert b"".join(second) == b"".join(third) == BODY
    assert [ask(application)[0] for _ in range(2)] == ["200 OK", "200 OK"]


def test_who_takes_too_little_for_too_long_is_cut_off() -> None:
    """A place can't be kept by reading a byte now and then; and any answer may take GRACE."""
    clock = Clock()
    application = LargeAnswers(answering([BODY]), 1, clock)
    _, body = ask(application)
    next(body)
    clock.now = GRACE + PIECE / LEAST_RATE
    assert len(next(body)) == PIECE
    clock.now = GRACE + 2 * PIECE / LEAST_RATE + 0.1
    assert list(body) == []
    assert ask(application)[0] == "200 OK"
