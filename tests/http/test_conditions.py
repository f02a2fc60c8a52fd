"""If-Match and If-None-Match (RFC 9110, section 13) as decisions."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consistency.core.model import MustBeAbsent, MustBeAt, MustExist
from service.http.answers import AnyOf, read_condition, write_condition
from service.http.problems import Refused

ABSENT = 0


@pytest.mark.parametrize(
    ("if_match", "if_none_match", "found", "status"),
    [
        (None, None, 7, 200),
        (None, None, ABSENT, 404),
        (None, '"7"', 7, 304),
        (None, 'W/"7"', 7, 304),  # weak comparison
        (None, '"6", W/"7"', 7, 304),
        (None, '"6","8"', 7, 200),
        (None, ',, "7" ,', 7, 304),  # empty elements are allowed
        (None, "*", 7, 304),
        (None, "*", ABSENT, 404),
        (None, '"0"', ABSENT, 404),
        (None, '"7,8"', 7, 200),  # one tag with a comma in it
        ('"7"', None, 7, 200),
        ('W/"7"', None, 7, 412),  # strong comparison
        ('"6"', None, 7, 412),
        ('"6", "7"', None, 7, 200),
        ("*", None, 7, 200),
        ("*", None, ABSENT, 412),
        ('"0"', None, ABSENT, 412),
        ('"7"', '"7"', 7, 304),
        ('"6"', '"7"', 7, 412),  # If-Match comes first
    ],
)
def test_a_read_is_answered_by_its_conditions(
    if_match: str | None, if_none_match: str | None, found: int, status: int
) -> None:
    """RFC 9110, 13.1.1, 13.1.2 and the order of 13.2.2."""
    assert read_condition(if_match, if_none_match).status(found) == status


@pytest.mark.parametrize(
    ("if_match", "if_none_match", "condition"),
    [
        (None, None, None),
        ("*", None, MustExist()),
        (None, "*", MustBeAbsent()),
        (None, " * ", MustBeAbsent()),
        ('"7"', None, MustBeAt(7)),
        ('"7","7"', None, MustBeAt(7)),
        ('"7", W/"8"', None, MustBeAt(7)),
        ('"7", "x"', None, MustBeAt(7)),
        ('"7", "8"', None, AnyOf(frozenset({7, 8}))),
        ('W/"7"', None, AnyOf(frozenset())),  # a weak tag never matches
        ('"x"', None, AnyOf(frozenset())),
        ('"0"', None, AnyOf(frozenset())),  # etcd says 0 of a key that does not exist
        ('"07"', None, AnyOf(frozenset())),
        ('"9999999999999999999999"', None, AnyOf(frozenset())),
        ('"9999999999999999999"', None, AnyOf(frozenset())),  # 19 digits, but over int64
    ],
)
def test_a_write_is_told_what_must_hold(if_match: str | None, if_none_match: str | None, condition: object) -> None:
    """The contract: `If-Match` and `If-None-Match: *` on writes; strong comparison."""
    assert write_condition(if_match, if_none_match) == condition


@pytest.mark.parametrize(
    ("if_match", "if_none_match"),
    [
        ("7", None),
        ("", None),
        ('"7', None),
        ('"7" "8"', None),
        ('w/"7"', None),
        ('*, "7"', None),
        (",", None),
        ('"a b"', None),
        (None, '"7"'),
        (None, ""),
        ('"7"', "*"),
        ("*", "*"),
    ],
)
def test_a_write_whose_conditions_make_no_sense_is_refused(if_match: str | None, if_none_match: str | None) -> None:
    """An ignored condition would overwrite what it was to protect."""
    with pytest.raises(Refused) as refusal:
        write_condition(if_match, if_none_match)
    assert refusal.value.problem.kind.status == 400


@given(st.lists(st.integers(1, 2**63 - 1), min_size=1, max_size=5), st.sampled_from([",", ", ", " ,\t", ",,"]))
def test_every_revision_of_a_list_is_found(revisions: list[int], comma: str) -> None:
    """However the list is spaced."""
    condition = write_condition(comma.join(f'"{revision}"' for revision in revisions), None)
    found = condition.revisions if isinstance(condition, AnyOf) else {condition.mod_revision}  # type: ignore[union-attr]
    assert found == set(revisions)


@pytest.mark.parametrize("filler", [" ,", ", ", " , ", ",\t ", '"a" ,'])
def test_a_long_malformed_header_is_refused_quickly(filler: str) -> None:
    """A regular expression that backtracks would take longer than the universe has."""
    started = time.monotonic()
    for header in (filler * 20_000 + "!", '"a"' + filler * 20_000 + "!"):
        with pytest.raises(Refused):
            write_condition(header, None)
    assert time.monotonic() - started < 2
