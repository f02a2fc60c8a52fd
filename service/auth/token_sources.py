"""Where the tokens of the API come from: API_TOKENS, a file, or a bound service of Cloud Foundry.

At most one of them: a token that is revoked in one place must not go on in another. Reads the file; nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.auth import token_lists
from service.auth.token_lists import TokensError
from service.auth.tokens import Token
from service.process.startup import StartupError
from service.settings import small_files
from service.settings.bound_services import BoundService, bound_services
from service.settings.model import Settings
from service.settings.names import nearest
from service.settings.small_files import State, Unreadable

IN_CREDENTIALS = "api_tokens"


@dataclass(frozen=True, slots=True)
class TokenSource:
    """What an instance begins with. `file`: where the tokens can be read again; None if they can't.

    state: what the file was like before it was read. certificates: whether names in them may stand for tokens.
    """

    origin: str
    tokens: tuple[Token, ...]
    file: Path | None = None
    state: State | None = None
    certificates: bool = False


def resolve(settings: Settings) -> TokenSource | None:
    """The tokens, or None if nothing says any. Raises StartupError when they can't be used, or come from two places."""
    found: list[TokenSource] = []
    certificates = settings.tls_client_names
    if settings.api_tokens:
        found.append(TokenSource("API_TOKENS", settings.api_tokens, certificates=certificates))
    if settings.api_tokens_file:
        file = settings.api_tokens_file
        state = small_files.state_of(file)
        tokens = read(file, certificates=certificates)
        found.append(TokenSource(f"API_TOKENS_FILE ({file})", tokens, file, state, certificates))
    found += _bound(settings.vcap_services or {}, certificates)
    if len(found) > 1:
        raise StartupError(
            f"the tokens of the API come from {' and from '.join(source.origin for source in found)}. Expected one "
            "place, so that a token that is taken out there is out. Unset or unbind the others"
        )
    if certificates and not found:
        raise StartupError(
            "TLS_CLIENT_NAMES is true, and there are no tokens, so that everybody may do everything, under any name. "
            "Expected a list of tokens whose certificate says which name stands for them, in API_TOKENS_FILE"
        )
    for source in found:
        _check_certificates(source.origin, source.tokens, allowed=certificates)
    return found[0] if found else None


def read(file: Path, *, certificates: bool = False) -> tuple[Token, ...]:
    """The tokens in a file. certificates: whether names in them may stand for tokens. Raises StartupError."""
    try:
        content = small_files.read(file)
    except Unreadable as error:  # what is no file may be the list itself, tokens included
        hint = "; a list itself belongs in API_TOKENS" if str(file).startswith("[") else ""
        raise _unusable("API_TOKENS_FILE", f"{error}{hint}") from None
    place = f"API_TOKENS_FILE is {str(file)!r}, which"
    try:
        tokens = token_lists.from_json(content)
    except TokensError as error:
        raise _unusable(place, str(error)) from None
    _check_certificates(place, tokens, allowed=certificates)
    return tokens


def _check_certificates(place: str, tokens: Iterable[Token], *, allowed: bool) -> None:
    """Raises StartupError where a name would stand for a token, and nobody would look at names."""
    named = next((token.name for token in tokens if token.certificate), None)
    if named is not None and not allowed:
        raise StartupError(
            f"{place} can't be used: the token {named} has a certificate, and TLS_CLIENT_NAMES is not true, so that no "
            "name in a certificate gives a right. Expected TLS_CLIENT_NAMES=true, with TLS_CLIENT_CA, or no "
            "certificate in any token"
        )


def _bound(services: Mapping[str, Any], certificates: bool) -> list[TokenSource]:
    found = []
    for service in bound_services(services):
        _refuse_near_misses(service)
        if service.credentials and IN_CREDENTIALS in service.credentials:
            tokens = _from_credentials(service.name, service.credentials[IN_CREDENTIALS])
            found.append(TokenSource(f"VCAP_SERVICES ({service.name})", tokens, certificates=certificates))
    return found


def _refuse_near_misses(service: BoundService) -> None:
    """A list that stands under a name like ours, or beside the credentials, would let everybody in."""
    for place, members in (("beside its credentials", service.members), ("", service.credentials or {})):
        for name, value in members.items():
            ours = nearest(name, [IN_CREDENTIALS]) is not None and (place or name != IN_CREDENTIALS)
            # One text may be a token of somebody else's service.
            if ours and (isinstance(value, list) or (isinstance(value, str) and value.lstrip().startswith("["))):
                what = (
                    f"has {IN_CREDENTIALS} {place}" if place else f"has a list that is nearly called {IN_CREDENTIALS}"
                )
                raise _unusable(f"the service {service.name} in VCAP_SERVICES", f"it {what}, not in its credentials")


def _from_credentials(name: str, given: object) -> tuple[Token, ...]:
    """A list, or, as some tools write it, the text of one."""
    try:
        return token_lists.from_json(given) if isinstance(given, str) else token_lists.from_list(given)
    except TokensError as error:
        raise _unusable(f"{IN_CREDENTIALS} of the service {name} in VCAP_SERVICES", str(error)) from None


def _unusable(place: str, reason: str) -> StartupError:
    return StartupError(f"{place} can't be used: {reason}. Expected, for example:\n{token_lists.EXAMPLE}")
