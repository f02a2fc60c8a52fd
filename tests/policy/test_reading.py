"""What a policy may say (`service.policy.reading`): all that is wrong is told at once, each with its place."""

from __future__ import annotations

import asyncio
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.http.requests import at_once
from service.json_text import NotJson
from service.policy import reading
from service.policy.faults import MOST_TOLD
from service.policy.reading import MAX_BYTES, MOST, Invalid
from service.policy.rules import NO_RULES, Rules, Schema, reason_missing
from service.turns import in_turns

WHOLE = {
    "guarded": ["flags/"],
    "schemas": [{"prefix": "team/", "schema": {"type": "object"}}, {"prefix": "team/open/", "schema": True}],
    "history": {"keep": 20, "max_bytes": 65536},
    "reason_required": ["prod/", "team/limits"],
}


def rules_in(text: bytes) -> Rules:
    return at_once(reading.rules_in(text))


def places(policy: object) -> list[str]:
    """The pointers of all that is wrong with it."""
    text = policy if isinstance(policy, bytes) else json.dumps(policy).encode()
    try:
        rules_in(text)
    except Invalid as invalid:
        return [fault.pointer for fault in invalid.faults.listed]
    return []


def test_a_policy_says_what_schemas_hold_and_where_a_reason_is_asked_for() -> None:
    found = rules_in(json.dumps(WHOLE).encode())
    assert found == Rules(
        schemas=(Schema("team/", b'{"type": "object"}', 0), Schema("team/open/", b"true", 1)),
        reason_required=("prod/", "team/limits"),
    )
    assert asyncio.run(in_turns(reading.rules_in(json.dumps(WHOLE).encode()))) == found


@pytest.mark.parametrize("member", WHOLE)
def test_each_member_may_be_left_out(member: str) -> None:
    assert places({name: value for name, value in WHOLE.items() if name != member}) == []
    assert rules_in(b"{}") == NO_RULES


def test_a_schema_stays_as_it_is_written() -> None:
    """A number that no float can hold, and blanks."""
    written = b'{ "maximum":\t1e999 ,"minimum":12345678901234567890123 }'
    found = rules_in(b'{"schemas": [{"schema":  ' + written + b' , "prefix": "a"}]}')
    assert found.schemas[0].text == written


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ([], [""]),
        (5, [""]),
        ({"guard": []}, ["/guard"]),
        ({"a/b~c": 1, "guarded": "flags/"}, ["/a~1b~0c", "/guarded"]),
        ({"guarded": {"a": 1}}, ["/guarded"]),
        ({"guarded": ["a", 1, None, ["b"], "a//b", "/a", "../", "a%zz", "x\u0000", "\ufffd", "k" * 513]},
         [f"/guarded/{index}" for index in range(1, 11)]),
        (b'{"guarded": ["\\ud800"]}', ["/guarded/0"]),
        ({"guarded": ["a/", "b", "a/"]}, ["/guarded/2"]),
        ({"guarded": ["k"] * (MOST + 1)}, ["/guarded"]),
        ({"schemas": [5, {}, {"prefix": "a"}, {"schema": {}}, {"prefix": 1, "schema": 1, "scheme": {}}]},
         ["/schemas/0", "/schemas/1", "/schemas/1", "/schemas/2", "/schemas/3", "/schemas/4/scheme",
          "/schemas/4/prefix", "/schemas/4/schema"]),
        ({"schemas": [{"prefix": "a", "schema": True}, {"prefix": "a", "schema": False}]}, ["/schemas/1"]),
        ({"history": []}, ["/history"]),
        ({"history": {"keep": -1, "max_bytes": 1.0, "kept": 1}},
         ["/history/kept", "/history/keep", "/history/max_bytes"]),
        ({"history": {"keep": True}}, ["/history/keep"]),
        ({"history": {"keep": 1001, "max_bytes": 1048577}}, ["/history/keep", "/history/max_bytes"]),
        (b'{"history": {"keep": 1e1}}', ["/history/keep"]),
        (b'{"history": {"keep": 100000000000000000000000000000001}}', ["/history/keep"]),
        ({"reason_required": [""]}, []),
        ({"reason_required": None}, ["/reason_required"]),
        (b'{"guarded": [' + b" " * MAX_BYTES + b"]}", [""]),
    ],
)  # fmt: skip
def test_all_that_is_wrong_is_told_with_its_place(policy: object, expected: list[str]) -> None:
    assert places(policy) == expected


@pytest.mark.parametrize("text", [b"", b"{", b'{"guarded": [], "guarded": []}', b"\xff", b"[" * 200 + b"]" * 200])
def test_what_is_no_json_is_refused_as_any_document_is(text: bytes) -> None:
    with pytest.raises(NotJson):
        rules_in(text)


def test_a_misspelt_member_is_told_what_it_is_near_to() -> None:
    with pytest.raises(Invalid, match="guarded is near"):
        rules_in(b'{"gaurded": []}')


def test_twenty_faults_are_told_and_that_there_are_more() -> None:
    with pytest.raises(Invalid) as invalid:
        rules_in(json.dumps({f"x{number}": 1 for number in range(30)}).encode())
    assert (len(invalid.value.faults.listed), invalid.value.faults.more) == (MOST_TOLD, True)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["guarded", "schemas", "history", "prefix", "schema", "keep", "x"]), inner, max_size=4)))  # fmt: skip  # noqa: E501
def test_whatever_is_said_is_a_policy_or_is_told_what_is_wrong(said: object) -> None:
    assert all(place == "" or place.startswith("/") for place in places(said))


def test_the_longest_policy_takes_no_more_of_the_loop_than_any_document() -> None:
    """Nothing of it is built, however many parts it has: 60,000 prefixes, of which 257 are noted."""
    text = b'{"guarded": [' + b",".join([b'"a"'] * 60_000) + b"]}"
    started = time.process_time()
    with pytest.raises(Invalid, match=f"at most {MOST} entries"):
        rules_in(text)
    assert time.process_time() - started < 5  # a hang, not a speed


@pytest.mark.parametrize(
    ("key", "index"), [("team/a", 0), ("team/limits/a", 1), ("team/limits/", 1), ("team/limit", 0), ("tea", None)]
)
def test_the_longest_prefix_counts(key: str, index: int | None) -> None:
    found = Rules(schemas=(Schema("team/", b"true", 0), Schema("team/limits/", b"true", 1), Schema("team/li", b"1", 2)))
    schema = found.schema_for(key)
    expected = 2 if key == "team/limit" else index
    assert (schema and schema.index) == expected


@pytest.mark.parametrize(
    ("keys", "reason", "missing"),
    [
        (["a", "prod/x", "prod/y"], "", "prod/x"),
        (["a", "prod/x"], " \t", "prod/x"),
        (["a", "prod/x"], "since", None),
        (["a", "pro"], "", None),
        ([], "", None),
    ],
)
def test_a_reason_is_missing_for_the_first_key_that_needs_one(
    keys: list[str], reason: str, missing: str | None
) -> None:
    assert reason_missing(Rules(reason_required=("prod/",)), keys, reason) == missing
    assert reason_missing(NO_RULES, keys, reason) is None
