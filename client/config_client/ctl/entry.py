"""Where `configctl` begins: says what is missing if the library was installed without its command line."""

from __future__ import annotations

import sys


def main() -> None:
    """Run a command line. Exit code 1: what it needs is not installed."""
    try:
        from config_client.ctl.__main__ import main as run
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing in ("", "config_client"):
            raise
        sys.exit(f"configctl: {missing} is not installed; pip install 'config-service-client[cli]'")
    run()
