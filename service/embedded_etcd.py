"""The embedded etcd of a directory: whoever comes first starts it and owns it, who comes later shares it.

Ownership is a lock on `etcd.json`, held as long as the owner lives: the kernel takes it back even after kill -9, so a
stale file can't be mistaken for a running etcd. What the file says is trusted only while somebody holds the lock.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from http.client import HTTPException
from pathlib import Path
from typing import IO

from service import small_files
from service.etcd_binary import EtcdNotFound, find_etcd
from service.etcd_process import EtcdProcess, ask_version, launch, takes_writes_over_http
from service.small_files import Unreadable
from service.startup import StartupError

__all__ = ["EmbeddedEtcd", "EtcdNotFound", "RunningEtcd", "find_etcd", "find_running"]

START_WITHIN = 30.0
"""Seconds until an etcd has to answer; replaying a long log takes some."""

ORPHAN_WITHIN = 5.0
POLL = 0.05


@dataclass(frozen=True, slots=True)
class RunningEtcd:
    """An embedded etcd that answers. `pid` is its process, `owner` the process that started it and will stop it."""

    endpoint: str
    version: str
    pid: int
    owner: int

    @property
    def shared(self) -> bool:
        """Whether another process owns it."""
        return self.owner != os.getpid()


class EmbeddedEtcd:
    """The etcd whose data is in `directory`/etcd. `start` once, `stop` once, both from the main thread.

    The main thread, because on Linux etcd dies with the thread that started it.
    """

    def __init__(self, directory: Path, tell: Callable[[str], None]) -> None:
        self._directory = _absolute(directory)
        self._data = self._directory / "etcd"
        self._log = self._directory / "etcd.log"
        self._tell = tell
        self._lock: IO[str] | None = None
        self._process: EtcdProcess | None = None

    def start(self) -> RunningEtcd:
        """Starts the etcd, or joins the one that is running. Raises StartupError, EtcdNotFound."""
        lock = self._open()
        deadline = time.monotonic() + START_WITHIN
        try:
            while not _try_lock(lock):
                if (running := _read(lock)) and can_be_joined(running):
                    _refuse_open_door(running)
                    lock.close()
                    return running
                if time.monotonic() > deadline:
                    raise StartupError(self._words_for_mute_owner(_read(lock)))
                time.sleep(POLL)
            running = self._own(lock)
        except OSError as error:
            lock.close()
            raise self._unusable(error) from error
        except BaseException:
            lock.close()
            raise
        self._lock = lock
        return running

    def stop(self, within: float) -> None:
        """Ends the etcd if it is ours, in `within` seconds at most; a shared one goes on."""
        if self._process is None or self._lock is None:
            return
        self._process.stop(within)
        _write(self._lock, None)
        self._lock.close()
        self._process = self._lock = None

    def _open(self) -> IO[str]:
        try:
            self._data.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not os.access(self._data, os.W_OK | os.X_OK):
                raise PermissionError(0, "Permission denied")
            return (self._directory / "etcd.json").open("a+", encoding="utf-8")
        except OSError as error:
            raise self._unusable(error) from error

    def _own(self, lock: IO[str]) -> RunningEtcd:
        """We are alone with this directory as long as we hold the lock, but for an etcd that outlived its owner."""
        program = find_etcd()
        if (former := _read(lock)) and _is_etcd_of(former.pid, self._data):
            self._tell(f"ending the etcd that an earlier run has left behind (process {former.pid})")
            _end(former.pid)
        _write(lock, None)
        self._tell(f"starting {program} on {self._data}")
        self._process = launch(program, self._data, self._log, within=START_WITHIN)
        running = RunningEtcd(self._process.endpoint, self._process.version, self._process.pid, os.getpid())
        _write(lock, running)
        return running

    def _unusable(self, error: OSError) -> StartupError:
        """Also a lock that can't be taken, a log that can't be written: all of it is in one directory."""
        where = "" if error.filename in (None, str(self._data)) else f" ({error.filename})"
        reason = f"{error.strerror or error}{where}"
        return StartupError(
            f"the embedded etcd can't keep its data in {self._data}: {reason}. Expected a directory "
            "that this user may write, with all that is in it. Make it so, or set ETCD_ENDPOINTS to use another etcd, "
            "for example ETCD_ENDPOINTS=http://10.0.0.1:2379"
        )

    def _words_for_mute_owner(self, running: RunningEtcd | None) -> str:
        who = f"process {running.owner}" if running else "another process"
        return (
            f"{who} uses {self._data}, but its etcd does not answer after {START_WITHIN:.0f} s. "
            f"See {self._log}, and end that process, or start in another directory"
        )


def find_running(directory: Path) -> RunningEtcd | None:
    """The embedded etcd of `directory` if it runs. Starts nothing, and takes no lock."""
    try:
        running = _parse(small_files.read(directory / "etcd.json"))
    except Unreadable:
        return None
    return running if running and can_be_joined(running) else None


def _absolute(directory: Path) -> Path:
    try:
        return directory.absolute()
    except OSError as error:
        raise StartupError(
            f"the working directory is gone or closed to this user: {error.strerror}. Expected one in which "
            f"{directory} can be kept. Start in another directory"
        ) from error


def _try_lock(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _write(lock: IO[str], running: RunningEtcd | None) -> None:
    lock.truncate(0)  # opened for appending: it writes at the end, wherever that is
    if running:
        lock.write(json.dumps(asdict(running)) + "\n")
    lock.flush()


def _read(lock: IO[str]) -> RunningEtcd | None:
    lock.seek(0)
    return _parse(lock.read())


def _parse(text: str | bytes) -> RunningEtcd | None:
    try:
        found = json.loads(text)
        return RunningEtcd(str(found["endpoint"]), str(found["version"]), int(found["pid"]), int(found["owner"]))
    except (ValueError, KeyError, TypeError):
        return None  # empty, half written, or by hand: whoever holds the lock will write it anew


def can_be_joined(running: RunningEtcd) -> bool:
    """Whether the etcd that a file tells of is there, and is the one it means."""
    # 1. A is killed, its etcd.json stays.  2. B takes the lock.  3. We fail to lock, and read A's file.
    # 4. B empties it.  At 3 another etcd may answer at A's endpoint: so A itself has to be alive, too.
    return _is_alive(running.owner) and ask_version(running.endpoint.removeprefix("http://")) is not None


def _refuse_open_door(running: RunningEtcd) -> None:
    """Raises StartupError for an etcd of a release that left its gateway on: its owner alone can start another."""
    try:
        is_open = takes_writes_over_http(running.endpoint.removeprefix("http://"))
    except (OSError, HTTPException):
        return  # it has just ended: whoever uses it will see
    if is_open:
        raise StartupError(
            f"process {running.owner} runs an embedded etcd at {running.endpoint} into which any web page that a "
            f"browser on this machine shows can write: an earlier release started it. End process {running.owner}, "
            "then start again; or set ETCD_ENDPOINTS to use another etcd, for example "
            "ETCD_ENDPOINTS=http://10.0.0.1:2379"
        )


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _is_etcd_of(pid: int, data: Path) -> bool:
    """Whether that process is an etcd on our data; the id alone may have gone to another program."""
    return f"--data-dir={data}" in _command_line(pid)


def _command_line(pid: int) -> list[str]:
    proc = Path(f"/proc/{pid}/cmdline")
    if Path("/proc/self/cmdline").exists():
        try:
            return proc.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            return []
    answer = subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return answer.stdout.split()


def _end(pid: int) -> None:
    """Ends a process that is no child of ours."""
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + ORPHAN_WITHIN
    while _is_alive(pid) and time.monotonic() < deadline:
        time.sleep(POLL)
    if _is_alive(pid):
        os.kill(pid, signal.SIGKILL)
