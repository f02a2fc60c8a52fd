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
        listening = {f"socket:[{inode}]" for inode in _listening(proc, port)}
        return any(each in listening for process in _family(proc) for each in _files(process))
    except PermissionError:
        return True
    except (FileNotFoundError, ProcessLookupError):
        return False  # it has ended


def _listening(proc: Path, port: int) -> Iterator[str]:
    """The inodes of what listens there in the network of a process, whoever owns them."""
    for table in ("tcp", "tcp6"):
        for line in (proc / "net" / table).read_text().splitlines()[1:]:
            _, local, _, state, *_, inode = line.split()[:10]
            if state == _TCP_LISTEN and int(local.rpartition(":")[2], 16) == port:
                yield inode


def _family(proc: Path) -> Iterator[Path]:
    """A process, and all that it and its children have started."""
    yield proc
    for task in proc.glob("task/*/children"):
        for child in task.read_text().split():
            yield from _family(proc.with_name(child))


def _files(proc: Path) -> Iterator[str]:
    """What its file descriptors lead to; one may be closed meanwhile."""
    for descriptor in (proc / "fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            yield str(descriptor.readlink())
