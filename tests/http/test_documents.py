"""What counts as a JSON document. Hazards: 50,000 nested arrays end in RecursionError; NaN and Infinity pass; of two
members of one name readers take different ones; 1 MiB of small objects becomes 60 MB.
"""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from service.http.requests import at_once
from service.json_text import MAX_DEPTH, NotJson, scan

ACCEPTED = [
    b"null",
    b"false",
    b"0",
    b'""',
    b"[]",
    b" \t\r\n{ } \n",
    b"1e400",  # not a double, but a JSON number
    b"-0.0e-0",
    b"1" * 5000,  # Python refuses to evaluate more than 4300 digits
    b'{"b":1,"a":{"b":2},"c":{"b":3}}',  # one name in several objects
    rb'{"\ud800":1,"\udc00":2,"\ud800\udc00":3}',  # the halves are other names than the whole
    '{"é":1,"e\u0301":2}'.encode(),  # they look alike, but are not the same characters
    rb'"\ud800"',  # a lone surrogate, escaped: valid JSON text
    rb'"\u0000"',
    '{"schlüssel": "日本 🎉"}'.encode(),
    b'"[[[[[[[[[[[[[[[["',
    rb'"\"[" ',
    b"[" * MAX_DEPTH + b"]" * MAX_DEPTH,
    b'{"a":' * MAX_DEPTH + b"1" + b"}" * MAX_DEPTH,
    b"[" + b"[]," * 500 + b"[]]",  # wide, not deep
]

REFUSED = [
    b"",
    b" ",
    b"{",
    b"[1,]",
    b"{'a':1}",
    b"01",
    b"+1",
    b".5",
    b"1 2",
    b"NaN",
    b"[Infinity]",
    b'{"a":-Infinity}',
    b"nul",
    b'"\x01"',
    b'"a\nb"',
    b'"\xff"',
    b"\xef\xbb\xbf1",  # a byte order mark
    "1".encode("utf-16"),
    "\u0661".encode(),  # a digit, but not JSON's
    b'"\xed\xa0\x80"',  # a surrogate, encoded
    b"[" * 50_000 + b"]" * 50_000,
    b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    b"[" * 50_000,
    b'"' + b"\\",
    b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1),
    b"[1}",
    b'{"a":1]',
    b"[1]]",
    b"1,2",
    b'{"a"}',
    b'{"a":}',
    b'{"a":1,}',
    b'{1:"a"}',
    b"1.",
    b"-",
    b"1e",
    rb'"\x"',
    rb'"\u00_1"',
    b"1\xc2\xa0",  # a blank, but not JSON's
    b"[1\x0b]",
]

TWICE = [
    (b'{"b":1,"a":2,"b":3}', "line 1, column 14"),
    (rb'{"a":1,"\u0061":2}', "line 1, column 8"),
    (rb'{"\ud83c\udf89":1,' + '"🎉":2}'.encode(), "line 1, column 19"),
    (rb'{"\/":1,"/":2}', "line 1, column 9"),
    (b'{"":0,"":0}', "line 1, column 7"),
    (b'[1,{"x":[{"a":{},\n "a":[]}]}]', "line 2, column 2"),
    (b'{"a":{"a":1},"a":2}', "line 1, column 14"),
    (rb'{"\ud800":1,"\uD800":2}', "line 1, column 13"),
    ('{"日":1,\n"é":2, "é":3}'.encode(), "line 2, column 8"),
]
"""Documents that name a member twice, and where the second one is."""


def check_document(document: bytes, max_depth: int = MAX_DEPTH) -> None:
    at_once(scan(document, max_depth))


@pytest.mark.parametrize("document", ACCEPTED, ids=repr)
def test_every_json_text_is_a_document(document: bytes) -> None:
    """The contract: any JSON document, `null`, `false`, `0` and `""` included."""
    check_document(document)


@pytest.mark.parametrize("document", REFUSED, ids=lambda document: repr(document[:20]))
def test_what_is_not_json_is_refused(document: bytes) -> None:
    """The contract: NaN, Infinity, absurd nesting and invalid UTF-8 are 400."""
    with pytest.raises(NotJson):
        check_document(document)


@pytest.mark.fault("malformed input of any kind")
@given(st.binary(max_size=200) | st.text(alphabet='[]{}",:\\ 1ae', max_size=60).map(str.encode))
def test_bytes_are_a_document_or_refused_and_never_an_error(data: bytes) -> None:
    """Agrees with the standard parser about what is JSON, apart from what is refused on purpose."""
    try:
        check_document(data)
    except NotJson:
        return
    json.loads(data.decode())


def by_the_standard(data: bytes) -> str:
    """What json.loads and a look at its members and its depth say: good, or why not."""

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) < len(pairs):
            raise LookupError
        return dict(pairs)

    def constant(name: str) -> None:
        raise ValueError(name)

    try:
        value = json.loads(
            data.decode(), object_pairs_hook=members, parse_constant=constant, parse_int=len, parse_float=len
        )
    except LookupError:
        return "twice"
    except ValueError:
        return "no JSON"
    return "deep" if stacked(value) > DEEP else "good"


def stacked(value: object) -> int:
    """Arrays and objects inside of one another."""
    if isinstance(value, dict):
        value = list(value.values())
    return 1 + max(map(stacked, value), default=0) if isinstance(value, list) else 0


DEEP = 3
TOKENS: tuple[str, ...] = (
    "[",
    "]",
    "{",
    "}",
    ",",
    ":",
    '"',
    '"a"',
    '"\\u0061"',
    '""',
    "0",
    "-1.5e+3",
    "01",
    "1.",
    "-",
    "null",
    "tru",
)
TOKENS += (
    '{"a":',
    '"b":[',
    "}}",
    "[]",
    "{}",
    " ",
    "\n",
    "\t",
    "\x0c",
    "NaN",
    "-Infinity",
    "\\",
    '\\"',
    "é",
    "🎉",
    "\ufeff",
)
_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('aé🎉\\"', max_size=1), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=1000)
@given(
    st.lists(st.sampled_from(TOKENS), max_size=14).map("".join).map(str.encode)
    | st.binary(max_size=60)
    | _VALUES.map(json.dumps).map(str.encode)
    | st.tuples(_VALUES, st.integers(0, 200), st.sampled_from(TOKENS))
    .map(lambda drawn: (text := json.dumps(drawn[0], ensure_ascii=False))[: drawn[1]] + drawn[2] + text[drawn[1] :])
    .map(str.encode)
)
def test_the_verdict_is_that_of_the_standard_parser(data: bytes) -> None:
    """Of what is JSON, of what is nested too deep and of names given twice: written twice, and compared."""
    said = by_the_standard(data)
    try:
        check_document(data, DEEP)
    except NotJson as error:
        detail = str(error)
        assert said != "good", detail
        # A text may be wrong in several ways: the first one met is told.
        assert said in ("no JSON", "twice" if "twice" in detail else "deep", "deep" if "deep" in detail else "twice")
    else:
        assert said == "good"


@pytest.mark.parametrize(("document", "place"), TWICE, ids=repr)
def test_a_name_that_is_given_twice_is_refused_at_any_depth(document: bytes, place: str) -> None:
    """Readers differ in which one counts (RFC 8259, 4), also when one of them is written with escapes."""
    with pytest.raises(NotJson) as error:
        check_document(document)
    assert str(error.value) == f"a name is given twice in one object at {place}"


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (b"", "a value is expected at line 1, column 1"),
        (b"[1,\n 2,]", "a value is expected at line 2, column 4"),
        (b"[NaN]", "NaN is not a JSON value at line 1, column 2"),
        (b'{"a": -Infinity}', "-Infinity is not a JSON value at line 1, column 7"),
        (b"[1 2]", "a comma or an end is expected at line 1, column 4"),
        (b'{"a" 1}', "a colon is expected at line 1, column 6"),
        (b"{'a':1}", "a name in double quotes is expected at line 1, column 2"),
        (b'{"a":"\x01"}', "a string has no end, a control character or an unknown escape at line 1, column 6"),
        ('"日本'.encode(), "a string has no end, a control character or an unknown escape at line 1, column 1"),
        (b"[1}", "what is open here is not ended at line 1, column 4"),
        (b"[1", "what is open here is not ended at line 1, column 3"),
        (b"1,2", "nothing may follow the document at line 1, column 3"),
        ('[1,\n"日本" x]'.encode(), "a comma or an end is expected at line 2, column 6"),
        (b'"' + "é".encode() * 40_000 + b'\xff"', "byte 80001 is not UTF-8"),
        (b'"' + "日".encode() * 40_000 + b"\xe6", "byte 120001 is not UTF-8"),
    ],
    ids=lambda given: repr(given)[:40],
)
def test_a_refusal_says_what_is_wrong_and_where(document: bytes, reason: str) -> None:
    """Lines and columns are counted in characters, as editors count them."""
    with pytest.raises(NotJson) as error:
        check_document(document)
    assert str(error.value) == reason


SIZE = 256 * 1024


def filled(unit: Callable[[int], str], ends: str = "[]") -> bytes:
    """A document of SIZE bytes: as many units as there is room for."""
    units: list[str] = []
    size = 0
    while size < SIZE - 40:
        units.append(unit(len(units)))
        size += len(units[-1].encode()) + 1
    return f"{ends[0]}{','.join(units)}{ends[1]}".encode()


BOMBS = {
    "objects": filled(lambda _: '{"":0}'),
    "arrays": filled(lambda _: "[]"),
    "deep arrays": filled(lambda _: "[" * 100 + "]" * 100),
    "numbers": filled(lambda _: "0"),
    "strings": filled(lambda number: f'"{number:x}"'),
    "beyond Latin-1": filled(lambda _: '"日"'),
    "one long string": b'"' + rb"\n" * (SIZE // 2 - 1) + b'"',
    "one long string of emoji": '"{}"'.format("🎉" * (SIZE // 4 - 1)).encode(),
    "names": filled(lambda number: f'"{number:x}":0', "{}"),
    "names with escapes": filled(lambda number: f'"\\n{number:x}":0', "{}"),
    "objects in objects": filled(lambda number: f'"{number:x}":{{"{number:x}":{{}}}}', "{}"),
    "a string that never ends": b'"' + rb"\"" * (SIZE // 2),
    "quotes": b'"' * SIZE,
    "brackets in strings": filled(lambda _: '"[{"'),
}
"""What becomes many times as large when it is built."""


@pytest.mark.lasting
@pytest.mark.parametrize("bomb", BOMBS)
def test_a_document_is_checked_without_being_built(bomb: str) -> None:
    """It takes the names of open objects and nothing else; the standard parser builds thirty times as much."""
    tracemalloc.start()
    try:
        with suppress(NotJson):
            check_document(BOMBS[bomb])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    room_for_names = 14 if bomb.startswith("names") else 5 if bomb == "objects in objects" else 0
    assert peak < room_for_names * SIZE + 400 * 1024


def test_a_long_check_pauses_now_and_then() -> None:
    """So that somebody else may be served meanwhile: at the latest after some hundreds of values."""
    assert sum(1 for _ in scan(BOMBS["objects"])) > len(BOMBS["objects"]) / 7 / 512
    assert sum(1 for _ in scan(BOMBS["beyond Latin-1"])) > SIZE / (64 * 1024)


def told(document: bytes, levels: int, max_depth: int = MAX_DEPTH) -> list[tuple[int, str, bytes]]:
    """Level, name and bytes of each value that is told, in the order in which they end."""
    values: list[tuple[int, str, bytes]] = []

    def tell(level: int, name: bytes, start: int, end: int) -> None:
        values.append((level, name.decode("utf-8", "surrogatepass"), document[start:end]))

    for _ in scan(document, max_depth, levels, tell):
        pass
    return values


def inner_first(value: object, levels: int, level: int = 0, name: str = "") -> list[tuple[int, str, object]]:
    """The same of what a parser makes of it."""
    if level == levels:
        return []
    named: list[tuple[str, object]] = []
    if isinstance(value, dict):
        named = list(value.items())
    elif isinstance(value, list):
        named = [("", each) for each in value]
    within = [found for inner, each in named for found in inner_first(each, levels, level + 1, inner)]
    return [*within, (level, name, value)]


@given(
    st.recursive(
        st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ),
    st.sampled_from([None, 1, "\t"]),
    st.sampled_from([(",", ":"), (" ,  ", "\t:\n")]),
    st.text(" \t\r\n", max_size=3),
    st.integers(0, 4),
)
def test_the_values_told_are_what_the_document_was_made_of(
    value: object, indent: int | str | None, separators: tuple[str, str], blanks: str, levels: int
) -> None:
    """Cut out and read alone, each is what a parser finds in the whole, whatever stands between them."""
    written = blanks + json.dumps(value, indent=indent, separators=separators) + blanks
    found = [(level, name, json.loads(text)) for level, name, text in told(written.encode(), levels)]
    assert found == inner_first(value, levels)


@pytest.mark.parametrize("document", [document for document in ACCEPTED if document.strip() == document], ids=repr)
def test_a_value_is_told_byte_for_byte(document: bytes) -> None:
    """With what stands around it, and without its blanks."""
    *_, last, _ = told(b' [ "[", 1, {"a": "]"}, ' + document + b" \r\n] ", 2, MAX_DEPTH + 1)
    assert last == (1, "", document)


LONG = 3000
"""Escapes and characters of a name, at least: more than are decoded at once."""

UNITS = ("a", "é", "日", "🎉", r"\n", r"\\", r"\"", r"\ud83d", r"\ude00", r"\ud83d\ude00", r"\uD83D\uDE00", r"\u00e9")
"""What names are made of: also halves of a surrogate pair, and both, which are one character."""

NO_UNITS = ("\n", r"\x", r"\u00g0", r"\ud83d\u")
UNITS_OF_A_NAME = st.lists(st.sampled_from(UNITS), min_size=1, max_size=4)


@given(UNITS_OF_A_NAME, UNITS_OF_A_NAME, st.just("") | st.sampled_from(NO_UNITS + UNITS))
@example(["a"], [r"\ud83d\ude00"], "")
@example(["a"], [r"\ud83d\ude00", r"\ud83d"], r"\ude00")
@example(["a"], ["é" * 99, "🎉" * 99, r"\n"], "")
def test_a_long_name_is_what_the_standard_parser_makes_of_it(first: list[str], again: list[str], last: str) -> None:
    """It is decoded in pieces, none of which ends within a character, an escape, or a pair of them."""
    name = "".join(first + again * (LONG // len(again))) + last
    written = f'{{"{name}":0}}'
    try:
        (expected,) = json.loads(written)
    except ValueError:
        with pytest.raises(NotJson):
            check_document(written.encode())
        return
    (_, name, _), _ = told(written.encode(), 2)
    assert name == expected


def test_a_long_name_is_decoded_with_pauses() -> None:
    """Half a megabyte of escapes is looked at in 43 pieces, and decoded in as many."""
    name = rb"\u0061" * (512 * 1024 // 6)
    looked_at = sum(1 for _ in scan(b'["' + name + b'"]'))
    assert sum(1 for _ in scan(b'{"' + name + b'":0}')) >= 2 * looked_at - 3


def test_a_check_of_long_strings_pauses_after_each() -> None:
    """Values alone are no measure: 64 strings of 16 KiB are 1 MiB."""
    strings = b",".join([b'"' + b"a" * 16 * 1024 + b'"'] * 64)
    assert sum(1 for _ in scan(b"[" + strings + b"]")) >= 63
