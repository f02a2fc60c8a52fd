"""openapi.yaml is about this service: all of it, nothing else, with examples that are true."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest

from service.app import template
from service.docs_routes import DESCRIPTION
from tests.http.conftest import Gateway
from tests.support import contract
from tests.support.contract import ALIASES, FILE, resolved

GOOD = {
    "Content-Type": "application/json",
    "ETag": '"4"',
    "X-Config-Revision": "9",
    "X-Cache": "HIT",
    "Age": "1",
    "Cache-Control": "no-cache",
    "X-Content-Type-Options": "nosniff",
}


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


@pytest.mark.parametrize(("schema", "value"), [pytest.param(*rest, id=place) for place, *rest in examples()])
def test_an_example_is_what_its_schema_asks_for(schema: dict[str, Any], value: object) -> None:
    jsonschema_rs.validator_for({**schema, "components": FILE["components"]}).validate(value)


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
        (400, {**GOOD, "Content-Type": "application/problem+json", "Cache-Control": "no-store"}, b"{}"),
        (304, GOOD, b"{}"),
    ],
)
def test_any_other_answer_is_noticed(status: int, headers: dict[str, str], body: bytes) -> None:
    """Status, header, missing header, undescribed header, media type, body."""
    with pytest.raises((AssertionError, jsonschema_rs.ValidationError)):
        contract.check("GET", "/config/a", status, headers, body)
