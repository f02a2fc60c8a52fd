"""Whether a response is one that openapi.yaml allows. Knows the file and nothing of the service.

For tests: each response that their clients receive goes through `check`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import jsonschema_rs
import yaml

from service.site.docs_routes import DESCRIPTION

FILE: dict[str, Any] = yaml.safe_load(DESCRIPTION.read_text(encoding="utf-8"))
ALIASES = {"/config": "/config/", "/docs/": "/docs", "": "/"}
"""Paths that are answered as others are."""

NAMED = {"/config/": "{key}", "/members/config/": "{key}", "/history/": "{key}", "/docs/": "{file}", "/page/": "{file}"}
"""Paths whose end is a name, as the file has it."""

_READERS: dict[str, Callable[[bytes], Any]] = {
    "application/json": json.loads,
    "json": json.loads,
    "application/yaml": yaml.safe_load,
}
"""How a media type is read, by what stands behind the last "+"; text, if it isn't here."""

OF_HTTP = frozenset({"content-type", "content-length", "date", "server", "connection"})
"""Headers that need no description."""

ANYWHERE = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NoSuchPath",
    405: "MethodNotAllowed",
    411: "LengthRequired",
    500: "Unexpected",
    503: "Unavailable",
}
"""What may be answered where nothing is described, by its name among the file's responses."""


def check(method: str, path: str, status: int, headers: Mapping[str, str], body: bytes) -> None:
    """Raises AssertionError, or ValidationError, when this answer to `method path` is not described."""
    where = f"{method} {path}: {status}"
    response = resolved(_responses(method, path).get(str(status)))
    assert response is not None, f"{where} is not described"
    given = {name.lower(): value for name, value in headers.items()}
    _check_headers(where, {name.lower(): resolved(it) for name, it in response.get("headers", {}).items()}, given)
    if method != "HEAD":
        _check_body(where, status, response.get("content", {}), given, body)


def _responses(method: str, path: str) -> Mapping[str, Any]:
    """What may be answered, by status."""
    operations = {name.upper(): operation for name, operation in FILE["paths"].get(template(path), {}).items()}
    operation = operations.get(method) or (operations.get("GET") if method == "HEAD" else None)
    if operation is None:
        described = FILE["components"]["responses"]
        return {str(status): described[name] for status, name in ANYWHERE.items()}
    responses: Mapping[str, Any] = operation["responses"]
    return responses


def template(path: str) -> str:
    """The path as the file has it."""
    path = ALIASES.get(path, path)
    for beginning, named in NAMED.items():
        if path.startswith(beginning) and path != beginning:
            return beginning + named
    return path


def resolved(part: Any) -> Any:
    """What a reference stands for; anything else as it is."""
    while isinstance(part, dict) and "$ref" in part:
        place: Any = FILE
        for name in part["$ref"].removeprefix("#/").split("/"):
            place = place[name]
        part = place
    return part


def _check_headers(where: str, described: Mapping[str, Any], given: Mapping[str, str]) -> None:
    for name, header in described.items():
        if name in given:
            _validator(json.dumps(header["schema"])).validate(given[name])
        else:
            assert not header.get("required"), f"{where}: no {name}"
    unknown = given.keys() - described.keys() - OF_HTTP
    assert not unknown, f"{where}: {', '.join(sorted(unknown))} is not described"


def _check_body(where: str, status: int, described: Mapping[str, Any], given: Mapping[str, str], body: bytes) -> None:
    if not described:
        assert not body, f"{where}: no body is described"
        return
    media_type = re.split("[; ]", given.get("content-type", ""))[0]
    assert media_type in described, f"{where}: {media_type or 'no media type'} is not described"
    schema = described[media_type].get("schema", {})
    if not resolved(schema).keys() - {"description"}:  # it may be any
        return
    document = _READERS.get(media_type.rpartition("+")[2], bytes.decode)(body)
    _validator(json.dumps(schema)).validate(document)
    if media_type == "application/problem+json":
        assert document["status"] == status, f"{where}: the problem document says {document['status']}"


@cache
def _validator(schema: str) -> jsonschema_rs.Validator:
    return jsonschema_rs.validator_for({**json.loads(schema), "components": FILE["components"]})
