"""Where a starting and ending service tells its progress: a terminal gets text, a log collector log lines."""

from __future__ import annotations

import sys
from typing import TextIO

import structlog


class Console:
    """Says things on a terminal as text, elsewhere through the log."""

    def __init__(self, stream: TextIO | None = None) -> None:
        """stream: standard output, if none is given; that may be closed."""
        out = stream or sys.stdout
        self._terminal = out if out is not None and out.isatty() else None
        self._log = structlog.stdlib.get_logger("config.start")

    def say(self, text: str) -> None:
        """One line, at once."""
        if self._terminal is None:
            self._log.info(text)
            return
        try:
            self._terminal.write(f"{text}\n")
            self._terminal.flush()
        except OSError:  # somebody has closed it meanwhile
            self._terminal = None
            self._log.info(text)
