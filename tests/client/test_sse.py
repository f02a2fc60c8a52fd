"""Events out of bytes: however they are cut, and never more of them than is borne."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config_client.core.sse import Parser, ServerEvent, TooLong

LINES = st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]), max_size=8)


@given(
    events=st.lists(st.tuples(LINES, st.lists(LINES, min_size=1, max_size=3), LINES | st.none()), max_size=5),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    sizes=st.lists(st.integers(1, 7), min_size=1, max_size=50),
)
def test_events_are_the_same_however_they_are_cut(
    events: list[tuple[str, list[str], str | None]], end: str, sizes: list[int]
) -> None:
    text = ""
    for name, data, token in events:
        lines = [f"event: {name}", *(f"data: {line}" for line in data), *([] if token is None else [f"id: {token}"])]
        text += end.join([*lines, "", ""])
    # What ends with a carriage return is not over until it is known that no line feed follows.
    wire = text.encode() + b": the next\n"
    parser, found, at = Parser(), list[ServerEvent](), 0
    while at < len(wire):
        size = sizes[at % len(sizes)]
        found += parser.feed(wire[at : at + size])
        at += size
    assert found == [ServerEvent(name or "message", "\n".join(data), token) for name, data, token in events]


def test_what_is_no_event_is_passed_over() -> None:
    wire = b"\xef\xbb\xbf: a comment\n\ndata\n\nid: 1\n\n"
    wire += b"event: put\nid: a\0b\nretry: 5x\nstrange: 1\ndata:  x\n\nretry: 700\n\n"
    assert Parser().feed(wire) == [
        ServerEvent("message", ""),
        ServerEvent("put", " x"),
        ServerEvent("message", "", retry=700),
    ]


@pytest.mark.parametrize("line", [b"data: 0123456789\n", b"0123456789", b"data: 0123456789\rdata: \r"])
def test_an_event_without_an_end_has_a_bound(line: bytes) -> None:
    parser = Parser(most=1000)
    with pytest.raises(TooLong, match="an event has more than 1000 bytes"):
        feed_often(parser, line)


def feed_often(parser: Parser, line: bytes) -> None:
    for _ in range(200):
        assert parser.feed(line) == []


def test_many_events_are_no_long_one() -> None:
    parser = Parser(most=1000)
    assert sum(len(parser.feed(b"data: 0123456789\n\n" * 100)) for _ in range(100)) == 10_000
