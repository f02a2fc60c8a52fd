"""Writes files whole or not at all, for their owner alone; reads them within a bound."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from config_client.errors import BadFallback

PRIVATE = 0o600
MOST_BYTES = 2 * 1024 * 1024 * 1024


def write_whole(path: Path, content: bytes, mode: int = PRIVATE) -> None:
    """Put a file in the place of another: a reader sees the old one or the new one, also after a crash.

    Raises OSError; then the old one is still there.
    """
    made = path.with_name(f".{secrets.token_hex(8)}.new")
    descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)  # whatever the umask says
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        made.replace(path)
    except BaseException:
        made.unlink(missing_ok=True)
        raise
    _remember_name(path.parent)


def _remember_name(directory: Path) -> None:
    """Have the new name on disk, too, so that a crash does not bring the old file back."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_private(path: Path) -> bytes:
    """Return a file's content. Raises BadFallback if anybody may write it; OSError."""
    with path.open("rb") as file:
        found = os.fstat(file.fileno())
        if found.st_mode & 0o002:
            raise BadFallback(f"anybody may write it (mode {found.st_mode & 0o777:o}); expected {PRIVATE:o}")
        if found.st_size > MOST_BYTES:
            raise BadFallback(f"it has {found.st_size} bytes, and {MOST_BYTES} are accepted at most")
        return file.read()
