"""Bearer tokens as operators write them down. Pure.

    [{"name": "team-a", "sha256": "<64 hex digits>", "scopes": ["read", "write"], "prefix": "team-a/"}]

Instead of `sha256`, `token` may be given itself; it is hashed at once. Beside it, or alone, `certificate`: the name
in a client's certificate that stands for the token. No message repeats what was given, but a token's name that is too
short to be one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails

from service.auth.tokens import LONGEST, SHORTEST, Scope, Token, digest_of, is_token
from service.http.problems import Refused
from service.http.requests import check_prefix
from service.settings.descriptions import describe
from service.settings.names import nearest
from service.settings.operator_json import json_value

MAX_TOKENS = 1000
EXAMPLE = f'[{{"name": "team-a", "sha256": "{"0f" * 32}", "scopes": ["read", "write"], "prefix": "team-a/"}}]'

_NAME = r"^[A-Za-z0-9._-]{1,64}$"
_CERTIFIED = r"[!-~]([ -~]{0,253}[!-~])?"


class TokensError(ValueError):
    """These tokens can't be used. The message tells which, what was found and what was expected."""


def from_json(text: str | bytes) -> tuple[Token, ...]:
    """The tokens in a JSON list. Raises TokensError."""
    try:
        found = json_value(text)
    except ValueError as error:
        raise TokensError(str(error)) from None
    return from_list(found)


def from_list(found: object) -> tuple[Token, ...]:
    """The tokens in a list of objects; at least one. Raises TokensError."""
    if not isinstance(found, list):
        raise TokensError(f"it is {describe(found)}, not a list")
    if not 1 <= len(found) <= MAX_TOKENS:
        raise TokensError(f"it holds {len(found)} tokens; expected 1 to {MAX_TOKENS}")
    try:
        entries = _ENTRIES.validate_python(found)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_input=False)
        raise TokensError("; ".join(_explain(each, found) for each in errors)) from None
    tokens = tuple(map(_kept, entries))
    _refuse_twins(tokens)
    return tokens


def _strong(token: SecretStr) -> SecretStr:
    if not SHORTEST <= len(token) <= LONGEST:
        raise ValueError(f"it has {len(token)} characters; expected {SHORTEST} to {LONGEST}, chosen at random")
    if not is_token(token.get_secret_value()):
        raise ValueError("it may have letters, digits and -._~+/ only, and = at its end")
    return token


def _hexadecimal(digest: SecretStr) -> SecretStr:
    if not re.fullmatch("[0-9a-fA-F]{64}", digest.get_secret_value()):
        raise ValueError("it should be 64 hexadecimal digits")
    return digest


def _closed(prefix: str) -> str:
    """A prefix that ends with a segment: `team-a` would be that of `team-ab`, too."""
    if not prefix.endswith("/"):
        raise ValueError('it should end with a slash, such as "team-a/"; without a prefix a token is for all keys')
    try:
        return check_prefix(prefix)
    except Refused as refused:
        raise ValueError(refused.problem.detail) from None


def _certifiable(name: str) -> str:
    """A name as it may stand in a certificate; with * it would be that of many."""
    if not re.fullmatch(_CERTIFIED, name) or "*" in name:
        raise ValueError("expected one name of a certificate, without *: of DNS, a URI, or a common name")
    return name


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    name: str = Field(pattern=_NAME)
    sha256: Annotated[SecretStr, AfterValidator(_hexadecimal)] | None = None
    token: Annotated[SecretStr, AfterValidator(_strong)] | None = None
    scopes: list[Scope] = Field(min_length=1)
    prefix: Annotated[str, AfterValidator(_closed)] = ""
    certificate: Annotated[str, AfterValidator(_certifiable)] = ""

    @model_validator(mode="after")
    def _what_belongs_together(self) -> Self:
        given = (self.sha256 is not None) + (self.token is not None)
        if given > 1 or (not given and not self.certificate):
            raise ValueError("expected either sha256 or token; or neither of them, and certificate")
        if self.prefix and Scope.ADMIN in self.scopes:
            raise ValueError("admin is for everything; expected other scopes, or no prefix")
        if self.prefix and not {Scope.READ, Scope.WRITE} & set(self.scopes):
            raise ValueError("a prefix limits read and write; expected one of these scopes, or no prefix")
        return self


_ENTRIES = TypeAdapter(list[_Entry])


def _kept(entry: _Entry) -> Token:
    """What is kept of an entry: not the token."""
    digest = digest_of(entry.token.get_secret_value()) if entry.token else b""
    if entry.sha256:
        digest = bytes.fromhex(entry.sha256.get_secret_value())
    return Token(entry.name, digest, frozenset(entry.scopes), entry.prefix, entry.certificate)


def _explain(error: ErrorDetails, found: Sequence[object]) -> str:
    index, *place = error["loc"]
    entry = found[int(index)]
    name = entry.get("name") if isinstance(entry, dict) else None
    known_as = f" ({name})" if isinstance(name, str) and re.fullmatch(_NAME, name) and len(name) < SHORTEST else ""
    return f"token {int(index) + 1}{known_as}: {_words(error, [str(part) for part in place])}"


def _words(error: ErrorDetails, place: Sequence[str]) -> str:
    if not place:
        return str(error["ctx"]["error"]) if error["type"] == "value_error" else "it should be an object"
    match error["type"]:
        case "missing":
            return f"{place[0]} is missing"
        case "extra_forbidden":
            near = nearest(place[0], _Entry.model_fields)
            hint = f", which is nearly {near}" if near else ""
            return f"it has an unknown member{hint}; known are {', '.join(_Entry.model_fields)}"
        case "enum":
            return f"scope {int(place[1]) + 1} is none; expected {', '.join(Scope)}"
        case "string_pattern_mismatch":
            return f"{place[0]} should be 1 to 64 letters, digits and ._-"
        case "value_error":
            return f"{place[0]}: {error['ctx']['error']}"
        case _:
            return f"{place[0]}: {error['msg'][:1].lower()}{error['msg'][1:]}"


def _refuse_twins(tokens: Sequence[Token]) -> None:
    names: dict[str, int] = {}
    digests: dict[bytes, int] = {}
    certificates: dict[str, int] = {}
    for number, token in enumerate(tokens, start=1):
        if (twin := names.setdefault(token.name, number)) != number:
            raise TokensError(f"tokens {twin} and {number} have the same name; expected a name of its own for each")
        if token.digest and (twin := digests.setdefault(token.digest, number)) != number:
            raise TokensError(f"tokens {twin} and {number} are the same; expected different tokens or hashes")
        if token.certificate and (twin := certificates.setdefault(token.certificate.lower(), number)) != number:
            raise TokensError(f"tokens {twin} and {number} have the same certificate; expected one token for each name")
