"""The body of a batch (the contract): the changes that it makes, and the refusals, each with its index."""

from __future__ import annotations

import json
import tracemalloc
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consistency.core.model import MustBeAbsent, MustBeAt, MustExist, PreconditionFailed
from consistency.core.store import Change, Delete, Put
from service.documents import batches
from service.documents.batches import MAX_DEPTH, MAX_OPERATIONS, refused_by
from service.http.problems import Problem, Refused
from service.http.requests import at_once
from service.json_text import NotJson, scan
from tests.http.test_documents import ACCEPTED

PUT = b'{"op": "put", "key": "first", "value": 1}'


def body(*operations: bytes) -> bytes:
    """A batch of operations as they are written."""
    return b'{"operations": [' + b", ".join(operations) + b"]}"


def changes_in(text: bytes) -> tuple[Change, ...]:
    return at_once(batches.changes_in(text))


def refusal(text: bytes) -> Problem:
    """What a body is refused with, after having passed as a document."""
    at_once(scan(text, MAX_DEPTH))
    with pytest.raises(Refused) as refused:
        changes_in(text)
    return refused.value.problem


def test_a_batch_is_a_list_of_changes() -> None:
    """In the order given, each with its own precondition."""
    assert changes_in(
        body(
            b'{"op": "put", "key": "a/b", "value": {"limit":  10}}',
            b'{"op": "put", "key": "c", "value": 1, "if_match": "4"}',
            b'{"op": "put", "key": "d", "value": null, "if_match": "*"}',
            b'{"op": "put", "key": "e", "value": "", "if_none_match": "*"}',
            b'{"op": "delete", "key": "f"}',
            b'{"op": "delete", "key": "g", "if_match": "9223372036854775807"}',
            b'{"op": "delete", "key": "h", "if_match": "*"}',
        )
    ) == (
        Put("a/b", b'{"limit":  10}'),
        Put("c", b"1", MustBeAt(4)),
        Put("d", b"null", MustExist()),
        Put("e", b'""', MustBeAbsent()),
        Delete("f"),
        Delete("g", MustBeAt(2**63 - 1)),
        Delete("h", MustExist()),
    )


@pytest.mark.parametrize("document", [document for document in ACCEPTED if document.strip() == document], ids=repr)
def test_a_value_is_taken_as_it_is_written(document: bytes) -> None:
    """Whatever is accepted alone is accepted in a batch, nested as deep, and with the same bytes."""
    text = b'\n{ "operations" :[{"value":\t' + document + b' ,"key":"a","op":"put"} , ' + PUT + b"] } "
    at_once(scan(text, MAX_DEPTH))
    assert changes_in(text) == (Put("a", document), Put("first", b"1"))


def test_names_and_keys_may_be_written_with_escapes() -> None:
    r"""JSON knows many ways to write one text; `\/` and surrogate pairs among them."""
    text = body(rb'{"\u006fp": "p\u0075t", "key": "\u00fc\/\ud83c\udf89", "v\u0061lue": "\u0061"}')
    assert changes_in(text) == (Put("ü/🎉", rb'"\u0061"'),)


@pytest.mark.parametrize(
    "text",
    [
        b'{"operations": [' + PUT + b'], "operations": [' + PUT + b"]}",
        body(PUT, b'{"op": "put", "key": "a", "value": 1, "op": "delete"}'),
        body(PUT, b'{"op": "put", "key": "a", "value": 1, "v\\u0061lue": 2}'),
        body(PUT, b'{"op": "put", "key": "a", "value": [{"b": 1, "b": 1}]}'),
    ],
)
def test_no_name_is_given_twice_in_a_batch(text: bytes) -> None:
    """Which one counts? In the batch as in the values, which may also be sent alone."""
    with pytest.raises(NotJson, match="a name is given twice"):
        at_once(scan(text, MAX_DEPTH))


def test_a_large_value_is_cut_out_without_being_built() -> None:
    """A batch takes its own size once more, for the values; as objects it would take thirty times that."""
    value = b"[" + b",".join([b'{"":[{}]}'] * 20_000) + b"]"
    text = body(PUT, b'{"op": "put", "key": "a", "value": ' + value + b"}")
    tracemalloc.start()
    try:
        assert changes_in(text)[1] == Put("a", value)
        assert tracemalloc.get_traced_memory()[1] < 1.5 * len(text)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "text",
    [
        b"[]",
        b"null",
        b'"operations"',
        b"{}",
        b'{"operations": null}',
        b'{"operations": {}}',
        b'{"operations": "[]"}',
        b'{"operation": []}',
        b'{"operations": [' + PUT + b'], "sync": true}',
        body(),
        body(*(b'{"op": "delete", "key": "%d"}' % n for n in range(MAX_OPERATIONS + 1))),
    ],
    ids=lambda text: text[:40].decode(),
)
def test_what_is_no_batch_is_refused(text: bytes) -> None:
    """1 to 100 operations, and nothing else: a misspelt `"sync"` beside them would have no other voice."""
    problem = refusal(text)
    assert problem.kind.status == 400
    assert problem.extensions == ()


@pytest.mark.parametrize(
    ("operation", "told"),
    [
        (b"null", "object"),
        (b"[]", "object"),
        (b'"put"', "object"),
        (b"{}", "op is missing"),
        (b'{"op": "put", "value": 1}', "key is missing"),
        (b'{"op": "put", "key": "a"}', "value is missing"),
        (b'{"op": "delete", "key": "a", "value": 1}', "'value' is unknown"),
        (b'{"op": "delete", "key": "a", "if_none_match": "*"}', "'if_none_match' is unknown"),
        (b'{"op": "put", "key": "a", "value": 1, "lease": 7}', "'lease' is unknown"),
        (b'{"op": "put", "key": "a", "value": 1, "If_Match": "*"}', "'If_Match' is unknown"),
        (b'{"op": "move", "key": "a"}', "'move'"),
        (b'{"op": "PUT", "key": "a", "value": 1}', "'PUT'"),
        (b'{"op": 1, "key": "a"}', "op must be a string"),
        (b'{"op": ["put"], "key": "a"}', "op must be a string"),
        (b'{"op": "put", "key": 7, "value": 1}', "key must be a string"),
        (b'{"op": "put", "key": null, "value": 1}', "key must be a string"),
        (b'{"op": "put", "key": "a", "value": 1, "if_match": 4}', "if_match must be a string"),
        (b'{"op": "put", "key": "a", "value": 1, "if_match": null}', "if_match must be a string"),
        (b'{"op": "put", "key": "a", "value": 1, "if_match": ""}', "if_match must be"),
        (b'{"op": "put", "key": "a", "value": 1, "if_match": "0"}', "if_match must be"),
        (b'{"op": "put", "key": "a", "value": 1, "if_match": "04"}', "if_match must be"),
        (b'{"op": "put", "key": "a", "value": 1, "if_match": "-4"}', "if_match must be"),
        (b'{"op": "put", "key": "a", "value": 1, "if_match": " 4"}', "if_match must be"),
        (b'{"op": "put", "key": "a", "value": 1, "if_match": "4\\n"}', "if_match must be"),
        (b'{"op": "put", "key": "a", "value": 1, "if_match": "\\u0664"}', "if_match must be"),
        (b'{"op": "put", "key": "a", "value": 1, "if_match": "9223372036854775808"}', "if_match must be"),
        (b'{"op": "put", "key": "a", "value": 1, "if_match": "\\"4\\""}', "if_match must be"),
        (b'{"op": "put", "key": "a", "value": 1, "if_none_match": "4"}', "if_none_match must be"),
        (b'{"op": "put", "key": "a", "value": 1, "if_none_match": true}', "if_none_match must be a string"),
        (b'{"op": "put", "key": "a", "value": 1, "if_match": "*", "if_none_match": "*"}', "contradict"),
        (b'{"op": "delete", "key": "first"}', "'first'"),
        (rb'{"op": "delete", "key": "f\u0069rst"}', "'first'"),
        (b'{"op": "delete", "key": ""}', "empty"),
        (b'{"op": "delete", "key": "/a"}', "empty segment"),
        (b'{"op": "delete", "key": "a/../b"}', "'..'"),
        (rb'{"op": "delete", "key": "a\u0000"}', "control character"),
        (rb'{"op": "delete", "key": "\ud800"}', "surrogate"),
        (b'{"op": "delete", "key": "' + "ü".encode() * 257 + b'"}', "514 bytes"),
        (b'{"op": "' + b"x" * 1000 + b'", "key": "a"}', "xxx"),
        (b'{"op": "delete", "key": "a", "x' + "é".encode() * 1000 + b'": 1}', ascii("x" + "é" * 59 + "…")),
        (b'{"op": "delete", "key": "a", "' + b"\\ud800" * 1000 + b'": 1}', ascii("\ud800" * 60 + "…")),
    ],
    ids=lambda value: repr(value[:70]) if isinstance(value, bytes) else "",
)
def test_a_wrong_operation_is_refused_with_its_index(operation: bytes, told: str) -> None:
    """Nothing is guessed, and the caller needn't search among a hundred."""
    problem = refusal(body(PUT, operation))
    assert problem.kind.status == 400
    assert problem.extensions == (("index", 1),)
    assert problem.detail.startswith("Operation 1: ")
    assert told in problem.detail
    assert len(problem.detail) < 500
    assert json.loads(problem.body())["index"] == 1


def test_the_last_operation_allowed_is_looked_at_like_the_first() -> None:
    """At the limit, and one wrong among a hundred."""
    deletes = [b'{"op": "delete", "key": "%d"}' % n for n in range(MAX_OPERATIONS)]
    assert len(changes_in(body(*deletes))) == MAX_OPERATIONS
    assert refusal(body(*deletes[:-1], b"{}")).extensions == (("index", MAX_OPERATIONS - 1),)


def test_a_refused_precondition_names_its_operation() -> None:
    """412 with the index and the current revision, 0 if there is no such key; an ETag would be the batch's own."""
    changes = (Put("a", b"1"), Delete("b", MustBeAt(4)))
    problem = refused_by(PreconditionFailed("b", 7), changes).problem
    assert (problem.kind.status, problem.headers) == (412, ())
    assert dict(problem.extensions) == {"index": 1, "key": "b", "mod_revision": 7}


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["put", "delete", "*", "4"]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["operations", "op", "key", "value", "if_match", "if_none_match"]), inner, max_size=6
            )
        ),
    )
)
def test_any_document_is_a_batch_or_refused_and_never_an_error(value: Any) -> None:
    """Fault matrix: malformed input of any kind is never a 500."""
    for shape in (value, {"operations": value}, {"operations": [value]}):
        with suppress(Refused):
            changes_in(json.dumps(shape).encode())


@pytest.mark.parametrize("key", ["a%", "%zz", "a%4/b", "\ufffd", "\\ufffd", "\\u0025zz"])
def test_a_key_that_no_path_could_name_is_refused_in_a_batch(key: str) -> None:
    """Else it could be written, and never be read or deleted by itself."""
    for operation in ('{"op": "delete", "key": "%s"}', '{"op": "put", "value": 1, "key": "%s"}'):
        with pytest.raises(Refused) as refusal:
            changes_in(body((operation.replace("%s", key)).encode()))
        assert refusal.value.problem.kind.slug in ("invalid-key", "invalid-escape")
