"""One etcd child process: its command line, its start until it answers, its end. Knows nothing of who shares it.

The child hears no Ctrl-C of our terminal (it has a session of its own) and, on Linux, dies with the thread that started
it, whatever ends that: the kernel sees to it. It is asked over plain HTTP; no gRPC is loaded here.
"""

from __future__ import annotations

import ctypes
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from service.startup import StartupError

CLIENT_PORT = 2379
"""Tried first; when it is taken, any free port serves."""

PORT_ATTEMPTS = 3
LOG_TAIL_BYTES = 16 * 1024
POLL = 0.02
"""Seconds between two questions to an etcd that is starting."""

_PR_SET_PDEATHSIG = 1
_OPTIONS = (
    "--name=embedded",
    # A cluster of one never dials its peer address, but it is part of the data: it must not change between starts.
    "--initial-advertise-peer-urls=http://127.0.0.1:2380",
    "--initial-cluster=embedded=http://127.0.0.1:2380",
    "--listen-peer-urls=http://127.0.0.1:0",
    "--auto-compaction-mode=periodic",
    "--auto-compaction-retention=1h",
    f"--quota-backend-bytes={2 * 1024**3}",
    "--snapshot-count=10000",  # raft entries kept in memory; the default of 100,000 suits bigger machines
    "--logger=zap",
    "--log-outputs=stderr",
    "--log-level=warn",
)


class PortTaken(Exception):
    """Somebody took the port between our look and etcd's."""


class EtcdProcess:
    """A running etcd. `launch` makes one."""

    def __init__(self, child: subprocess.Popen[bytes], port: int, version: str) -> None:
        self._child = child
        self.endpoint = f"http://127.0.0.1:{port}"
        self.version = version

    @property
    def pid(self) -> int:
        """Process id."""
        return self._child.pid

    def stop(self, within: float) -> bool:
        """SIGTERM, after `within` seconds SIGKILL, which loses nothing answered. Whether it ended by itself."""
        self._child.terminate()
        try:
            self._child.wait(within)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
            return False
        return True


def launch(program: Path, data: Path, log: Path, *, within: float) -> EtcdProcess:
    """Starts an etcd on this data directory and waits until it answers. Raises StartupError after `within` seconds."""
    deadline = time.monotonic() + within
    for _ in range(PORT_ATTEMPTS):
        try:
            return _launch(program, data, log, _free_port(), deadline)
        except PortTaken:
            continue
    raise StartupError(f"the embedded etcd found its port taken {PORT_ATTEMPTS} times in a row; try again")


def _free_port() -> int:
    for wanted in (CLIENT_PORT, 0):
        with socket.socket() as probe:
            # As etcd does it: connections of an earlier run that linger must not make the port look taken.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", wanted))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise StartupError("there is no free port on 127.0.0.1 for the embedded etcd")


def _launch(program: Path, data: Path, log: Path, port: int, deadline: float) -> EtcdProcess:
    endpoint = f"http://127.0.0.1:{port}"
    command = [
        str(program),
        f"--data-dir={data}",
        f"--listen-client-urls={endpoint}",
        f"--advertise-client-urls={endpoint}",
        *_OPTIONS,
    ]
    _keep_last_log(log)
    with log.open("wb") as output:
        try:
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=_environment(),
                start_new_session=True,
                preexec_fn=_die_with(os.getpid()),  # noqa: PLW1509  # there are no other threads yet
            )
        except OSError as error:
            raise StartupError(
                f"{program} can't be started: {error.strerror}. Install an etcd for this machine so that it is found "
                "on PATH, or set ETCD_ENDPOINTS, for example ETCD_ENDPOINTS=http://10.0.0.1:2379"
            ) from error
    try:
        version = _wait_for_answer(child, port, data, log, deadline)
    except BaseException:
        child.kill()
        child.wait()
        raise
    return EtcdProcess(child, port, version)


def _keep_last_log(log: Path) -> None:
    if log.exists():
        log.replace(log.with_name(log.name + ".1"))


def _environment() -> dict[str, str]:
    # etcd reads ETCD_… variables as its own options: ours (ETCD_USER, ETCD_CERT …) would confuse it.
    return {name: value for name, value in os.environ.items() if not name.startswith("ETCD_")}


def _die_with(parent: int) -> Callable[[], None] | None:
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def ask_kernel() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it ended before we could ask
            os._exit(1)

    return ask_kernel


def _wait_for_answer(child: subprocess.Popen[bytes], port: int, data: Path, log: Path, deadline: float) -> str:
    while time.monotonic() < deadline:
        if child.poll() is not None:
            raise _explain_exit(child.returncode, data, log)
        if version := ask_version(f"127.0.0.1:{port}"):
            return version
        time.sleep(POLL)
    raise StartupError(f"the embedded etcd did not answer in time. Its log, {log}, ends with:\n{_tail(log)}")


def ask_version(address: str, timeout: float = 1.0) -> str | None:
    """The version of the healthy etcd that listens at host:port, or None."""
    connection = http.client.HTTPConnection(address, timeout=timeout)
    try:
        if _get(connection, "/health").get("health") != "true":
            return None
        return str(_get(connection, "/version")["etcdserver"])
    except (OSError, http.client.HTTPException, ValueError, KeyError, AttributeError):
        return None  # nobody there, not yet, or no etcd
    finally:
        connection.close()


def _get(connection: http.client.HTTPConnection, path: str) -> dict[str, str]:
    connection.request("GET", path)
    answer: dict[str, str] = json.loads(connection.getresponse().read())
    return answer


def _explain_exit(code: int, data: Path, log: Path) -> Exception:
    tail = _tail(log)
    if "address already in use" in tail:
        return PortTaken()
    if "downgrade" in tail:
        return StartupError(
            f"{data} was written by a newer etcd than the one found here. Use the etcd it was written with "
            "(the first one on PATH is taken), or move the directory away to start with an empty one.\n"
            f"The log of etcd, {log}, ends with:\n{tail}"
        )
    return StartupError(f"the embedded etcd ended at once (exit code {code}). Its log, {log}, ends with:\n{tail}")


def _tail(log: Path) -> str:
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - LOG_TAIL_BYTES))
        lines = file.read().decode(errors="replace").splitlines()
    return "\n".join(f"  {_brief(line)}" for line in lines[-5:]) or "  (nothing)"


def _brief(line: str) -> str:
    try:
        entry = json.loads(line)
    except ValueError:
        return line[:400]
    entry.pop("stacktrace", None)
    message = f"{entry.pop('level', '')}: {entry.pop('msg', '')}"
    details = ", ".join(f"{name}={value}" for name, value in entry.items() if name not in ("ts", "caller"))
    return f"{message} ({details})" if details else message
