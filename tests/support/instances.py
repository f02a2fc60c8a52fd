"""Instances as real processes: `python -m service` in a directory of its own, on a port of its own.

Owns the processes it starts; they die with the thread that started them, and their etcd with them. Every wait has a
deadline, and a failed one shows what the instance printed.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import requests

from tests.support import contract
from tests.support.asyncio_says import complaints_in
from tests.support.etcd import dying_with_us, free_ports, pause
from tools.processes import listens

PROJECT = Path(__file__).parents[2]
READY_WITHIN = 20.0
END_WITHIN = 10.0
"""Seconds from the signal to the end that the service promises."""

NOT_INHERITED = (
    "ADVERTISE_ADDRESS",
    "POD_IP",
    "ALLOWED_HOSTS",
    "API_TOKEN",
    "ETCD_",
    "CACHE_",
    "CF_",
    "VCAP_",
    "HOST",
    "PORT",
    "USER_KEY_PREFIX",
    "MEMORY_LIMIT",
    "LOG_LEVEL",
    "LEASE_TTL",
    "TLS_",
    "EXPECTED_INSTANCES",
    "WORKER",
)


def environment(**settings: str) -> dict[str, str]:
    """This process's environment without any setting of the service, and with these.

    Every instance loads our modules as the first one has compiled them, whatever is said of that here.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(NOT_INHERITED)}
    ours = {"PYTHONPATH": str(PROJECT), "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": ""}
    return {**kept, **ours, **settings}


class InstanceProcess:
    """One instance. `directory` holds its `instance/`; settings are environment variables: `CACHE_MAX_AGE="1"`.

    As a context manager it starts, waits until it is ready, and is ended by force if a test has not ended it. At its
    end its log is looked at: what asyncio has complained of is an AssertionError.
    """

    def __init__(self, directory: Path, **settings: str) -> None:
        self.directory = directory
        self.port = int(settings.get("PORT") or free_ports(1)[0])
        self._settings = {"HOST": "127.0.0.1", "LOG_LEVEL": "INFO", **settings, "PORT": str(self.port)}
        self.output: int | None = None  # a file descriptor for what it prints besides its log
        self.errors: int | None = None  # a file descriptor for its log
        self.around: Callable[..., list[str]] | None = None  # makes the command line that starts it elsewhere
        # Who vouches for it over HTTPS, and what requests show it; False: anybody.
        self.verify: str | bool = self._settings.get("TLS_CA", False)
        self.cert: tuple[str, str] | None = None
        self.known_as = "127.0.0.1"  # by which name requests reach it
        self.token = ""  # what requests bear from now on, if anything
        self._process: subprocess.Popen[bytes] | None = None
        self._looked_at = 0  # characters of the log

    def __enter__(self) -> Self:
        self.start()
        try:
            return self.wait_until_ready()
        except BaseException:
            self.kill()  # or it would be another test that is told of a process nobody has waited for
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    # --- its life

    def start(self) -> Self:
        """Starts the process, in a process group of its own as a shell would, without waiting."""
        self.directory.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "service"]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                dying_with_us(self.around(*command) if self.around else command),
                cwd=self.directory,
                env=environment(PYTHONWARNINGS="default::ResourceWarning", **self._settings),
                stdin=subprocess.DEVNULL,
                stdout=self.output or log,
                stderr=self.errors or log,
                start_new_session=True,
            )
        return self

    def wait_until_ready(self, within: float = READY_WITHIN) -> Self:
        """Until its /readyz says 200. Raises AssertionError, with what was printed, when it ends or takes too long."""
        deadline = time.monotonic() + within
        while time.monotonic() < deadline and self.process.poll() is None:
            if self.answers(200, "/readyz") and listens(self.pid, self.port):
                return self
            time.sleep(0.02)
        raise AssertionError(f"not ready; exit code {self.process.poll()}; it printed:\n{self.printed()}")

    def wait_for_slot(self, within: float = 10.0) -> int:
        """Until the instance holds a slot and may cache; which one."""
        deadline = time.monotonic() + within
        while (slot := self.request("GET", "/members").json()["me"]) is None:
            assert time.monotonic() < deadline, f"no slot within {within} s:\n{self.printed()}"
            time.sleep(0.02)
        return int(slot)

    def answers(self, status: int, path: str) -> bool:
        """Whether it answers a GET with this status at this moment."""
        try:
            return self.request("GET", path, timeout=2).status_code == status
        except requests.RequestException:
            return False

    def wait(self, within: float = END_WITHIN) -> int:
        """Until the process has ended; its exit code. Raises AssertionError."""
        try:
            code = self.process.wait(within)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {within} s; it printed:\n{self.printed()}") from None
        self._look_for_complaints()
        return code

    def ask_to_stop(self) -> None:
        """SIGTERM, as platforms send it."""
        self.process.terminate()

    def press_ctrl_c(self) -> None:
        """SIGINT to everything in the foreground, as a terminal sends it."""
        os.killpg(self.process.pid, signal.SIGINT)

    def stop(self) -> int:
        """SIGTERM, then the exit code. Raises AssertionError when it does not end in time."""
        self.ask_to_stop()
        return self.wait()

    def kill(self) -> None:
        """SIGKILL; nothing if it has ended already."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(5)
            self._look_for_complaints()

    def pause(self) -> None:
        """SIGSTOP: connections stay open, nothing moves."""
        pause(self.pid)

    def resume(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    # --- asking it

    def request(self, method: str, path: str, timeout: float = 10.0, **more: Any) -> requests.Response:
        """One request on a connection of its own, without cookies and without proxies; with the token, if any.

        Raises AssertionError when openapi.yaml does not describe such an answer.
        """
        if self.token:
            more["headers"] = {"Authorization": f"Bearer {self.token}", **more.get("headers", {})}
        with requests.Session() as session:
            session.trust_env, session.verify, session.cert = False, self.verify, self.cert
            answer = session.request(method, self.url + path, timeout=timeout, allow_redirects=False, **more)
        contract.check(method, urlsplit(path).path, answer.status_code, answer.headers, answer.content)
        return answer

    def get(self, key: str, **more: Any) -> requests.Response:
        """GET /config/<key>."""
        return self.request("GET", f"/config/{key}", **more)

    def put(self, key: str, value: bytes, **more: Any) -> requests.Response:
        """PUT /config/<key>."""
        return self.request("PUT", f"/config/{key}", data=value, **more)

    def delete(self, key: str, **more: Any) -> requests.Response:
        """DELETE /config/<key>."""
        return self.request("DELETE", f"/config/{key}", **more)

    def _look_for_complaints(self) -> None:
        """Of a process that has ended; once of each."""
        printed = self.printed()
        complaints, self._looked_at = complaints_in(printed[self._looked_at :]), len(printed)
        assert not complaints, "asyncio complained:\n" + "\n".join(complaints)

    # --- what is known of it

    @property
    def url(self) -> str:
        """Where it listens."""
        host = "[::1]" if self._settings["HOST"] == "::1" else self.known_as
        return f"{'https' if 'TLS_CERT' in self._settings else 'http'}://{host}:{self.port}"

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The process, running or not."""
        assert self._process is not None, "never started"
        return self._process

    @property
    def pid(self) -> int:
        """Process id; the instance is one process."""
        return self.process.pid

    @property
    def log(self) -> Path:
        """Where its output goes."""
        return self.directory / f"instance-{self.port}.log"

    def printed(self) -> str:
        """What it has printed so far, earlier runs on this port included."""
        return self.log.read_text(errors="replace")

    def embedded_etcd(self) -> dict[str, Any]:
        """What `instance/etcd.json` tells: pid, owner, endpoint, version."""
        found: dict[str, Any] = json.loads((self.directory / "instance" / "etcd.json").read_text())
        return found


def free_run(count: int) -> int:
    """The first of so many free ports in a row; low ones, which nobody else of the tests chooses."""
    for _ in range(100):
        first = 2400 + int.from_bytes(os.urandom(2), "big") % 7000
        with contextlib.ExitStack() as held, contextlib.suppress(OSError):
            for port in range(first, first + count):
                held.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return first
    raise AssertionError("no free ports")


def is_running(pid: int) -> bool:
    """Whether any thread of it is more than an entry waiting to be collected.

    Of a process that is killed, the first thread may be gone while others hold its sockets, and the kernel goes on to
    give them connections.
    """
    if Path("/proc/self").exists():
        return any(_has_not_ended(thread) for thread in Path(f"/proc/{pid}/task").glob("*/stat"))
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _has_not_ended(thread: Path) -> bool:
    """thread: its `stat` in /proc."""
    try:
        return thread.read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def within(seconds: float, claim: Callable[[], bool]) -> bool:
    """Whether `claim` comes true in time."""
    deadline = time.monotonic() + seconds
    while not claim():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def run_service(directory: Path, *arguments: str, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Runs `python -m service` to its end: for starts that have to fail."""
    return subprocess.run(
        dying_with_us([sys.executable, "-m", "service", *arguments]),
        cwd=directory,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
