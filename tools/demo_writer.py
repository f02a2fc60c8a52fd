"""Somebody who changes a few documents all the time, for the demonstration. `python -m tools.demo_writer <address>`.

Changes only what it has seen (`If-Match`): a person who edits the same document on the page is not overwritten; the
writer goes on from theirs. At the end it deletes them; what a writer has left that was killed, the next one goes on
from.
"""

from __future__ import annotations

import itertools
import json
import signal
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

PAUSE = 1.0
"""Seconds between two changes."""

TIMEOUT = 10.0
LAST_TIMEOUT = 3.0
"""At the end: three documents within the twelve seconds that the demonstration waits."""

DOCUMENTS: dict[str, dict[str, Any]] = {
    "demo/limits": {"requests_per_minute": 600, "burst": 20, "change": 0},
    "demo/features/new-checkout": {"enabled": True, "percent": 5, "change": 0},
    "demo/banner": {"text": "Maintenance tonight", "change": 0},
}


def main(address: str) -> None:
    """Goes on until SIGTERM, then leaves nothing. An address that does not answer for a while is asked again."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        for number in itertools.count(1):
            key = list(DOCUMENTS)[number % len(DOCUMENTS)]
            _try(key, lambda url, key=key, number=number: change(url, DOCUMENTS[key], number), address)  # type: ignore[misc]
            time.sleep(PAUSE)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # whoever stops us waits, and not for ever
        for key in DOCUMENTS:
            _try(key, remove, address)


def _try(key: str, do: Callable[[str], None], address: str) -> None:
    """Says what failed, and goes on."""
    try:
        do(f"{address}/config/{key}")
    except OSError as error:
        sys.stdout.write(f"{key}: {error}\n")
        sys.stdout.flush()


def remove(url: str) -> None:
    """Deletes the document, if it is there. Raises OSError."""
    _ask(urllib.request.Request(url, method="DELETE"), LAST_TIMEOUT).close()


def change(url: str, first: dict[str, Any], number: int) -> None:
    """Counts the document's `change` up, or creates it. Nothing if somebody else was quicker. Raises OSError."""
    document, condition = first, {"If-None-Match": "*"}
    try:
        with _ask(urllib.request.Request(url)) as answer:
            found = json.load(answer)
            document, condition = found if isinstance(found, dict) else first, {"If-Match": answer.headers["ETag"]}
    except urllib.error.HTTPError as error:
        with error:
            if error.code != 404:
                raise
    body = json.dumps({**document, "change": number}, indent=2).encode()
    try:
        _ask(urllib.request.Request(url, body, condition, method="PUT")).close()
    except urllib.error.HTTPError as error:
        with error:
            if error.code != 412:
                raise


def _ask(request: urllib.request.Request, timeout: float = TIMEOUT) -> Any:
    return _WITHOUT_PROXY.open(request, timeout=timeout)


_WITHOUT_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


if __name__ == "__main__":
    main(sys.argv[1])
