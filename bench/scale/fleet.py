"""Fleets of one design, growing as they are told to. Owns how each design is started, and its place in etcd.

Instances are real processes. Ours start as users start them, a few at a time; the others are forked from one process
that has imported everything.
"""

from __future__ import annotations

import json
import re
import socket
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from bench.client import Client, answers, wait_for
from bench.processes import Processes, at
from bench.scale.counts import Counts, settled
from bench.scale.serve import DESIGNS
from service.process.startup import StartupError
from tools.processes import Child

OURS = "ours"
NAMES = (OURS, *DESIGNS)

AT_ONCE = 4
"""Starting an interpreter takes a second of a processor: more at once would only keep one another waiting."""

GROWN_WITHIN = 120.0
"""Seconds for one wave: the machine may be busy."""

_TOUCHED = re.compile(rb'^config_etcd_requests_total\{kind="touched",outcome="ok"\} (\S+)$', re.MULTILINE)


class Fleet:
    """On an etcd that nobody else uses meanwhile. As a context manager it ends what it has started. For one thread."""

    def __init__(self, name: str, etcd: str, directory: Path) -> None:
        self.name = name
        self.etcd = etcd
        self.urls: list[str] = []
        self._processes = Processes(directory.absolute())
        self._children: list[Child] = []

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, *_: object) -> None:
        for child in self._children:  # all at once: each takes its time
            child.ask_to_stop()
        self._processes.close()

    def grow_to(self, size: int) -> None:
        """Starts what is missing; returns when all may cache. Raises TimeoutError, StartupError."""
        start, most = (self._start_ours, AT_ONCE) if self.name == OURS else (self._start_design, size)
        while (missing := size - len(self.urls)) > 0:
            ports = _free_ports(min(missing, most))
            start(ports)
            if ended := [child for child in self._children if child.exit_status() is not None]:
                raise StartupError(f"{self.name} has ended:\n{ended[0].last_words(20)}")
            self.urls += map(at, ports)

    def counts(self) -> Counts:
        """What etcd has done so far, when nothing but idle work is under way."""
        return settled(self.etcd)

    def audits(self) -> float:
        """How often our instances have looked for writes from outside, by their own count (rule 13)."""
        if self.name != OURS:
            return 0
        found = (_TOUCHED.search(_ask(url, "/metrics")) for url in self.urls)
        return sum(float(each[1]) for each in found if each)

    def loads(self, done: Counts, writes: int, audits: float) -> float:
        """How often a document was asked for, given what etcd did, and the writes and audits among it.

        Ours: two ranges a read transaction, and one for each document (rule 4). A write looks at three keys: at the
        document, at the policy (rule 15), and once more at the document, for its record (rule 19). An audit looks at
        three intervals.
        """
        match self.name:
            case "ours":
                return done.ranges - 2 * done.txns - writes - audits
            case "version-key":
                return done.txns - writes
            case _:
                return done.range_rpcs

    def _start_ours(self, ports: Sequence[int]) -> None:
        settings = {
            "HOST": "127.0.0.1", "ETCD_ENDPOINTS": self.etcd, "USER_KEY_PREFIX": self._prefix,
            "LOG_LEVEL": "WARNING",
        }  # fmt: skip
        for port in ports:
            self._start([sys.executable, "-m", "service"], **settings, PORT=str(port))
        for port in ports:
            wait_for(partial(_has_slot, at(port)), GROWN_WITHIN, f"{at(port)} has a slot")

    def _start_design(self, ports: Sequence[int]) -> None:
        command = [sys.executable, "-m", "bench.scale.serve", self.name, "--etcd", self.etcd]
        self._start([*command, "--prefix", self._prefix, "--ports", *map(str, ports)])
        for port in ports:
            wait_for(partial(_listens, at(port)), GROWN_WITHIN, f"{at(port)} answers")

    def _start(self, command: Sequence[str], **settings: str) -> None:
        self._children.append(self._processes.start(self.name, command, **settings))

    @property
    def _prefix(self) -> str:
        return f"/scale/{self.name}"


def _free_ports(count: int) -> list[int]:
    """All held at the same time, or one might be found twice."""
    with ExitStack() as stack:
        held = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in held]


def _has_slot(url: str) -> bool:
    return answers(f"{url}/readyz") and json.loads(_ask(url, "/members"))["me"] is not None


def _listens(url: str) -> bool:
    """A read of a document that is not there: 404 is an answer, too."""
    try:
        _ask(url, "/config/nothing")
    except ValueError:
        return True
    except OSError:
        return False
    return True


def _ask(url: str, path: str) -> bytes:
    with Client(url) as client:
        return client.ask("GET", path)[0]
