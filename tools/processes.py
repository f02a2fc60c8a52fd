"""One child process with a log file. Owns the process: only what was started here is ever ended, and by its id.

Tells, too, whether it is that process that listens at a port: who answers there may be somebody else.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

KILLED_WITHIN = 2.0
"""Seconds in which the kernel has to take away a killed process."""

_PR_SET_PDEATHSIG = 1
_TCP_LISTEN = "0A"
_GONE = (FileNotFoundError, ProcessLookupError)
"""What /proc says of a process, a thread or a descriptor that has ended meanwhile."""


class Child:
    """A process that runs from construction to `wait`. Its output goes to `log`, which begins anew.

    It gets a process group of its own: Ctrl-C in a terminal signals everybody in the foreground at once, and then the
    order of stopping would be anybody's. On Linux it is told to stop if the starting thread ends, even by kill -9.
    """

    def __init__(
        self,
        name: str,
        address: str,
        command: Sequence[str],
        log: Path,
        env: Mapping[str, str],
        *,
        own_session: bool = False,
    ) -> None:
        """`own_session`: it doesn't stay in ours, as if started from a terminal of its own."""
        self.name = name
        self.address = address
        self.log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command,
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                process_group=None if own_session else 0,
                start_new_session=own_session,
                preexec_fn=_stop_with(os.getpid()),  # noqa: PLW1509  # nobody here has a second thread
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def exit_status(self) -> int | None:
        """None while it runs; the negative signal if one ended it."""
        return self._process.poll()

    def listens(self) -> bool:
        """Whether it is the process that listens at `address`, a URL."""
        port = urlsplit(self.address).port
        assert port, f"{self.name} has an address without a port: {self.address!r}"
        return listens(self.pid, port)

    def ask_to_stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Sends the signal; nothing when it has ended already."""
        self._process.send_signal(how)

    def wait(self, until: float) -> bool:
        """Waits for the end up to `until` (monotonic seconds), then kills; whether it ended by itself."""
        try:
            self._process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(KILLED_WITHIN)
            return False
        return True

    def last_words(self, lines: int = 5) -> str:
        """The end of its log, for whoever asks why it ended."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


def _stop_with(parent: int) -> Callable[[], None] | None:
    """What a new process asks the kernel for, before it becomes the program: a SIGTERM when `parent` is gone."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl

    def ask_kernel() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it ended before we could ask
            os._exit(1)

    return ask_kernel


def listens(pid: int, port: int) -> bool:
    """Whether that process, or one that it has started, listens at this TCP port: asked once somebody answers there.

      1. A port is free.  2. Another process takes it.  3. Ours finds it taken, and takes a second to end.
      4. The other one answers, as ours would: an etcd of another run, an instance of another fleet.

    Where the kernel does not tell (no /proc, or a process of another user), whoever answers is believed.
    """
    proc = Path(f"/proc/{pid}")
    if not Path("/proc/self/net").exists():
        return True
    try:
        sockets = set(listening(proc, port))
        return bool(sockets) and any(each in sockets for process in _family(proc) for each in _files(process))
    except PermissionError:
        return True


def listening(proc: Path, port: int) -> Iterator[str]:
    """What listens there in the network of a process, whoever owns it, as descriptors lead to it.

    proc: the process's directory in /proc.
    """
    lines: list[str] = []
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(*_GONE):  # or there is no IPv6
            lines += (proc / "net" / table).read_text().splitlines()[1:]
    for line in lines:
        _, local, _, state, *_, inode = line.split()[:10]
        if state == _TCP_LISTEN and int(local.rpartition(":")[2], 16) == port:
            yield f"socket:[{inode}]"


def _family(proc: Path) -> Iterator[Path]:
    """A process, and all that it and its children have started."""
    yield proc
    children: list[str] = []
    for task in proc.glob("task/*/children"):
        with contextlib.suppress(*_GONE):
            children += task.read_text().split()
    for child in children:
        yield from _family(proc.with_name(child))


def _files(proc: Path) -> Iterator[str]:
    """What its file descriptors lead to."""
    descriptors: list[Path] = []
    with contextlib.suppress(*_GONE):
        descriptors += (proc / "fd").iterdir()
    for descriptor in descriptors:
        with contextlib.suppress(*_GONE):
            yield str(descriptor.readlink())
