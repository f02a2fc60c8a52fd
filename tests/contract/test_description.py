"""openapi.yaml is about this service: all of it, nothing else, with examples that are true."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest

from consistency.core.model import Reading, Source
from service.app import template
from service.documents import hits
from service.http.answers import headers_for
from service.http.problems import INTERNAL, KINDS, NOT_FOUND, TYPE_PREFIX, Problem
from service.site.docs_routes import DESCRIPTION
from tests.contract import slugs
from tests.http.conftest import Gateway
from tests.support import contract
from tests.support.contract import ALIASES, FILE, resolved

GOOD = dict(headers_for(Reading(value=b"{}", mod_revision=4, revision=9, source=Source.HIT, age=0.5)))
PROBLEM = dict(Problem(NOT_FOUND, "").all_headers())
OF_ROUTING = {"not-found", "method-not-allowed"}
"""What `service.app` makes of a status, where Flask refuses."""

SURPRISE = ("X-Surprise", "1")
NOTICED = (AssertionError, jsonschema_rs.ValidationError)

all_headers = Problem.all_headers


def problem(status: int, slug: str) -> bytes:
    """A problem document."""
    about = {"type": TYPE_PREFIX + slug, "title": "t", "status": status, "detail": "d", "outcome": "not done"}
    return json.dumps(about).encode()


def routes(gateway: Gateway) -> set[tuple[str, str]]:
    """Method and path of all that the application answers, aliases left out."""
    found = set()
    for rule in gateway.app.url_map.iter_rules():
        path = template(rule.rule).replace("<", "{").replace(">", "}").replace("{name}", "{file}")
        found |= {(method, ALIASES.get(path, path)) for method in rule.methods or ()}
    return {(method, path) for method, path in found if method not in ("HEAD", "OPTIONS")}


def test_every_route_is_described_and_nothing_else(gateway: Gateway) -> None:
    described = {(method.upper(), path) for path, item in FILE["paths"].items() for method in item}
    assert routes(gateway) == {(method, path) for method, path in described if method not in ("HEAD", "PARAMETERS")}


def examples() -> Iterator[tuple[str, Any, Any]]:
    """Place, schema and value of every example in the file."""
    for path, item in FILE["paths"].items():
        for method, operation in item.items():
            if method == "parameters":
                continue
            bodies = [operation.get("requestBody", {}), *map(resolved, operation["responses"].values())]
            for content in (each for body in bodies for each in body.get("content", {}).values()):
                for name, example in content.get("examples", {}).items():
                    yield f"{method} {path}: {name}", content["schema"], resolved(example)["value"]
    for name, parameter in FILE["components"]["parameters"].items():
        if "example" in parameter:
            yield name, parameter["schema"], parameter["example"]
    for name, schema in FILE["components"]["schemas"].items():
        for number, example in enumerate(schema.get("examples", ())):
            yield f"{name} {number}", schema, example


@pytest.mark.parametrize(("schema", "value"), [pytest.param(*rest, id=place) for place, *rest in examples()])
def test_an_example_is_what_its_schema_asks_for(schema: dict[str, Any], value: object) -> None:
    jsonschema_rs.validator_for({**schema, "components": FILE["components"]}).validate(value)


def types_in(schema: Any) -> Iterator[tuple[int, str]]:
    """Status and slug of each problem type that a schema allows."""
    for row in schema["anyOf"]:
        named = row["properties"]["type"]
        for name in named.get("enum") or [named["const"]]:
            yield row["properties"]["status"]["const"], name.removeprefix(TYPE_PREFIX)


def test_every_problem_type_is_described_and_nothing_else() -> None:
    described = [slug for _, slug in types_in(FILE["components"]["schemas"]["Problem"])]
    assert sorted(described) == sorted(slugs.written() | OF_ROUTING)
    assert slugs.computed() == ["status.name.lower().replace('_', '-')"]  # of which OF_ROUTING come


def test_a_problem_type_has_the_status_that_the_code_gives_it() -> None:
    """Of those in the one table; the others are seen wherever a test meets them."""
    described = set(types_in(FILE["components"]["schemas"]["Problem"]))
    assert described >= {(kind.status, kind.slug) for kind in (*KINDS.values(), INTERNAL, NOT_FOUND)}


def test_readers_of_yaml_1_2_understand_it() -> None:
    """A browser's parser knows no merge keys."""
    assert "<<" not in json.dumps(FILE)
    assert "<<:" not in DESCRIPTION.read_text()


def test_an_answer_as_described_is_taken() -> None:
    contract.check("GET", "/config/a/b", 200, GOOD, b"{}")


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        (202, GOOD, b"{}"),
        (200, {**GOOD, "X-Cache": "MAYBE"}, b"{}"),
        (200, {**GOOD, "ETag": "4"}, b"{}"),
        (200, {name: value for name, value in GOOD.items() if name != "Age"}, b"{}"),
        (200, {**GOOD, "X-Surprise": "1"}, b"{}"),
        (200, {**GOOD, "Content-Type": "text/html"}, b"{}"),
        (400, PROBLEM, b"{}"),
        (400, PROBLEM, problem(400, "no-space")),
        (400, PROBLEM, problem(507, "no-space")),
        (405, PROBLEM, problem(405, "method-not-allowed")),
        (304, GOOD, b"{}"),
    ],
)
def test_any_other_answer_is_noticed(status: int, headers: dict[str, str], body: bytes) -> None:
    """Status, header, missing header, undescribed header, media type, body, problem type and whose status it has."""
    with pytest.raises(NOTICED):
        contract.check("GET", "/config/a", status, headers, body)


@pytest.mark.parametrize(
    ("method", "path", "status", "headers", "body"),
    [
        ("GET", "/nowhere", 200, GOOD, b"{}"),
        ("get", "/config/a", 200, GOOD, b"{}"),
        ("GET", "/nowhere", 404, {}, b""),
        ("PATCH", "/config/a", 405, PROBLEM, problem(405, "method-not-allowed")),
    ],
)
def test_what_the_file_does_not_list_is_refused_as_it_says(
    method: str, path: str, status: int, headers: dict[str, str], body: bytes
) -> None:
    """The last lacks Allow, which a 405 must have (RFC 9110, 15.5.6)."""
    with pytest.raises(NOTICED):
        contract.check(method, path, status, headers, body)


@pytest.mark.parametrize(
    ("query", "source"), [("", "HIT"), ("?use_cache=false", "BYPASS"), ("?use_cache=yes", None)], ids=str
)
def test_a_header_too_many_fails_a_test_on_every_way_to_an_answer(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, query: str, source: str | None
) -> None:
    """From memory, from etcd, and as a problem; by the client that all tests of HTTP use."""
    gateway.ask("PUT", "/config/a", b"1")
    gateway.ask("GET", "/config/a")
    assert gateway.ask("GET", f"/config/a{query}").headers.get("X-Cache") == source

    def chatty(reading: Reading) -> list[tuple[str, str]]:
        return [*headers_for(reading), SURPRISE]

    monkeypatch.setattr("service.documents.hits.headers_for", chatty)
    monkeypatch.setattr(
        "service.documents.hits._head_of_reading", hits._head_of_reading.__wrapped__
    )  # which keeps them
    monkeypatch.setattr("service.http.answers.headers_for", chatty)
    monkeypatch.setattr(Problem, "all_headers", lambda problem: (*all_headers(problem), SURPRISE))
    with pytest.raises(AssertionError, match="x-surprise is not described"):
        gateway.ask("GET", f"/config/a{query}")
