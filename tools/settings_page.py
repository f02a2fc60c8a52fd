"""Writes docs/settings.md from the settings: `make settings`. A test compares the two."""

from __future__ import annotations

from pathlib import Path

from service.settings.model import Settings
from service.settings.words import table

DOCUMENT = Path(__file__).parent.parent / "docs" / "settings.md"

OPENING = """# Settings

`make settings` writes this page. Every setting is an environment variable. `python -m service --help` prints the same
list, with an example for each. A setting that can't be used ends the start with exit code 1 and a message that names
everything that is wrong. No message repeats the value of a setting, except for a number where one is expected.

- No setting may be set to nothing: a template that failed leaves it so, and the default may be the opposite of what was
  meant. Unset it to mean the default. Unset `API_TOKENS` to let everybody in.
- No variable may be called nearly like `ALLOWED_HOSTS`, `API_TOKENS`, `API_TOKENS_FILE`, `ETCD_ENDPOINTS`,
  `ETCD_USER`, `ETCD_PASSWORD`, `ETCD_CA_CERT`, `ETCD_CERT`, `ETCD_KEY` or `VCAP_SERVICES` (such as `API_TOKEN`,
  `ETCD_PASSWD`, `ETCD_KEY_FILE`, `etcd_user`): without these settings more people are let in. The start warns of any
  other unknown `CACHE_…` or `ETCD_…`.

An instance uses the etcd of `ETCD_ENDPOINTS`, else of the bound service in `VCAP_SERVICES`, else of
`instance/etcd.config.json`, else the embedded one. `python -m service doctor` says which it is, and whether it is well
([operations](operations.md#the-doctor)).

"""


def page() -> str:
    """The document."""
    return OPENING + table(Settings.describe())


if __name__ == "__main__":
    DOCUMENT.write_text(page(), encoding="utf-8")
