"""Bearer tokens as they are kept, and which of them a request bears. Pure.

Only the SHA-256 hash of a token is kept. A header that let somebody in is remembered by its hash, too.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from hmac import compare_digest

from service.tls.client_certificates import names_for

SHORTEST, LONGEST = 16, 512
"""Characters of a token. Shorter ones can be guessed; they don't get in, even if only their hash is known here."""

MOST_REMEMBERED = 1024
"""Headers. There are as many as tokens, times the ways of writing `Bearer`."""

_TOKEN = r"[A-Za-z0-9._~+/-]+=*"
_BEARER = re.compile(rf"bearer +({_TOKEN})", re.IGNORECASE | re.ASCII)


class Scope(StrEnum):
    """What a token is for."""

    READ = "read"
    WRITE = "write"
    OBSERVE = "observe"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Token:
    """One that is let in. prefix: what every key that it reads or writes starts with; empty: all keys do.

    certificate: the name in a client's certificate that stands for it. digest: empty if nothing else does.
    """

    name: str
    digest: bytes = field(repr=False)
    scopes: frozenset[Scope]
    prefix: str = ""
    certificate: str = ""

    def may(self, scope: Scope) -> bool:
        """Whether it is for that. `admin` is for everything."""
        return scope in self.scopes or Scope.ADMIN in self.scopes


class Bearers:
    """Finds the token that an Authorization header bears. Safe for use from many threads."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self._tokens = tuple(token for token in tokens if token.digest)
        self._certified = {name: token for token in tokens for name in names_for(token.certificate)}
        self._known: dict[bytes, Token] = {}  # by the hash of the header: it must not keep what the settings don't

    def find(self, header: str) -> Token | None:
        """None if the header is anything but `Bearer`, in either case, and one of the tokens (RFC 6750, 2.1)."""
        digest = digest_of(header)
        return self._known.get(digest) or self._look_up(header, digest)

    def certified(self, names: Iterable[str]) -> Token | None:
        """The token that the first of these names in a certificate stands for which stands for one.

        names: in the form of `service.tls.client_certificates`.
        """
        return next((token for name in names if (token := self._certified.get(name))), None)

    def named(self, name: str) -> Token | None:
        """The token with this name, if it is one that a client can send."""
        return next((token for token in self._tokens if token.name == name), None)

    def _look_up(self, header: str, digest: bytes) -> Token | None:
        match = _BEARER.fullmatch(header)
        found = self._bearer_of(match[1]) if match and SHORTEST <= len(match[1]) <= LONGEST else None
        if found:  # only these are remembered: no number of wrong ones can push them out
            if len(self._known) >= MOST_REMEMBERED:
                self._known.clear()
            self._known[digest] = found
        return found

    def _bearer_of(self, given: str) -> Token | None:
        """Compares with all tokens, each in constant time."""
        digest, found = digest_of(given), None
        for token in self._tokens:
            if compare_digest(token.digest, digest):
                found = token
        return found


def offers_bearer(header: str) -> bool:
    """Whether an Authorization header is about a bearer token at all."""
    return header.partition(" ")[0].lower() == "bearer"


def is_token(text: str) -> bool:
    """Whether it is made as a bearer token (RFC 6750, 2.1), of any length."""
    return re.fullmatch(_TOKEN, text, re.ASCII) is not None


def digest_of(text: str) -> bytes:
    """What is kept of a token, or of a header that bears one."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
