"""Reads the small files that an operator names: configuration, tokens, certificates. Waits for nobody, bounded in size.

Refuses what is no regular file: a pipe that nobody writes to would hold the start for ever. A reason never repeats the
name that was asked for, since what was put in the place of a name may be the secret itself; only the part of it that
is a directory on this machine is told.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

MOST = 1024 * 1024
"""Bytes."""


class Unreadable(Exception):
    """The file can't be used. The message says why, as a part of a sentence."""


State = tuple[int, ...]
"""What a file is like: another one after each change, also when a link on the way to it leads elsewhere."""


def state_of(file: Path) -> State | None:
    """What it is like at this moment; None if it can't be told."""
    try:
        found = os.stat(file)  # noqa: PTH116  # as below, also for what is no file name
    except (OSError, ValueError):
        return None
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def read(file: Path) -> bytes:
    """All of it. Raises Unreadable."""
    try:
        # A pipe without a writer opens at once this way, and so does a terminal that belongs to somebody else.
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        raise Unreadable(f"it can't be read: {error.strerror}{_where(file, error)}") from None
    except ValueError:  # a null byte, or text that no file system takes
        raise Unreadable("it can't be read: that is no file name") from None
    try:
        return _read(descriptor)
    except OSError as error:
        raise Unreadable(f"it can't be read: {error.strerror}") from None
    finally:
        os.close(descriptor)


def _read(descriptor: int) -> bytes:
    kind = os.fstat(descriptor).st_mode
    if stat.S_ISDIR(kind):
        raise Unreadable("it can't be read: Is a directory")
    if not stat.S_ISREG(kind):
        raise Unreadable("it can't be read: it is no regular file, but a pipe, a socket or a device")
    with os.fdopen(descriptor, "rb", closefd=False) as stream:
        content = stream.read(MOST + 1)
    if len(content) > MOST:
        raise Unreadable(f"it has more than {MOST} bytes")
    return content


def _where(file: Path, error: OSError) -> str:
    """How far the name leads: the operator finds the slip, and nobody learns what was written in its place."""
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        return ""
    if os.path.islink(file):  # noqa: PTH114  # which says no instead of raising
        return ", it is a link to something that is not there"
    known = next((parent for parent in file.parents if os.path.isdir(parent)), Path())  # noqa: PTH112  # the same
    if known == Path():
        return ""
    return f" ({known} is there, what should be in it is not)"
