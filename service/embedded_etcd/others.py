"""What other processes run: whose etcd is there, does it answer, may it be joined; and the end of one left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from pathlib import Path

from service.embedded_etcd import file as etcd_file
from service.embedded_etcd.file import RunningEtcd
from service.embedded_etcd.questions import ask_version, takes_writes_over_http
from service.process.startup import StartupError

POLL = 0.05
"""Seconds between two looks whether it has ended."""

ORPHAN_WITHIN = 5.0


def find_running(directory: Path) -> RunningEtcd | None:
    """The embedded etcd of `directory` if it runs. Starts nothing, and takes no lock. For who runs no loop."""
    running = etcd_file.read(directory)
    return running if running and asyncio.run(can_be_joined(running, _data(directory))) else None


def find_owned(directory: Path) -> RunningEtcd | None:
    """What is known of the embedded etcd of `directory` if its owner lives, whether it answers or not."""
    running = etcd_file.read(directory)
    return running if running and etcd_file.is_owned(directory) else None


def _data(directory: Path) -> Path:
    return directory.absolute() / "etcd"


async def can_be_joined(running: RunningEtcd, data: Path) -> bool:
    """Whether the etcd that a file tells of is there, and is the one it means: that of this data directory."""
    # 1. A is killed, its etcd.json stays.  2. B takes the lock.  3. We fail to lock, and read A's file.
    # 4. B empties it.  At 3 nobody owns that etcd: so A itself has to be alive, too.
    if running.trouble or not _is_alive(running.owner):
        return False
    # 1. A's etcd ends.  2. Another etcd takes its port.  3. We read A's file, before A has noticed. Whoever answers
    # must go by the name that was drawn for A's. An earlier release has written none: its etcd must still be there once
    # somebody has answered, for then nobody else can have the port.
    if await ask_version(running.address, name=running.name) is None:
        return False
    return bool(running.name) or is_etcd_of(running.pid, data)


async def refuse_open_door(running: RunningEtcd) -> None:
    """Raises StartupError for an etcd of a release that left its gateway on: its owner alone can start another."""
    if running.name:
        return  # whoever draws a name turns the gateway off
    try:
        is_open = await takes_writes_over_http(running.address)
    except (OSError, ValueError):
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


def is_etcd_of(pid: int, data: Path) -> bool:
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


async def end(pid: int) -> None:
    """Ends a process that is no child of ours."""
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + ORPHAN_WITHIN
    while _is_alive(pid) and time.monotonic() < deadline:
        await asyncio.sleep(POLL)
    if _is_alive(pid):
        os.kill(pid, signal.SIGKILL)
