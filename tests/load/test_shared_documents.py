"""What a read of a document that is written meanwhile may answer."""

from __future__ import annotations

from tools.shared_documents import Document


def test_what_is_possible_is_all_since_the_last_write_that_was_done_before() -> None:
    """A write that is under way may have been done or not; one that was done replaces what was before."""
    document = Document("/config/x")
    assert document.possible(0.0) == [None]
    document.begin(b"1")
    assert document.possible(5.0) == [None, b"1"]
    document.acknowledge(10.0)
    assert document.possible(9.9) == [None, b"1"]
    assert document.possible(10.0) == [b"1"]
    document.begin(None)
    document.acknowledge(20.0)
    assert document.possible(15.0) == [b"1", None]
    assert document.possible(21.0) == [None]
    document.begin(b"2")
    assert document.possible(21.0) == [None, b"2"]
