"""`FolderConfig`: configuration from a folder of files, for work without a server."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import Any

from config_client.ctl.paths import name_of
from config_client.errors import ConfigError
from config_client.testing.fake import GONE, FakeConfig


class FolderConfig(FakeConfig):
    """The documents of a folder: `limits/api.json` is the name `limits/api`. `reload` reads them again.

    Names are as `configctl export` and `mirror` write them.

    Raises ConfigError for a file that is no JSON, with its name and where.
    """

    def __init__(self, folder: str | Path, *, prefix: str = "") -> None:
        self._folder = Path(folder)
        super().__init__(self._read(), prefix=prefix)

    def reload(self) -> None:
        """Read the folder again: what differs is told as one transaction."""
        found = self._read()
        held = {name: document.value for name, document in self.snapshot().items()}
        changed = {name: value for name, value in found.items() if held.get(name) != value}
        changed.update(dict.fromkeys(held.keys() - found.keys(), GONE))
        if changed:
            self.set(changed)

    def _read(self) -> dict[str, Any]:
        if not self._folder.is_dir():
            raise ConfigError(f"{self._folder}: a folder of JSON files is expected, found none")
        found = {}
        for file in sorted(self._folder.rglob("*.json")):
            content = file.read_bytes()
            try:
                json.loads(content)
            except ValueError as error:
                raise ConfigError(f"{file}: it is no JSON: {error}") from error
            try:
                name = name_of(PurePosixPath(file.relative_to(self._folder).as_posix()))
            except ValueError as error:
                raise ConfigError(f"{file}: this name is none that export writes: {error}") from error
            found[name] = content
        return found
