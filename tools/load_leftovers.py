"""What a run of the load test has left behind, found and deleted: its own at its end, those of dead runs at the next.

Owns `instance/load-runs`: one file for each run that is under way on this machine, which the run keeps locked for as
long as it lives. The kernel lets go of the lock however the run ends; what is not locked belongs to a dead one.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import IO

import requests

RUNS = Path("instance") / "load-runs"
PREFIX = "performance_tests/"
PAGE = 1000
TIMEOUT = 10.0


class Run:
    """This run: marks that it is under way, from `begin` to `end`. `name` is how its keys begin, after PREFIX."""

    def __init__(self, name: str, directory: Path = RUNS) -> None:
        self._name = name
        self._directory = directory
        self._mark: IO[str] | None = None

    def begin(self, host: str) -> None:
        """Raises OSError when there is no writing to the directory."""
        self._directory.mkdir(parents=True, exist_ok=True)
        unfinished = self._directory / f".{self._name}"
        self._mark = unfinished.open("w", encoding="utf-8")
        fcntl.flock(self._mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
        json.dump({"host": host}, self._mark)
        self._mark.flush()
        unfinished.rename(self._directory / self._name)  # with its lock: nobody sees it without one

    def end(self) -> None:
        """Nothing of it is left. Nothing when it never began."""
        if self._mark is None:
            return
        (self._directory / self._name).unlink(missing_ok=True)
        self._mark.close()
        self._mark = None


def dead_runs(directory: Path = RUNS) -> Iterator[tuple[str, str, Callable[[], None]]]:
    """Name and host of each run that ended without deleting its keys, and what to call once they are deleted."""
    for file in sorted(directory.glob("[!.]*")):
        try:
            with file.open(encoding="utf-8") as mark:
                fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
                yield file.name, str(json.load(mark)["host"]), partial(file.unlink, missing_ok=True)
        except (OSError, ValueError, KeyError, TypeError):
            continue  # it lives, or has just ended well; or the file is none of ours


def delete_keys(host: str, run: str, headers: dict[str, str]) -> int:
    """Deletes what this run has written, a page of it at most; how many keys that were. Raises RequestException."""
    with requests.Session() as client:
        client.headers.update(headers)
        client.trust_env = False
        found = _keys(client, host, run)
        for key in found:
            client.delete(f"{host}/config/{key}", timeout=TIMEOUT).raise_for_status()
        return len(found)


def _keys(client: requests.Session, host: str, run: str) -> list[str]:
    asked = {"prefix": f"{PREFIX}{run}-", "limit": PAGE}
    answer = client.get(f"{host}/config/", params=asked, timeout=TIMEOUT)  # type: ignore[arg-type]
    answer.raise_for_status()
    return [each["key"] for each in answer.json()["keys"]]
