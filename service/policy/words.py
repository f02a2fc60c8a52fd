"""The words of JSON Schema 2020-12, and where in a schema there are others. Pure.

The standard lets readers ignore what they don't know, and so a limit that is misspelt. Here it is refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_ONE = ("additionalProperties", "contains", "contentSchema", "else", "if", "items", "not", "propertyNames", "then",
        "unevaluatedItems", "unevaluatedProperties")  # fmt: skip
_BY_NAME = ("$defs", "definitions", "dependentSchemas", "patternProperties", "properties")
_SEVERAL = ("allOf", "anyOf", "oneOf", "prefixItems")
KEYWORDS = frozenset(
    (*_ONE, *_BY_NAME, *_SEVERAL, "$anchor", "$comment", "$dynamicAnchor", "$dynamicRef", "$id", "$ref", "$schema",
     "const", "contentEncoding", "contentMediaType", "default", "dependentRequired", "deprecated", "description",
     "enum", "examples", "exclusiveMaximum", "exclusiveMinimum", "format", "maxContains", "maxItems", "maxLength",
     "maxProperties", "maximum", "minContains", "minItems", "minLength", "minProperties", "minimum", "multipleOf",
     "pattern", "readOnly", "required", "title", "type", "uniqueItems", "writeOnly")
)  # fmt: skip
"""What a schema may say. The standard ignores other words, and so it would `maximun`; here they begin with x-."""

Found = tuple[str, str]
"""A pointer, and what is expected there."""


def unknown_words(said: Any, at: str) -> Iterator[Found]:
    """The words of a schema, and of those in it, that mean nothing."""
    if not isinstance(said, dict):
        return
    for word, value in said.items():
        here = at + pointer([word])
        if word not in KEYWORDS and not word.startswith("x-"):
            yield here, f"a word of JSON Schema 2020-12, or one that begins with x-; {shown(word)} is none"
        elif word == "$schema" and value not in (DIALECT, f"{DIALECT}#"):
            yield here, f"{DIALECT}, not {shown(value)}"
    for place, inner in within(said, at):
        yield from unknown_words(inner, place)


def within(said: dict[str, Any], at: str) -> Iterator[tuple[str, Any]]:
    """The schemas that a schema has in it, with their pointers."""
    for word in _ONE:
        if word in said:
            yield at + pointer([word]), said[word]
    for word in _BY_NAME:
        if isinstance(said.get(word), dict):
            yield from ((at + pointer([word, name]), inner) for name, inner in said[word].items())
    for word in _SEVERAL:
        if isinstance(said.get(word), list):
            yield from ((at + pointer([word, index]), inner) for index, inner in enumerate(said[word]))


def references(said: Any, at: str) -> Iterator[Found]:
    """Where the references in a schema stand, and to what they lead."""
    if isinstance(said, dict):
        for word in ("$ref", "$dynamicRef"):
            if isinstance(said.get(word), str):
                yield at + pointer([word]), said[word].removeprefix("#")
        for place, inner in within(said, at):
            yield from references(inner, place)


def pointer(path: list[Any]) -> str:
    """RFC 6901."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in path)


def shown(value: object) -> str:
    """As JSON, for people."""
    return json.dumps(value, ensure_ascii=False, default=str)
