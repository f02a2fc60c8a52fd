"""The tokens that are let in at this moment, and how they are exchanged while requests go on.

Owns the only reference to them: who asks during an exchange gets the old ones or the new ones, as a whole.
"""

from __future__ import annotations

from collections.abc import Iterable

import structlog

from service.auth import token_sources
from service.auth.token_sources import TokenSource
from service.auth.tokens import Bearers, Token
from service.process.startup import StartupError


class Keyring:
    """Of one instance. `bearers`: ask it for each request; with other tokens it is another one."""

    def __init__(self, source: TokenSource) -> None:
        self._log = structlog.stdlib.get_logger("config.access")
        self._origin = source.origin
        self._file = source.file
        self._tokens = source.tokens
        self.bearers = Bearers(source.tokens)

    @property
    def has_file(self) -> bool:
        """Whether the tokens come from a file, and can be read again."""
        return self._file is not None

    def describe(self) -> str:
        """How many there are, and where they come from."""
        return f"{len(self._tokens)} token{'s' if len(self._tokens) > 1 else ''}, from {self._origin}"

    def read_again(self) -> None:
        """From the file, if they come from one. If that can't be used, they stay as they are, and the log says why.

        Does I/O; for one thread only.
        """
        if self._file is None:
            return
        try:
            tokens = token_sources.read(self._file)
        except StartupError as error:
            self._log.error("the tokens stay as they were, since they can't be read again", reason=str(error))
            return
        added, removed = names(set(tokens) - set(self._tokens)), names(set(self._tokens) - set(tokens))
        self._tokens, self.bearers = tokens, Bearers(tokens)
        self._log.info("the tokens have been read again", now=len(tokens), added=added, removed=removed)


def names(tokens: Iterable[Token]) -> list[str]:
    """In order, for people."""
    return sorted(token.name for token in tokens)
