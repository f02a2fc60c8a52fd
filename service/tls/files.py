"""Puts secrets into files for a moment, for libraries that take them from there and from nowhere else.

In memory where there is such a place; readable by this user alone; gone when the block ends.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

_IN_MEMORY = Path("/dev/shm")  # the directory made there is nobody else's


@contextlib.contextmanager
def written(*contents: bytes) -> Iterator[tuple[Path, ...]]:
    """A file for each. Raises OSError where nothing can be written."""
    place = _IN_MEMORY if os.access(_IN_MEMORY, os.W_OK | os.X_OK) else None
    with tempfile.TemporaryDirectory(prefix="config-service-", dir=place) as directory:
        files = tuple(Path(directory) / f"{number}.pem" for number, _ in enumerate(contents))
        for file, content in zip(files, contents, strict=True):
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(content)
        yield files
