"""Where the tokens of the API come from: API_TOKENS, a file, or a bound service of Cloud Foundry.

At most one of them: a token that is revoked in one place must not go on in another. Reads the file; nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service import token_lists
from service.api_tokens import Token
from service.settings import Settings
from service.startup import StartupError
from service.token_lists import TokensError

MAX_FILE_BYTES = 1024 * 1024
IN_CREDENTIALS = "api_tokens"


@dataclass(frozen=True, slots=True)
class TokenSource:
    """What an instance begins with. `file`: where the tokens can be read again; None if they can't."""

    origin: str
    tokens: tuple[Token, ...]
    file: Path | None = None


def resolve(settings: Settings) -> TokenSource | None:
    """The tokens, or None if nothing says any. Raises StartupError when they can't be used, or come from two places."""
    found: list[TokenSource] = []
    if settings.api_tokens:
        found.append(TokenSource("API_TOKENS", settings.api_tokens))
    if settings.api_tokens_file:
        file = settings.api_tokens_file
        found.append(TokenSource(f"API_TOKENS_FILE ({file})", read(file), file))
    found += _bound(settings.vcap_services or {})
    if len(found) > 1:
        raise StartupError(
            f"the tokens of the API come from {' and from '.join(source.origin for source in found)}. Expected one "
            "place, so that a token that is taken out there is out. Unset or unbind the others"
        )
    return found[0] if found else None


def read(file: Path) -> tuple[Token, ...]:
    """The tokens in a file. Raises StartupError."""
    try:
        with file.open("rb") as stream:
            content = stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise _unusable(f"API_TOKENS_FILE is {str(file)!r}, which", f"it can't be read: {error.strerror}") from None
    if len(content) > MAX_FILE_BYTES:
        raise _unusable(f"API_TOKENS_FILE is {str(file)!r}, which", f"it has more than {MAX_FILE_BYTES} bytes")
    try:
        return token_lists.from_json(content)
    except TokensError as error:
        raise _unusable(f"API_TOKENS_FILE is {str(file)!r}, which", str(error)) from None


def _bound(services: Mapping[str, Any]) -> list[TokenSource]:
    return [
        TokenSource(f"VCAP_SERVICES ({name})", _from_credentials(name, credentials[IN_CREDENTIALS]))
        for label, group in services.items()
        for service in (group if isinstance(group, list) else ())
        if isinstance(service, dict)
        for name, credentials in [(str(service.get("name", label)), service.get("credentials"))]
        if isinstance(credentials, dict) and IN_CREDENTIALS in credentials
    ]


def _from_credentials(name: str, given: object) -> tuple[Token, ...]:
    """A list, or, as some tools write it, the text of one."""
    try:
        return token_lists.from_json(given) if isinstance(given, str) else token_lists.from_list(given)
    except TokensError as error:
        raise _unusable(f"{IN_CREDENTIALS} of the service {name} in VCAP_SERVICES", str(error)) from None


def _unusable(place: str, reason: str) -> StartupError:
    return StartupError(f"{place} can't be used: {reason}. Expected, for example:\n{token_lists.EXAMPLE}")
