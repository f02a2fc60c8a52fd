"""What somebody has written in an editor is never lost: a command that ends without writing it keeps it in a file."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from config_client.ctl import shown


@dataclass(slots=True)
class Draft:
    """text: as it was opened, then as it was last saved. begun: as it was opened."""

    text: str
    begun: str

    @property
    def is_changed(self) -> bool:
        """Whether there is anything to lose."""
        return self.text != self.begun


@contextmanager
def kept(name: str, text: str) -> Iterator[Draft]:
    """A draft within the block. Whatever ends the block by an error keeps it in a file, which is named."""
    draft = Draft(text, text)
    try:
        yield draft
    except BaseException:
        if draft.is_changed:
            shown.say(f"your text is kept in {_keep(name, draft.text)}")
        raise


def _keep(name: str, text: str) -> str:
    """Write it to a file of its own, which only its owner may read."""
    start = f"configctl-{name.replace('/', '-')[-40:]}-"
    handle, path = tempfile.mkstemp(prefix=start, suffix=".json")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    return path
