"""Clients that follow changes, in a process of their own: `python -m bench.scale.streams --each 1000 --prefix P URL…`.

Says a line with the figure 1 when each has begun. Then, for each line that it is given, how often everybody has been
told by now, the beginning included. Ends when it is given no more.
"""

from __future__ import annotations

import argparse
import contextlib
import resource
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

from bench.client import wait_for
from bench.listeners import Clients, clients

AT_ONCE = 100
"""Streams of one instance that begin at the same time."""

IN_ONE = 16
"""Instances whose clients are in one process: each client has a descriptor."""

BEGUN_WITHIN = 120.0
TOLD_WITHIN = 60.0
"""Seconds. The machine may be busy with 64 instances."""

_STREAM = "GET /changes?prefix={prefix} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n"


class Streams:
    """`each` at every instance; all follow the keys with one prefix. Use `following`."""

    def __init__(self, processes: Sequence[subprocess.Popen[str]]) -> None:
        self._processes = processes

    def told(self) -> int:
        """How often everybody has been told, the beginning included."""
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        return min(map(_figure, self._processes))

    def wait_for(self, told: int) -> None:
        """Return when everybody has been told so often. Raises TimeoutError."""
        wait_for(lambda: self.told() >= told, TOLD_WITHIN, f"all streams have been told {told} times")


@contextlib.contextmanager
def following(urls: Sequence[str], each: int, prefix: str) -> Iterator[Streams]:
    """So many streams of each instance, all begun. Raises TimeoutError, ValueError for one that could not begin."""
    with ExitStack() as stack:
        processes = []
        for first in range(0, len(urls), IN_ONE):
            command = [sys.executable, "-m", "bench.scale.streams", "--each", str(each), "--prefix", prefix]
            process = subprocess.Popen(
                [*command, *urls[first : first + IN_ONE]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            stack.enter_context(process)
            stack.callback(process.terminate)
            processes.append(process)
            _figure(process)  # one after the other: an instance that all come to at once refuses some
        yield Streams(processes)


def _figure(process: subprocess.Popen[str]) -> int:
    """What it says next. Raises ValueError when it has ended."""
    assert process.stdout is not None
    return int(process.stdout.readline())


def main() -> int:
    """0; whatever goes wrong is raised."""
    parser = argparse.ArgumentParser(prog="python -m bench.scale.streams")
    parser.add_argument("urls", nargs="+")
    parser.add_argument("--each", type=int, required=True)
    parser.add_argument("--prefix", required=True)
    given = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with ExitStack() as stack:
        all_of_them = [stack.enter_context(clients(url)) for url in given.urls]
        request = _STREAM.format(prefix=given.prefix)
        for each in all_of_them:
            _begin(each, request, given.each)
        _say(1)
        for _ in sys.stdin:
            _say(min(each.least() for each in all_of_them))
    return 0


def _begin(those: Clients, request: str, count: int) -> None:
    for begun in range(0, count, AT_ONCE):
        those.ask(request, min(AT_ONCE, count - begun))
        wait_for(lambda: those.least() >= 1, BEGUN_WITHIN, "all streams have begun")


def _say(figure: int) -> None:
    sys.stdout.write(f"{figure}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
