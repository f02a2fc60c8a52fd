"""A setting that is PEM text or the path of a PEM file, and can be read again if it is a file."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from service.settings import values as setting_values


@dataclass(frozen=True, slots=True)
class PemSource:
    """What was found at the start, and the file that it came from; None if it was in the environment itself."""

    content: bytes = field(repr=False)
    file: Path | None = field(default=None, repr=False)

    @property
    def place(self) -> str:
        """In a message behind the setting's name: the file, which has been opened, so that it is one; else nothing."""
        return f" ({self.file})" if self.file else ""

    def read(self) -> bytes:
        """What it says now. Raises ValueError, with a part of a sentence."""
        return setting_values.pem_in(self.file) if self.file else self.content


def pem_source(given: str | PemSource) -> PemSource:
    """Return the source that a setting's text names. Raises ValueError as `setting_values.pem` does."""
    if isinstance(given, PemSource):
        return given
    content = setting_values.pem(given)
    return PemSource(content, None if "-----BEGIN " in given else Path(given.removeprefix("\ufeff")))
