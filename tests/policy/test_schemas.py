"""Documents held against schemas (`service.policy.schemas`), in the real process, which some of them end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from service.http.problems import Refused
from service.policy.faults import MOST_TOLD, Faults
from service.policy.rules import Schema
from service.policy.schemas import Schemas, TakesTooMuch
from tests.support.driver import Meanwhile, least_hold, run, until
from tests.support.holds import most

PROJECT = Path(__file__).parents[2]
LIMITS = Schema("", b'{"type": "object", "properties": {"limit": {"type": "integer", "maximum": 100}}}', 0)

# Nothing can interrupt the library meanwhile: half a minute, and gigabytes.
WORDS = Schema("", json.dumps({"items": {"enum": [f"{'a' * 22}{number}" for number in range(8000)]}}).encode(), 0)
NO_WORDS = json.dumps(["a" * 24] * 30_000).encode()

DOUBLING = {f"a{each}": {"allOf": [{"$ref": f"#/$defs/a{each + 1}"}] * 2} for each in range(40)}
ENDLESS = json.dumps({"$ref": "#/$defs/a0", "$defs": {**DOUBLING, "a40": {"type": "integer"}}}).encode()


@pytest.fixture
def schemas() -> Iterator[Schemas]:
    made = Schemas()
    yield made
    run(made.close())


def told(work: Coroutine[Any, Any, Faults]) -> list[tuple[str, str]]:
    return [(fault.pointer, fault.expected) for fault in run(work).listed]


def schema(said: object) -> Schema:
    return Schema("", said if isinstance(said, bytes) else json.dumps(said).encode(), 0)


@pytest.mark.parametrize(
    ("said", "document", "expected"),
    [
        ({"properties": {"a": {"type": "integer"}}}, b'{"a": "x"}', [("/a", 'type: ["integer"]')]),
        ({"properties": {"a": {"maximum": 10}}}, b'{"a": 11}', [("/a", "maximum: 10")]),
        ({"items": {"properties": {"~/": {"const": 1}}}}, b'[{}, {"~/": 2}]', [("/1/~0~1", "const: 1")]),
        ({"required": ["b"]}, b"{}", [("", 'required: "b"')]),
        ({"properties": {"a": {}}, "additionalProperties": False}, b'{"b": 1}',
         [("", 'additionalProperties: none but those described; found ["b"]')]),
        ({"anyOf": [{"type": "string"}, {"minimum": 3}]}, b"1", [("", 'anyOf: type: ["string"], or minimum: 3')]),
        ({"oneOf": [True, True]}, b"1", [("", "oneOf: only one of the schemas listed there, not several")]),
        ({"uniqueItems": True}, b"[1, 1.0]", [("", "uniqueItems: no item twice")]),
        ({"propertyNames": {"maxLength": 1}}, b'{"aa": 1}', [("", "propertyNames: maxLength: 1")]),
        ({"pattern": "^[a-z]+$"}, b'"A"', [("", 'pattern: "^[a-z]+$"')]),
        ({"format": "ipv4"}, b'"1.2.3"', [("", 'format: "ipv4"')]),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"type": "null"}}}, b"1", [("", 'type: ["null"]')]),
        ({"maximum": 10}, b"1e999", [("", "maximum: 10")]),
        ({"type": "number"}, b"-1e400", []),
        ({"maximum": 9007199254740993}, b"9007199254740994", [("", "maximum: 9007199254740993")]),
        ({"multipleOf": 0.1}, b"0.3", []),
        (False, b"1", [("", "falseSchema: nothing may stand here")]),
        (True, b'"\\u00fc"', []),
        ({"items": {"$ref": "#"}}, b"[" * 128 + b"]" * 128, []),
    ],
)  # fmt: skip
def test_a_document_is_told_where_it_breaks_the_schema_and_what_that_asks_for(
    schemas: Schemas, said: object, document: bytes, expected: list[tuple[str, str]]
) -> None:
    assert told(schemas.learn(schema(said))) == []
    assert told(schemas.hold(schema(said), document)) == expected


def test_a_number_of_5_000_digits_is_one(schemas: Schemas) -> None:
    assert told(schemas.hold(LIMITS, b'{"limit": ' + b"1" * 5000 + b"}")) == [("/limit", "maximum: 100")]


def test_half_of_a_character_can_not_be_held_against_a_schema(schemas: Schemas) -> None:
    ((place, expected),) = told(schemas.hold(schema({"maxLength": 5}), b'"\\ud800"'))
    assert (place, expected.partition(";")[0]) == ("", "a document that can be held against a schema")


@pytest.mark.parametrize(
    ("said", "place", "expected"),
    [
        ({"type": "strnig"}, "/type", "anyOf: enum: "),
        ({"properties": {"a": {"minimum": "1"}}}, "/properties/a/minimum", 'type: ["number"]'),
        ({"maximun": 1}, "/maximun", 'a word of JSON Schema 2020-12, or one that begins with x-; "maximun" is none'),
        ({"allOf": [{"x-owner": 1, "additionalItems": 1}]}, "/allOf/0/additionalItems", "a word"),
        ({"$schema": "http://json-schema.org/draft-07/schema#"}, "/$schema", "https://json-schema.org/draft/2020-12"),
        ({"$ref": "https://example.com/x"}, "/$ref", "a reference within the schema; "),
        ({"items": {"$ref": "file:///etc/passwd"}}, "/items/$ref", "a reference within the schema; "),
        ({"items": {"$ref": "other.json"}}, "/items/$ref", "a reference within the schema; "),
        ({"items": {"$ref": "#/$defs/none"}}, "/items/$ref", "a reference within the schema; "),
        ({"pattern": "(a)\\1"}, "/pattern", "a pattern without look-around and back-references, and not too large"),
        ({"patternProperties": {"(?=a)": {}}}, "/patternProperties", "a pattern without"),
        ({"pattern": "((a{1,999}){1,999}){1,999}"}, "/pattern", "a pattern without"),
        ({"format": "fourdigits"}, "/format", "Unknown format: 'fourdigits'"),
        (b'{"$defs":' * 127 + b"{}" + b"}" * 127, "", "a JSON Schema; "),
    ],
)
def test_what_is_no_schema_is_told_so(schemas: Schemas, said: object, place: str, expected: str) -> None:
    """Also what the standard would ignore: a misspelt word, a format that nobody knows, another version's words."""
    ((pointer, found),) = told(schemas.learn(schema(said)))
    assert found.startswith(expected)
    assert pointer.startswith(place)


def test_twenty_faults_are_told_and_that_there_are_more(schemas: Schemas) -> None:
    found = run(schemas.hold(schema({"items": False}), json.dumps([1] * 30).encode()))
    assert (len(found.listed), found.more) == (MOST_TOLD, True)


def test_what_takes_too_long_is_ended_and_the_next_one_is_answered(schemas: Schemas) -> None:
    assert told(schemas.hold(LIMITS, b"{}")) == []
    before = schemas.pid
    with pytest.raises(TakesTooMuch, match="it takes more than"):
        run(schemas.hold(WORDS, NO_WORDS))
    assert told(schemas.hold(LIMITS, b'{"limit": 101}')) == [("/limit", "maximum: 100")]
    assert schemas.pid != before


def test_a_schema_that_takes_too_long_with_whatever_there_is_is_found_when_it_is_learnt(schemas: Schemas) -> None:
    with pytest.raises(TakesTooMuch, match=r"it takes more than 0\.5 s of processor time"):
        run(schemas.learn(Schema("", ENDLESS, 0)))


def test_a_pattern_that_would_go_back_for_ever_takes_no_time(schemas: Schemas) -> None:
    assert told(schemas.hold(schema({"pattern": "^(a+)+$"}), json.dumps("a" * 50_000 + "b").encode())) != []


def test_nothing_of_it_holds_the_loop(schemas: Schemas) -> None:
    """No endless check and no large document does; the first check starts the process, which is measured, too."""
    large = b"[" + b'{"":0},' * 149_000 + b"0]"

    async def holding() -> None:
        await schemas.hold(schema({"type": "array"}), large)
        await schemas.hold(LIMITS, b"{}")
        with pytest.raises(TakesTooMuch):
            await schemas.hold(WORDS, NO_WORDS)

    held, what = least_hold(holding)
    assert held < most(), what


def test_a_process_that_somebody_ends_is_started_again_and_nobody_notices(schemas: Schemas) -> None:
    assert told(schemas.hold(LIMITS, b"{}")) == []
    pid = schemas.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert told(schemas.hold(LIMITS, b'{"limit": 101}')) == [("/limit", "maximum: 100")]


def test_one_that_can_not_run_refuses_the_write_and_does_not_let_it_pass(
    schemas: Schemas, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.policy.process.PROGRAM", "service.policy.nothing")
    with pytest.raises(Refused) as refused:
        run(schemas.hold(LIMITS, b"{}"))
    assert refused.value.problem.kind.status == 503
    monkeypatch.undo()
    assert told(schemas.hold(LIMITS, b"{}")) == []


def test_who_gives_up_leaves_no_answer_to_the_next_one(schemas: Schemas) -> None:
    """1. A asks, and is cancelled. 2. B asks. 3. The answer to A comes, and B would take it for its own."""
    assert told(schemas.hold(LIMITS, b"{}")) == []
    given_up = Meanwhile(schemas.hold(WORDS, NO_WORDS))
    assert given_up.running
    given_up.cancel()
    assert told(schemas.hold(LIMITS, b'{"limit": 101}')) == [("/limit", "maximum: 100")]


def test_several_who_ask_at_once_get_their_own_answers(schemas: Schemas) -> None:
    asked = [Meanwhile(schemas.hold(LIMITS, b'{"limit": %d}' % number)) for number in range(90, 110)]
    assert [len(each.result().listed) for each in asked] == [0] * 11 + [1] * 9


def test_the_process_ends_with_who_started_it() -> None:
    """Killed, too: nobody is left behind that waits for questions."""
    program = f"""
import asyncio, os, signal, sys
sys.path.insert(0, {str(PROJECT)!r})
from service.policy.rules import Schema
from service.policy.schemas import Schemas
async def main():
    schemas = Schemas()
    await schemas.hold(Schema("", b"true", 0), b"1")
    print(schemas.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(main())
"""
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    pid = int(found.stdout)
    assert until(lambda: not _lives(pid))


def test_the_process_is_told_no_secret(schemas: Schemas, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_TOKENS", "a secret")
    assert told(schemas.hold(LIMITS, b"{}")) == []
    environment = Path(f"/proc/{schemas.pid}/environ").read_bytes()
    assert b"PATH=" in environment
    assert b"secret" not in environment


def test_the_process_loads_nothing_of_the_service_but_what_it_needs() -> None:
    """An instance of 256 MB has one beside it: 20 MB, not 80."""
    loaded = "import sys, service.policy.checker; print(sorted(m for m in sys.modules if m.startswith(('service', 'consistency', 'grpc', 'pydantic'))))"  # noqa: E501
    found = subprocess.run([sys.executable, "-c", loaded], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert (
        found.stdout.strip()
        == "['service', 'service.policy', 'service.policy.checker', 'service.policy.questions', 'service.policy.words']"
    )


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
