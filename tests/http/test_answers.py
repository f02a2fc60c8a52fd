"""The headers of an answer, made in one place for every way of sending it."""

from __future__ import annotations

import pytest

from consistency.core.model import PreconditionFailed, Reading, Source
from service.http.answers import ReadCondition, answer_reading, headers_for, read_condition

FOUND = Reading(value=b"0", mod_revision=7, revision=9, source=Source.HIT, age=0.2)
ABSENT = Reading(value=None, mod_revision=0, revision=9, source=Source.MISS, age=0.0)


def test_a_read_has_the_headers_of_the_contract() -> None:
    """The contract, and no others."""
    assert sorted(headers_for(FOUND)) == [
        ("Age", "1"),
        ("Cache-Control", "no-cache"),
        ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
        ("Content-Type", "application/json"),
        ("ETag", '"7"'),
        ("Referrer-Policy", "no-referrer"),
        ("X-Cache", "HIT"),
        ("X-Config-Revision", "9"),
        ("X-Content-Type-Options", "nosniff"),
    ]


@pytest.mark.parametrize(("age", "shown"), [(0.0, "0"), (0.001, "1"), (1.0, "1"), (1.001, "2"), (59.5, "60")])
def test_an_age_never_claims_more_freshness_than_was_proven(age: float, shown: str) -> None:
    """Whole seconds (RFC 9111, 5.1), rounded up."""
    reading = Reading(value=b"0", mod_revision=7, revision=9, source=Source.HIT, age=age)
    assert dict(headers_for(reading))["Age"] == shown


def test_falsy_documents_are_documents() -> None:
    """`0`, `""`, `false` and `null` are no 404."""
    for value in (b"0", b'""', b"false", b"null", b" 0"):
        reading = Reading(value=value, mod_revision=7, revision=9, source=Source.HIT, age=0.0)
        answer = answer_reading("a", reading, ReadCondition())
        assert (answer.status, answer.body) == (200, value)


def test_an_answer_without_a_body_claims_no_type() -> None:
    """304 (RFC 9110, 15.4.5)."""
    answer = answer_reading("a", FOUND, read_condition(None, '"7"'))
    names = [name for name, _ in answer.headers]
    assert (answer.status, answer.body) == (304, b"")
    assert "Content-Type" not in names
    assert {"ETag", "Cache-Control", "X-Config-Revision", "X-Cache", "Age"} <= set(names)


def test_an_absence_is_a_problem_that_holds_at_a_revision() -> None:
    """404 with the same truth about the cache, and each header once."""
    answer = answer_reading("a", ABSENT, ReadCondition())
    names = [name for name, _ in answer.headers]
    assert (answer.status, dict(answer.headers)["X-Config-Revision"]) == (404, "9")
    assert len(names) == len(set(names))


def test_a_read_that_names_another_revision_is_refused() -> None:
    """If-Match on a read."""
    with pytest.raises(PreconditionFailed) as failure:
        answer_reading("a", FOUND, read_condition('"6"', None))
    assert failure.value.current == 7
