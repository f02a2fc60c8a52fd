"""Checks documents against JSON Schemas (2020-12), as a process of its own: whatever a schema makes of it dies alone.

Started by `service.policy.process`; imports nothing of the service but the words of schemas. Some schemas take for ever
with some documents (a list of 8,000 allowed words, held against 50,000 items), and nothing can interrupt the library
that holds one against the other. Here the kernel ends it, with the process: after LIMIT seconds of processor time for
a question, or if it takes more than MEMORY.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import os
import resource
import signal
import socket
import sys
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import jsonschema_rs

from service.policy.questions import ANSWER, FAILED, LEARN, LIMIT, MEMORY, QUESTION
from service.policy.words import DIALECT, Found, pointer, references, shown, unknown_words

KEPT = 512
"""Compiled schemas: those of a policy and of the one before."""

MOST_TOLD = 21
"""Faults: one more than an answer tells, to know that there are more."""

LONGEST = 200
TRIALS: tuple[object, ...] = (None, True, 0, "", [], {})
"""What each schema is tried on, to see that it ends: a reference may lead to two others, each of these to two …"""

_PHRASES = {
    "contains": "an item such as is described there",
    "falseSchema": "nothing may stand here",
    "oneOf": "only one of the schemas listed there, not several",
    "uniqueItems": "no item twice",
}
"""Where the library tells no value."""


class Checker:
    """Answers questions. Keeps the schemas it has been given."""

    def __init__(self) -> None:
        self._of_schemas = compiled(json.dumps({"$ref": DIALECT}))
        self._kept: dict[bytes, jsonschema_rs.Draft202012Validator] = {}

    def learn(self, digest: bytes, schema: bytes) -> list[Found]:
        """What is wrong with a schema, if anything is; otherwise keep it."""
        try:
            said = json.loads(schema)
            found = list(itertools.islice(self._wrong_with(said), MOST_TOLD))
            if not found:
                validator = compiled(schema.decode())
                for value in TRIALS:
                    validator.is_valid(value)
                self._keep(digest, validator)
        except jsonschema_rs.ValidationError as error:
            return [unusable(error, said)]
        except (ValueError, RecursionError) as error:
            return [("", f"a JSON Schema; {error}"[:LONGEST])]
        return found

    def hold(self, digest: bytes, schema: bytes, document: bytes) -> list[Found] | None:
        """What is wrong with a document. None: the schema has to be given. Raises ValueError if it is none."""
        if digest not in self._kept:
            if not schema:
                return None
            if found := self.learn(digest, schema):
                raise ValueError(found[0][1])
        validator = self._kept[digest]
        try:
            value = json.loads(document, parse_float=number)
            if validator.is_valid(value):
                return []
            return [explained(error) for error in itertools.islice(validator.iter_errors(value), MOST_TOLD)]
        except (ValueError, RecursionError) as error:  # half of a surrogate pair, which Rust has no strings for
            return [("", f"a document that can be held against a schema; {error}"[:LONGEST])]

    def _keep(self, digest: bytes, validator: jsonschema_rs.Draft202012Validator) -> None:
        self._kept[digest] = validator
        while len(self._kept) > KEPT:
            del self._kept[next(iter(self._kept))]

    def _wrong_with(self, said: Any) -> Iterator[Found]:
        yield from map(explained, self._of_schemas.iter_errors(said))
        yield from unknown_words(said, "")


def compiled(schema: str) -> jsonschema_rs.Draft202012Validator:
    """The validator. Patterns match in linear time, and nothing is fetched. Raises jsonschema_rs.ValidationError."""
    return jsonschema_rs.Draft202012Validator(
        schema,
        offline=True,
        validate_formats=True,
        ignore_unknown_formats=False,
        pattern_options=jsonschema_rs.RegexOptions(size_limit=1024**2, dfa_size_limit=1024**2),
    )


def number(text: str) -> float | Decimal:
    """A number as near as it can be; one beyond what a float can be as it is."""
    near = float(text)
    return near if math.isfinite(near) else Decimal(text)


def explained(error: jsonschema_rs.ValidationError) -> Found:
    """A fault in the schema's own words: the keyword, and what it asks for."""
    return pointer(error.instance_path), f"{error.kind.name}: {asked(error)}"[:LONGEST]


def asked(error: jsonschema_rs.ValidationError) -> str:
    """What the keyword asks for."""
    of = jsonschema_rs.ValidationErrorKind
    match error.kind:
        case of.AdditionalProperties(unexpected) | of.UnevaluatedProperties(unexpected):
            return f"none but those described; found {shown(unexpected)}"
        case of.AnyOf(context) | of.OneOfNotValid(context):
            return ", or ".join(explained(errors[0])[1] for errors in context if errors)
        case of.PropertyNames(inner):
            return explained(inner)[1]
        case kind:
            return _PHRASES.get(kind.name) or shown(kind.value)


def unusable(error: jsonschema_rs.ValidationError, said: Any) -> Found:
    """Why a schema that looks like one can't be used: a reference that leads nowhere, an unknown format, a pattern."""
    if isinstance(error.kind, jsonschema_rs.ValidationErrorKind.Referencing):
        place = next((at for at, target in references(said, "") if target in error.message), "")
        return place, f"a reference within the schema; {error.message}"[:LONGEST]
    if isinstance(error.kind, jsonschema_rs.ValidationErrorKind.Format) and error.kind.format == "regex":
        return pointer(error.instance_path), "a pattern without look-around and back-references, and not too large"
    return pointer(error.instance_path), error.message.partition("\n")[0][:LONGEST]


def answer(checker: Checker, kind: bytes, digest: bytes, schema: bytes, document: bytes) -> bytes:
    """The answer to a question."""
    try:
        found = checker.learn(digest, schema) if kind == LEARN else checker.hold(digest, schema, document)
    except ValueError as error:
        return json.dumps({"unusable": str(error)}).encode()
    return json.dumps({"unknown": True} if found is None else {"faults": found}).encode("utf-8")


def serve(connection: socket.socket) -> None:
    """Answer until the other end is closed."""
    checker = Checker()
    with connection.makefile("rb") as questions:
        while head := questions.read(QUESTION.size):
            kind, digest, of_schema, of_document = QUESTION.unpack(head)
            schema, document = questions.read(of_schema), questions.read(of_document)
            signal.setitimer(signal.ITIMER_PROF, LIMIT)
            try:
                told = answer(checker, kind, digest, schema, document)
            except BaseException:  # noqa: BLE001  # MemoryError, and what Rust makes of it
                sys.exit(FAILED)
            signal.setitimer(signal.ITIMER_PROF, 0)
            del schema, document
            connection.sendall(ANSWER.pack(len(told)) + told)


def main() -> None:
    """On the socket that is handed over as standard input."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the service's
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    sys.set_int_max_str_digits(0)
    with socket.socket(fileno=os.dup(0)) as connection, contextlib.suppress(ConnectionError):
        serve(connection)


if __name__ == "__main__":
    main()
