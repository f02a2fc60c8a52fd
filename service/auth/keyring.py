"""The tokens that are let in at this moment, and how they are exchanged while requests go on.

Owns the only reference to them: who asks during an exchange gets the old ones or the new ones, as a whole.

Their file is looked at again and again, and read when it has changed:

    1. Somebody writes it in place. A look finds it changed, and perhaps half written. Nothing is read yet.
    2. The next look finds it as the last one did: it is read. Were it still being written, it would have changed again.
    3. Kubernetes replaces it by another link on the way to it. That is a change as any other.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import structlog

from service.auth import token_sources
from service.auth.token_sources import TokenSource
from service.auth.tokens import Bearers, Token
from service.process.startup import StartupError
from service.settings import small_files


class Keyring:
    """The tokens of one instance. `bearers`: ask it for each request; with other tokens it is another one.

    trouble: why the file can't be used, so that the tokens are those from before; "" if it can.
    """

    def __init__(self, source: TokenSource) -> None:
        self._log = structlog.stdlib.get_logger("config.access")
        self._origin = source.origin
        self._file = source.file
        self._certificates = source.certificates
        self._tokens = source.tokens
        self._read = self._seen = source.state
        self.bearers = Bearers(source.tokens)
        self.trouble = ""

    @property
    def has_file(self) -> bool:
        """Whether the tokens come from a file, and can be read again."""
        return self._file is not None

    def __len__(self) -> int:
        """How many there are."""
        return len(self._tokens)

    def describe(self) -> str:
        """How many there are, and where they come from."""
        return f"{len(self._tokens)} token{'s' if len(self._tokens) > 1 else ''}, from {self._origin}"

    def report(self) -> dict[str, Any]:
        """Which they are, for people: names and rights, and nothing that a token could be told by."""
        return {
            "origin": self._origin,
            "trouble": self.trouble,
            "tokens": [_told(token) for token in self._tokens],
        }

    def look(self, *, at_once: bool = False) -> None:
        """Read the file if it has changed, and is as it was at the last look; `at_once`: in any case. If it can't be
        used, the tokens stay as they are, and the log says why.

        Does I/O; for one thread at a time.
        """
        if self._file is None:
            return
        now = small_files.state_of(self._file)
        if at_once or (now != self._read and now == self._seen):
            self._read = now
            self._read_again()
        self._seen = now

    def _read_again(self) -> None:
        assert self._file is not None, "it is looked at"
        try:
            tokens = token_sources.read(self._file, certificates=self._certificates)
        except StartupError as error:
            self.trouble = str(error).partition(". Expected")[0]
            self._log.error("the tokens stay as they were, since they can't be read again", reason=str(error))
            return
        added, removed = names(set(tokens) - set(self._tokens)), names(set(self._tokens) - set(tokens))
        self._tokens, self.bearers, self.trouble = tokens, Bearers(tokens), ""
        self._log.info("the tokens have been read again", now=len(tokens), added=added, removed=removed)


def _told(token: Token) -> dict[str, Any]:
    rights = {"name": token.name, "scopes": sorted(token.scopes), "prefix": token.prefix}
    return rights | ({"certificate": token.certificate} if token.certificate else {})


def report_of(keyring: Keyring | None) -> dict[str, Any]:
    """What `Keyring.report` says; without one, that everybody is let in."""
    return keyring.report() if keyring else {"origin": None, "trouble": "", "tokens": []}


def names(tokens: Iterable[Token]) -> list[str]:
    """Return the names of the tokens in their order, for people to read."""
    return sorted(token.name for token in tokens)
