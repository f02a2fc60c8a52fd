"""What counts as a JSON document. Hazard: 50,000 nested arrays end in RecursionError; NaN and Infinity pass."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.documents import MAX_DEPTH, check_document, depth, whole
from service.problems import Refused

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
    b'{"b":1,"a":2,"b":3}',  # duplicate names: kept as they are
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
]


@pytest.mark.parametrize("document", ACCEPTED, ids=repr)
def test_every_json_text_is_a_document(document: bytes) -> None:
    """The contract: any JSON document, `null`, `false`, `0` and `""` included."""
    check_document(document)


@pytest.mark.parametrize("document", REFUSED, ids=lambda document: repr(document[:20]))
def test_what_is_not_json_is_refused(document: bytes) -> None:
    """The contract: NaN, Infinity, absurd nesting and invalid UTF-8 are 400."""
    with pytest.raises(Refused) as refusal:
        check_document(document)
    assert refusal.value.problem.kind.status == 400


@pytest.mark.fault("malformed input of any kind")
@given(st.binary(max_size=200) | st.text(alphabet='[]{}",:\\ 1ae', max_size=60).map(str.encode))
def test_bytes_are_a_document_or_refused_and_never_an_error(data: bytes) -> None:
    """Agrees with the standard parser about what is JSON, apart from what is refused on purpose."""
    try:
        check_document(data)
    except Refused:
        return
    json.loads(data.decode())


@given(st.recursive(st.none() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_depth_counts_brackets_outside_of_strings(value: object) -> None:
    """The bound on nesting is on what a parser would have to stack."""

    def stacked(value: object) -> int:
        if isinstance(value, dict):
            value = list(value.values())
        return 1 + max(map(stacked, value), default=0) if isinstance(value, list) else 0

    assert depth(json.dumps(value).encode()) == stacked(value)


def test_depth_is_found_quickly_in_the_largest_documents() -> None:
    """A regular expression that tried every split of a string would take hours; the runner's time limit notices."""
    for document in (b'"' + rb"\"" * 500_000, b'"' * 1_000_000, b"[]" * 500_000, b'"' + b"a" * 1_000_000):
        assert depth(document) <= 1


@given(
    st.recursive(
        st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ),
    st.sampled_from([None, 1, "\t"]),
    st.sampled_from([(",", ":"), (" ,  ", "\t:\n")]),
    st.text(" \t\r\n", max_size=3),
)
def test_the_parts_of_a_document_are_what_it_was_made_of(
    value: object, indent: int | str | None, separators: tuple[str, str], blanks: str
) -> None:
    """Cut out and read alone, each part is what a parser finds in the whole, whatever stands between them."""
    written = blanks + json.dumps(value, indent=indent, separators=separators) + blanks
    part = whole(written.encode())
    if isinstance(value, dict):
        assert {name: json.loads(member.raw) for name, member in part.members().items()} == value
    elif isinstance(value, list):
        assert [json.loads(item.raw) for item in part.parts()] == value
    else:
        assert json.loads(part.raw) == value


@pytest.mark.parametrize("document", [document for document in ACCEPTED if document.strip() == document], ids=repr)
def test_a_part_is_cut_out_byte_for_byte(document: bytes) -> None:
    """With what stands around it, and without its blanks."""
    *_, part = whole(b' [ "[", 1, {"a": "]"}, ' + document + b" \r\n] ").parts()
    assert part.raw == document


def test_a_name_that_is_given_twice_is_refused() -> None:
    """Also when one of them is written with escapes: two readers would take different ones."""
    for document in (b'{"a": 1, "a": 1}', rb'{"a": 1, "b": 2, "\u0061": 3}'):
        with pytest.raises(Refused):
            whole(document).members()
