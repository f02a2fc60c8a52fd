"""The author in a version: it comes back as it was written, and a foreign text tells nothing."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consistency.core.known import weight
from consistency.core.model import NOBODY, Author, Authors, VersionEvent, VersionRecord, VersionState
from consistency.core.records import (
    LARGEST_VERSION,
    LONGEST_NAME,
    LONGEST_REASON,
    MOST_AUTHORS,
    QUICK_TO_READ,
    UNSIGNED,
)

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
authors = st.builds(Author, text, text, text)
signed = st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), authors, min_size=1, max_size=6)


@given(signed)
def test_each_key_has_the_author_who_wrote_it(by_key: dict[str, Author]) -> None:
    record = VersionRecord("0" * 32, frozenset(by_key), "put", False, Authors.of_each(by_key.items()))
    read = VersionRecord.decode(record.encode())
    assert {key: read.authors.of(key) for key in by_key} == by_key
    assert read.authors.by_key(by_key) == by_key
    assert read == record


@pytest.mark.parametrize("character", ["a", "\\", "é", "\N{PARTY POPPER}"])
def test_the_largest_batch_with_the_longest_reason_is_read_as_it_was_written(character: str) -> None:
    """Also by releases that know no authors: what comes behind the names stays below what they read."""
    keys = frozenset(f"{number:02}" + "\x01" * 510 for number in range(100))
    wordy = Author("n" * LONGEST_NAME, "r" * LONGEST_NAME, character * LONGEST_REASON)
    record = VersionRecord("0" * 32, keys, "batch", False, Authors.of_all(wordy))
    encoded = record.encode()
    assert VersionRecord.decode(encoded) == record
    assert len(encoded) <= LARGEST_VERSION
    assert len(encoded) - encoded.index(b"], ") < QUICK_TO_READ


@pytest.mark.parametrize(
    "found",
    [
        1, "a", {}, [1], [None], [{"by": 1}], [{"why": None}], [{"by": "\ud800"}], [{"keys": 1}], [{"keys": ["a"]}],
        [{"keys": [1]}], [{"keys": [-1]}], [{"by": "a" * 129}], [{"why": "a" * 501}], [{}] * (MOST_AUTHORS + 1),
    ],
)  # fmt: skip
def test_what_is_none_of_ours_tells_nobody_and_the_names_stay(found: object) -> None:
    raw = json.dumps({"nonce": "a", "keys": ["a"], "op": "put", "ack": False, "authors": found}).encode()
    read = VersionRecord.decode(raw)
    assert (read.names, read.authors) == (frozenset({"a"}), UNSIGNED)


def test_a_record_without_authors_is_the_one_that_earlier_releases_write() -> None:
    assert VersionRecord("a", frozenset({"b"}), "put").encode() == (
        b'{"nonce": "a", "keys": ["b"], "op": "put", "ack": false}'
    )


@pytest.mark.parametrize("given", [("a" * 129,), ("", "a" * 129), ("", "", "a" * 501)])
def test_what_is_too_long_is_refused(given: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="at most"):
        Author(*given)


def test_authors_take_room_in_the_memory_of_what_happened() -> None:
    """A bound in bytes is one of all of it (rule 18)."""

    def event(author: Author) -> VersionEvent:
        return VersionEvent(VersionState(5, 1, 2, "a"), frozenset({"b"}), False, "put", Authors.of_all(author))

    assert weight(event(NOBODY)) < weight(event(Author("a", "b", "c" * 500)))
