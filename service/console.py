"""Where a starting and ending service tells its progress: a terminal gets text, a log collector log lines."""

from __future__ import annotations

import sys
from typing import TextIO

import structlog


class Console:
    """Says things on a terminal as text, elsewhere through the log."""

    def __init__(self, stream: TextIO = sys.stdout) -> None:
        self._stream = stream
        self._terminal = stream.isatty()
        self._log = structlog.stdlib.get_logger("config.start")

    def say(self, text: str) -> None:
        """One line, at once."""
        if self._terminal:
            self._stream.write(f"{text}\n")
            self._stream.flush()
        else:
            self._log.info(text)
