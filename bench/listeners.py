"""Clients that wait for what comes: plain sockets, read by one thread that counts what each has been told.

Knows of a stream only by what it says once for each change. More clients than a process can have descriptors for are in
processes of their own (`following`): `python -m bench.listeners COUNT PREFIX URL…` has COUNT streams at each URL, says
how often everybody has been told once all have begun, and again for each line that it is given.
"""

from __future__ import annotations

import contextlib
import re
import resource
import selectors
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from urllib.parse import urlsplit

from bench.processes import say, wait_for

AT_ONCE = 100
"""Streams that begin at the same time. Where thousands come at once, an instance refuses some: its proofs are late."""

IN_ONE = 16
"""Instances whose clients are in one process."""

BEGUN_WITHIN = 120.0
"""Seconds for streams that begin at the same time. The machine may be busy with 64 instances."""

TOLD_WITHIN = 60.0
"""Seconds for all clients to be told of one write, or to have asked."""

_STREAM = "GET /changes?prefix={prefix} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n"

_TELLS = re.compile(rb'event: sync|"result"')
"""What a stream of ours, or of etcd's gateway, says once for each change, and once when it begins."""

_LONGEST = len(b"event: sync")


class Tellings:
    """Counts how often a stream has told something, wherever its bytes are cut on their way."""

    def __init__(self) -> None:
        self.count = 0
        self._rest = b""

    def read(self, data: bytes) -> None:
        """The next bytes. What may be the beginning of a telling is kept."""
        data, end = self._rest + data, 0
        for found in _TELLS.finditer(data):
            self.count += 1
            end = found.end()
        self._rest = data[max(end, len(data) - _LONGEST + 1) :]


class Clients:
    """Sockets on which something may come at any time; a thread reads it all."""

    def __init__(self, url: str) -> None:
        self._address = (urlsplit(url).hostname or "", urlsplit(url).port or 0)
        self._selector = selectors.DefaultSelector()
        self._told: dict[int, Tellings] = {}  # by descriptor
        self._failure: OSError | None = None  # what has ended the thread
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._read, name="clients")

    def ask(self, request: str, count: int) -> None:
        """So many more, each on a connection of its own. Raises OSError."""
        for _ in range(count):
            client = socket.create_connection(self._address, TOLD_WITHIN)
            client.sendall(request.encode())
            client.setblocking(False)
            self._told[client.fileno()] = Tellings()
            self._selector.register(client, selectors.EVENT_READ)
        if not self._thread.is_alive():
            self._thread.start()

    def follow(self, prefix: str, count: int) -> None:
        """So many more streams of the changes beneath a prefix, all begun. Raises OSError, TimeoutError."""
        for begun in range(0, count, AT_ONCE):
            self.ask(_STREAM.format(prefix=prefix), min(AT_ONCE, count - begun))
            wait_for(lambda: self.least() >= 1, BEGUN_WITHIN, "all streams have begun")

    def least(self) -> int:
        """How often everybody has been told something. Raises OSError if nobody reads any more."""
        if self._failure is not None:
            raise self._failure
        return min(told.count for told in self._told.values())

    def close(self) -> None:
        """All go away."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]  # they are sockets
        self._selector.close()

    def _read(self) -> None:
        try:
            while not self._over.is_set():
                self._read_once()
        except OSError as error:
            self._failure = error

    def _read_once(self) -> None:
        for key, _ in self._selector.select(0.1):
            data = key.fileobj.recv(65536)  # type: ignore[union-attr]
            self._told[key.fd].read(data)
            if not data:
                self._selector.unregister(key.fileobj)


@contextlib.contextmanager
def clients(url: str) -> Iterator[Clients]:
    """None yet."""
    made = Clients(url)
    try:
        yield made
    finally:
        made.close()


# --- in processes of their own


class Streams:
    """Those of several processes. `following` makes them."""

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
    """So many streams of each instance, all begun. Raises ValueError when some could not begin."""
    with ExitStack() as stack:
        processes = []
        for first in range(0, len(urls), IN_ONE):
            command = [sys.executable, "-m", "bench.listeners", str(each), prefix, *urls[first : first + IN_ONE]]
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            stack.enter_context(process)
            stack.callback(process.terminate)
            processes.append(process)
            _figure(process)  # one after the other: an instance that all come to at once refuses some
        yield Streams(processes)


def _figure(process: subprocess.Popen[str]) -> int:
    """What it says next. Raises ValueError when it has ended."""
    assert process.stdout is not None
    return int(process.stdout.readline())


def main(count: str, prefix: str, *urls: str) -> None:
    """See the module's opening. Ends when it is given no more lines; whatever goes wrong is raised."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with ExitStack() as stack:
        crowds = [stack.enter_context(clients(url)) for url in urls]
        for crowd in crowds:
            crowd.follow(prefix, int(count))
        say("1")
        for _ in sys.stdin:
            say(str(min(crowd.least() for crowd in crowds)))


if __name__ == "__main__":
    main(*sys.argv[1:])
