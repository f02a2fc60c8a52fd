"""Writes docs/settings.md from the settings: `make settings`. A test compares the two."""

from __future__ import annotations

from pathlib import Path

from service.settings.model import Settings
from service.settings.words import table

DOCUMENT = Path(__file__).parent.parent / "docs" / "settings.md"

OPENING = """# Settings

Written by `make settings`. Every setting is an environment variable; `python -m service --help` prints the same
list, with an example for each. One that can't be used ends the start with exit code 1 and a message that names all that
is wrong. No message repeats what a setting says, but for a number where one is expected.

- A setting that is set to nothing can't be used, whichever it is: a template that failed leaves it so, and the default
  may be the opposite of what was meant. To mean the default, unset it; to let everybody in, unset `API_TOKENS`.
- Nor can a variable whose name is nearly one of `ALLOWED_HOSTS`, `API_TOKENS`, `API_TOKENS_FILE`, `ETCD_ENDPOINTS`,
  `ETCD_USER`, `ETCD_PASSWORD`, `ETCD_CA_CERT`, `ETCD_CERT`, `ETCD_KEY`, `VCAP_SERVICES` (`API_TOKEN`, `ETCD_PASSWD`,
  `ETCD_KEY_FILE`, `etcd_user`, …): left out, these let somebody in. Any other unknown `CACHE_…` or `ETCD_…` is
  warned about.

Which etcd is used: `ETCD_ENDPOINTS`, else the bound service in `VCAP_SERVICES`, else `instance/etcd.config.json`,
else the embedded one. `python -m service doctor` says which it is, and whether all is well with it
([operations](operations.md#the-doctor)).

"""


def page() -> str:
    """The document."""
    return OPENING + table(Settings.describe())


if __name__ == "__main__":
    DOCUMENT.write_text(page(), encoding="utf-8")
