"""One etcd child process: its command line, its start until it answers, its end. Knows nothing of who shares it.

The child hears no Ctrl-C of our terminal (it has a session of its own) and, on Linux, dies with the thread that started
it, whatever ends that: the kernel sees to it. Starting it takes 0.4 ms of processor time, in which the loop stands
still, and on a busy machine until the kernel lets the child begin. Another thread would not help: the interpreter is
held as well, and the child would die with that thread. All waiting for etcd itself is the loop's.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from service.embedded_etcd import log as etcd_log
from service.embedded_etcd.questions import ask_member, ask_version
from service.process.startup import StartupError

CLIENT_PORT = 2379
"""Tried first; when it is taken, any free port serves."""

PORT_ATTEMPTS = 3
POLL = 0.02
"""Seconds between two questions to an etcd that is starting."""

CANT_BE_STARTED = 126
"""Exit code of a child that could not become etcd, as of shells."""

# Asks the kernel to be killed with the thread that started it (PR_SET_PDEATHSIG, SIGKILL), then becomes etcd, with the
# same process id. The parent may have ended before it could ask.
_DYING_WITH_US = f"""
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 9)
if os.getppid() == int(sys.argv[1]):
    try:
        os.execv(sys.argv[2], sys.argv[2:])
    except OSError as error:
        sys.exit(sys.stderr.write(f"{{sys.argv[2]}} can't be started: {{error.strerror}}\\n") and {CANT_BE_STARTED})
"""

_HANDED_ON = (
    "PATH", "HOME", "TMPDIR", "TZ", "LANG", "LC_ALL", "LD_LIBRARY_PATH",
    "GODEBUG", "GOGC", "GOMAXPROCS", "GOMEMLIMIT", "GOTRACEBACK",
)  # fmt: skip
"""Variables that etcd is given. No others: some hold secrets, under whatever name, and ETCD_… are options to it."""
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
    # Web pages reach 127.0.0.1, too, and post to it unasked. What speaks HTTP here must neither write (the gateway of
    # /v3), nor answer under a rebound name (its hosts are listed), nor be read by a page from elsewhere. Served stays
    # gRPC, which none speaks.
    "--enable-grpc-gateway=false",
)


class EtcdProcess:
    """A running etcd. `launch` makes one."""

    def __init__(
        self,
        child: subprocess.Popen[bytes],
        port: int,
        name: str,
        version: str,
        member: int,
        log: Path,
        earlier: int,
    ) -> None:
        """earlier: bytes of the log that are not this one's."""
        self._child = child
        self._log = log
        self._earlier = earlier
        self.endpoint = f"http://127.0.0.1:{port}"
        self.name = name
        """By which no other etcd goes."""
        self.version = version
        self.member = member
        """The id that its data keeps; 0 if it was not told."""

    @property
    def pid(self) -> int:
        """Process id."""
        return self._child.pid

    def exit_code(self) -> int | None:
        """How it ended; None while it runs."""
        return self._child.poll()

    def why_it_ended(self, code: int) -> str:
        """For an operator, in a few words."""
        return etcd_log.why_it_ended(code, self._log, self._earlier)

    def kill(self) -> None:
        """Ends it at once, which loses nothing answered."""
        self._child.kill()

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


async def launched(
    program: Path,
    data: Path,
    log: Path,
    *,
    within: float,
    again_at: str = "",
    check: Callable[[], object] = lambda: None,
    options: Sequence[str] = (),
) -> EtcdProcess:
    """Return an etcd that answers, started on this data directory. Raises StartupError after `within` seconds.

    A cancelled call leaves no etcd behind.

    again_at: host:port where it was before, and where others know it; then its log goes on.
    check: called while we wait; what it raises ends the wait, and the etcd. options: of etcd; they win over ours.
    """
    deadline = time.monotonic() + within
    if again_at:
        etcd_log.keep_last(log, larger_than=etcd_log.LARGEST)
    else:
        etcd_log.keep_last(log)
    for _ in range(PORT_ATTEMPTS):
        port = int(again_at.rpartition(":")[2]) if again_at else _free_port()
        try:
            return await _launched(program, data, log, port, options, deadline, check)
        except etcd_log.PortTaken:
            if again_at:
                raise StartupError(f"something else listens at {again_at} now, where it was") from None
    raise StartupError(f"the embedded etcd found its port taken {PORT_ATTEMPTS} times in a row; try again")


def launch(
    program: Path, data: Path, log: Path, *, within: float, again_at: str = "", options: Sequence[str] = ()
) -> EtcdProcess:
    """`launched`, for programs that run no loop."""
    return asyncio.run(launched(program, data, log, within=within, again_at=again_at, options=options))


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


async def _launched(
    program: Path,
    data: Path,
    log: Path,
    port: int,
    options: Sequence[str],
    deadline: float,
    check: Callable[[], object],
) -> EtcdProcess:
    endpoint, own = f"http://127.0.0.1:{port}", f"embedded-{secrets.token_hex(8)}"
    command = [
        str(program),
        f"--data-dir={data}",
        f"--listen-client-urls={endpoint}",
        f"--advertise-client-urls={endpoint}",
        f"--cors={endpoint}",  # none at all would mean everybody
        f"--host-whitelist=127.0.0.1,localhost,{own}",
        # Makes the id of a cluster that begins here unlike every other's. Data that is there keeps its id.
        f"--initial-cluster-token={own}",
        *_OPTIONS,
        *options,
    ]
    with log.open("ab") as output:
        earlier = output.tell()
        try:
            child = subprocess.Popen(
                _dying_with_us(command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=child_environment(),
                start_new_session=True,
            )
        except OSError as error:
            raise _not_for_this_machine(f"{program} can't be started: {error.strerror}") from error
    try:
        version = await _version_of(child, port, own, data, log, earlier, deadline, check)
        member = await ask_member(f"127.0.0.1:{port}", name=own)
    except BaseException:
        child.kill()
        child.wait()
        raise
    return EtcdProcess(child, port, own, version, member, log, earlier)


def child_environment() -> dict[str, str]:
    """What a program is handed of our environment that is to know none of our secrets."""
    return {name: os.environ[name] for name in _HANDED_ON if name in os.environ}


def _dying_with_us(command: list[str]) -> list[str]:
    if sys.platform != "linux":
        return command
    return [sys.executable, "-I", "-S", "-c", _DYING_WITH_US, str(os.getpid()), *command]


def _not_for_this_machine(what: str) -> StartupError:
    return StartupError(
        f"{what}. Install an etcd for this machine so that it is found on PATH, or set ETCD_ENDPOINTS, for example "
        "ETCD_ENDPOINTS=http://10.0.0.1:2379"
    )


async def _version_of(
    child: subprocess.Popen[bytes],
    port: int,
    own: str,
    data: Path,
    log: Path,
    earlier: int,
    deadline: float,
    check: Callable[[], object],
) -> str:
    """Return its version, once it answers. `earlier`: bytes of the log that are not this one's.

    own: the name that it goes by, beside those of this machine, and no other etcd:

        1. The port is free.  2. Another etcd takes it.  3. Ours finds it taken, and ends, which may take it a second.
        4. The other one answers. It is not ours: it does not know this name, or goes by any.
    """
    address = f"127.0.0.1:{port}"
    while time.monotonic() < deadline:
        check()
        if child.poll() == CANT_BE_STARTED:
            raise _not_for_this_machine(etcd_log.tail(log, earlier).strip())
        if child.returncode is not None:
            raise etcd_log.explain_exit(child.returncode, data, log, earlier)
        if version := await ask_version(address, name=own):
            return version
        await asyncio.sleep(POLL)
    end = etcd_log.tail(log, earlier)
    raise StartupError(f"the embedded etcd did not answer in time. Its log, {log}, ends with:\n{end}")
