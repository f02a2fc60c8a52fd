"""A fleet as a user starts it, in a directory of its own: real processes, real etcd, real HAProxy."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import requests
from prometheus_client.parser import text_string_to_metric_families

from tests.load.locust_run import ROOT
from tests.support.etcd import free_ports

START_WITHIN = 60.0
STOP_WITHIN = 15.0
"""What the fleet promises."""

FLEET = ("-m", "tools.fleet")
WITHOUT_HAPROXY = (
    "-c",
    "import sys; from tools import fleet, haproxy; haproxy.find = lambda: None; sys.exit(fleet.main())",
)
"""As where it is not installed."""


class RunningFleet:
    """A program that runs a fleet, as a child process."""

    def __init__(self, directory: Path, size: int, program: Sequence[str] = FLEET, **settings: str) -> None:
        (self.port,) = free_ports(1)
        where = ["--host", "127.0.0.1", "--port", str(self.port)]
        self.address = f"{'https' if 'TLS_CERT' in settings else 'http'}://127.0.0.1:{self.port}"
        self._printed = directory / "fleet.out"
        with self._printed.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, *program, "-n", str(size), *where],
                cwd=directory,
                env={**_without_settings(), **settings, "PYTHONPATH": str(ROOT)},
                stdout=output,
                stderr=output,
                process_group=0,
            )

    @property
    def printed(self) -> str:
        """All it has said so far."""
        return self._printed.read_text()

    def wait_until(self, said: str, within: float = START_WITHIN) -> None:
        """Waits until it has said that. Raises AssertionError with what it said instead."""
        deadline = time.monotonic() + within
        while said not in self.printed:
            assert self.process.poll() is None, f"the fleet has ended:\n{self.printed}"
            assert time.monotonic() < deadline, f"no {said!r} within {within} s:\n{self.printed}"
            time.sleep(0.05)

    def rows(self) -> dict[str, tuple[str, int]]:
        """The table it prints: address and process id by name."""
        found = re.findall(
            r"^(etcd|instance \d+|balancer|load|writer)\b.*?(https?://\S+)\s+(\d+) ", self.printed, re.MULTILINE
        )
        return {name: (address, int(pid)) for name, address, pid in found}

    def instances(self) -> list[str]:
        """Addresses of the instances themselves."""
        return [address for name, (address, _) in self.rows().items() if name.startswith("instance")]

    def stop(self, how: signal.Signals = signal.SIGTERM) -> tuple[int, float]:
        """Asks it to stop; exit code and seconds it took. Raises AssertionError when it doesn't.

        SIGINT goes to the whole process group, as Ctrl-C in a terminal does.
        """
        begun = time.monotonic()
        if how is signal.SIGINT:
            os.killpg(self.process.pid, how)
        else:
            self.process.send_signal(how)
        try:
            code = self.process.wait(STOP_WITHIN + 5)
        except subprocess.TimeoutExpired as error:
            raise AssertionError(f"the fleet does not stop:\n{self.printed}") from error
        return code, time.monotonic() - begun


@contextmanager
def running_fleet(directory: Path, size: int, program: Sequence[str] = FLEET) -> Iterator[RunningFleet]:
    """Starts one, waits until it serves, and leaves no process behind, whatever the test did."""
    fleet = RunningFleet(directory, size, program)
    try:
        fleet.wait_until("Ctrl-C stops the fleet")
        yield fleet
    finally:
        pids = [pid for _, pid in fleet.rows().values()]
        if fleet.process.poll() is None:
            fleet.stop()
        for pid in pids:
            if alive(pid):
                os.kill(pid, signal.SIGKILL)


def alive(pid: int) -> bool:
    """Whether there is such a process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def running(pid: int) -> bool:
    """The same, but for a process that has ended and waits to be reaped: in a container nobody may ever do that."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def sample(address: str, name: str, **labels: str) -> float:
    """The sum of a metric's samples that bear these labels."""
    families = text_string_to_metric_families(requests.get(f"{address}/metrics", timeout=5).text)
    samples = (sample for family in families for sample in family.samples if sample.name == name)
    return sum(sample.value for sample in samples if labels.items() <= sample.labels.items())


def _without_settings() -> dict[str, str]:
    """The environment, without what would send the fleet to an etcd of somebody else's."""
    return {
        name: value for name, value in os.environ.items() if not name.startswith(("ETCD_", "VCAP_", "CF_", "CACHE_"))
    }
