"""`instance/etcd.json`: who owns the embedded etcd of a directory, where it listens, and what ails it.

Ownership is a lock on the file, held as long as the owner lives: the kernel takes it back even after kill -9, so a
stale file can't be mistaken for a running etcd. What the file says is trusted only while somebody holds the lock.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
from dataclasses import asdict, dataclass
from pathlib import Path

from service.settings import small_files
from service.settings.small_files import Unreadable

NAME = "etcd.json"

LENGTH = 1024
"""Bytes of the file, filled up with blanks: what is written over what stands there needs no room on a full disk."""


@dataclass(frozen=True, slots=True)
class RunningEtcd:
    """An embedded etcd. `pid` is its process, `owner` the process that started it and will stop it.

    trouble: empty while it runs; else what became of it and what its owner does about it, for an operator.
    name: drawn for this start of it, and known to no other etcd; empty if an earlier release started it.
    member: the id that its data keeps, at whichever start; 0 if it is not known.
    """

    endpoint: str
    version: str
    pid: int
    owner: int
    trouble: str = ""
    name: str = ""
    member: int = 0

    @property
    def shared(self) -> bool:
        """Whether another process owns it."""
        return self.owner != os.getpid()

    @property
    def address(self) -> str:
        """host:port."""
        return self.endpoint.removeprefix("http://")


class EtcdFile:
    """The file, open. `close` it: that gives the lock back, too. Raises OSError when it can't be opened."""

    def __init__(self, directory: Path) -> None:
        self._descriptor = os.open(directory / NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        if not stat.S_ISREG(os.fstat(self._descriptor).st_mode):  # a pipe has no place to write to, and no end
            os.close(self._descriptor)
            raise OSError(errno.EINVAL, f"{NAME} is no file")

    def try_lock(self) -> bool:
        """Whether we own the etcd from now on."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def read(self) -> RunningEtcd | None:
        """What it tells."""
        return _understood(os.pread(self._descriptor, LENGTH, 0))

    def write(self, running: RunningEtcd | None) -> None:
        """Tells the others; None: it does not run any more. For the owner alone. Raises OSError on a full disk."""
        if running is None:
            os.ftruncate(self._descriptor, 0)
            return
        told = asdict(running)
        if len(json.dumps(told)) >= LENGTH:
            told["trouble"] = "see its log"
        os.pwrite(self._descriptor, json.dumps(told).ljust(LENGTH - 1).encode() + b"\n", 0)

    def close(self) -> None:
        """Once."""
        os.close(self._descriptor)


def is_owned(directory: Path) -> bool:
    """Whether somebody holds the lock. An instance that starts at this very moment may have to try once more."""
    try:
        descriptor = os.open(directory / NAME, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False


def read(directory: Path) -> RunningEtcd | None:
    """What the file of this directory tells. Takes no lock, and waits for nothing: it may be anything."""
    try:
        return _understood(small_files.read(directory / NAME))
    except Unreadable:
        return None


def _understood(text: bytes) -> RunningEtcd | None:
    """None if that is nothing, half written, or by hand: the owner will write it anew."""
    try:
        found = json.loads(text)
        return RunningEtcd(
            str(found["endpoint"]),
            str(found["version"]),
            int(found["pid"]),
            int(found["owner"]),
            str(found.get("trouble", "")),
            str(found.get("name", "")),
            int(found.get("member", 0)),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
