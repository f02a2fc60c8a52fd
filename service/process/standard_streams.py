"""Standard output and error as a process may be handed them: closed, full, unread, or of any encoding.

Owns what becomes of them before anything is written. Loads nothing that takes time.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TextIO

from service.process.startup import StartupError

STANDARD_OUTPUT, STANDARD_ERROR = 1, 2


def secure() -> None:
    """Takes the places of streams that are closed, and lets the others write whatever their encoding lacks.

    1. Standard error is closed.  2. The next file or socket that is opened takes its number: a connection, say.
    3. A library complains to standard error, and a client reads it. So /dev/null takes the numbers first.
    """
    with contextlib.suppress(OSError):  # no /dev/null in this container: then they stay closed
        while (taken := os.open(os.devnull, os.O_RDWR)) <= STANDARD_ERROR:
            os.set_inheritable(taken, True)
        os.close(taken)
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # a TextIOWrapper at the start
    if sys.stderr is None:
        sys.stderr = open(STANDARD_ERROR, "w", encoding="utf-8", closefd=False)  # noqa: SIM115  # as Python has it


def print_all(text: str) -> None:
    """Writes what a command has to say. Raises StartupError when it does not get through."""
    if sys.stdout is None:
        raise StartupError("nothing can be printed: standard output is closed")
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        raise StartupError(f"not all could be printed: standard output: {error.strerror}") from None


def complain(text: str) -> None:
    """Writes a message to standard error, if that can be."""
    with contextlib.suppress(OSError):
        sys.stderr.write(f"config-service: {text}\n")
        sys.stderr.flush()


def flush() -> None:
    """Whatever is left. Where it can't be written there is nowhere to say so."""
    streams: tuple[TextIO | None, ...] = (sys.stdout, sys.stderr)
    for stream in streams:
        with contextlib.suppress(OSError, ValueError):
            if stream is not None:
                stream.flush()
