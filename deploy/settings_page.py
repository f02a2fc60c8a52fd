"""Writes docs/settings.md from the settings: `make settings`. A test compares the two."""

from __future__ import annotations

from pathlib import Path

from service.setting_words import table
from service.settings import Settings

DOCUMENT = Path(__file__).parent.parent / "docs" / "settings.md"

OPENING = """# Settings

Written by `make settings`. Every setting is an environment variable; `python -m service --help` prints the same
list, with an example for each. A variable that is set to nothing counts as not set. One that can't be used ends the
start with exit code 1 and a message that names all that is wrong; a misspelt `CACHE_…` or `ETCD_…` is warned about. No
message shows a secret.

Which etcd is used: `ETCD_ENDPOINTS`, else the bound service in `VCAP_SERVICES`, else `instance/etcd.config.json`,
else the embedded one. `python -m service doctor` says which it is, and whether all is well with it
([operations](operations.md#the-doctor)).

"""


def page() -> str:
    """The document."""
    return OPENING + table(Settings.describe())


if __name__ == "__main__":
    DOCUMENT.write_text(page(), encoding="utf-8")
