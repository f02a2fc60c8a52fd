"""How long after a write is answered by one instance another one shows it, with default reads in a loop."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from itertools import cycle

from bench.client import Client
from bench.documents import document

PATH = "/config/bench/moved"
WITHIN = 5.0
"""Seconds for one write to be seen: more than the service promises."""

LEAST = 200
"""Writes: of fewer, a 99th percentile would be the slowest one or two."""


def delays(writer: str, readers: Sequence[str], seconds: float) -> Iterator[float]:
    """Writes to one, reads from the others in turn, for that long and LEAST times; milliseconds from answer to answer.

    Each reader holds the value before when the write comes: it has something old to serve.
    """
    with contextlib.ExitStack() as stack:
        put = stack.enter_context(Client(writer))
        _write(put)
        until = time.monotonic() + seconds
        for number, reader in enumerate(cycle([stack.enter_context(Client(url)) for url in readers])):
            if number >= LEAST and time.monotonic() > until:
                return
            reader.ask("GET", PATH)
            tag = _write(put)
            answered = time.perf_counter()
            while reader.ask("GET", PATH)[1]["etag"] != tag:
                if time.perf_counter() > answered + WITHIN:
                    raise TimeoutError(f"a write was not seen within {WITHIN} s")
            yield (time.perf_counter() - answered) * 1e3


def _write(client: Client) -> str:
    """The ETag of what was written."""
    return client.ask("PUT", PATH, document(0))[1]["etag"]
