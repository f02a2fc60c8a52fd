"""A service that is process 1, as in a container, hears no signal that it has no handler for."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.etcd import dying_with_us, free_ports
from tests.support.instances import END_WITHIN, environment, within

pytestmark = pytest.mark.lasting

MOMENTS = [0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.8, 1.2, 2.0]
"""Seconds after the first handler is there. The start takes about two, on two busy CPUs more."""

ENDED, STOPPED_WHILE_STARTING = 0, 130


class ProcessOne:
    """`python -m service` in a process namespace of its own. `process` is unshare, which waits for it."""

    def __init__(self, directory: Path, *arguments: str, **settings: str) -> None:
        self._log = directory / "log"
        given = {"HOST": "127.0.0.1", "PORT": str(free_ports(1)[0]), **settings}
        namespace = ["/usr/bin/env", "unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
        if os.geteuid() != 0:
            namespace.append("--map-root-user")
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                dying_with_us([*namespace, sys.executable, "-m", "service", *arguments]),
                cwd=directory,
                env=environment(**given),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    @property
    def pid(self) -> int | None:
        """Its number outside; None as long as it is not there."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return int(children[0]) if children else None

    def hears(self, number: signal.Signals) -> bool:
        """Whether it has a handler: only then the kernel delivers the signal to a process 1."""
        pid = self.pid
        status = Path(f"/proc/{pid}/status")
        caught = [line.split()[1] for line in status.read_text().splitlines() if line.startswith("SigCgt")]
        return bool(pid and int(caught[0], 16) >> (number - 1) & 1)

    def send(self, number: signal.Signals) -> None:
        """From outside, as a container's runtime does."""
        assert self.pid
        os.kill(self.pid, number)

    def printed(self) -> str:
        """What it has printed so far."""
        return self._log.read_text()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=lambda number: number.name)
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_signal_is_heard_at_any_moment(tmp_path: Path, moment: float, number: signal.Signals) -> None:
    """It ends in time, and leaves no etcd behind: with its namespace the kernel would end that by force."""
    one = ProcessOne(tmp_path)
    try:
        assert within(10, lambda: one.pid is not None and one.hears(signal.SIGTERM)), one.printed()
        time.sleep(moment)
        sent = time.monotonic()
        one.send(number)
        code = one.process.wait(END_WITHIN)
        assert code in (ENDED, STOPPED_WHILE_STARTING), one.printed()
        assert time.monotonic() - sent < END_WITHIN
        assert "Traceback" not in one.printed()
        state = tmp_path / "instance" / "etcd.json"
        assert not state.exists() or state.read_text() == ""
    finally:
        one.process.kill()
        one.process.wait()


SLOW = """
import sys, time

class Slow:
    def find_spec(self, name, path, target=None):
        if name == "pydantic":
            open("loading", "w").close()
            time.sleep(1)

sys.meta_path.insert(0, Slow())
"""


@pytest.mark.parametrize("arguments", [[], ["doctor"]])
def test_a_signal_while_packages_are_being_loaded_is_heard(tmp_path: Path, arguments: list[str]) -> None:
    """They take most of the first second, from a slow disk longer."""
    (tmp_path / "sitecustomize.py").write_text(SLOW)
    path = os.pathsep.join((str(tmp_path), environment()["PYTHONPATH"]))
    one = ProcessOne(tmp_path, *arguments, PYTHONPATH=path)
    try:
        assert within(10, (tmp_path / "loading").exists), one.printed()
        one.send(signal.SIGTERM)
        assert one.process.wait(END_WITHIN) == STOPPED_WHILE_STARTING
        assert one.printed() == "config-service: stopped while starting\n"
    finally:
        one.process.kill()
        one.process.wait()


def test_the_handlers_are_there_before_anything_that_takes_time_is_loaded(tmp_path: Path) -> None:
    """Counted in modules, since seconds depend on the machine: what comes before is lost to a process 1."""
    spy = tmp_path / "sitecustomize.py"
    spy.write_text(
        "import signal, sys\nset_handler = signal.signal\n"
        "def told(number, handler):\n"
        "    if number == signal.SIGTERM and sys.modules.pop('first', True):\n"
        "        sys.modules['first'] = None\n"
        "        print(sorted(name for name in sys.modules if name in WATCHED), flush=True)\n"
        "    return set_handler(number, handler)\n"
        "signal.signal = told\n"
        "WATCHED = ('argparse', 'logging', 'pydantic', 'structlog', 'service.settings.model', 'typing',\n"
        "           'service.process.stopping')\n"
    )
    done = subprocess.run(
        dying_with_us([sys.executable, "-m", "service", "--version"]),
        cwd=tmp_path,
        env={**environment(), "PYTHONPATH": os.pathsep.join((str(tmp_path), environment()["PYTHONPATH"]))},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert done.stdout.splitlines()[0] == "['service.process.stopping']"


def test_the_doctor_hears_a_signal_too(tmp_path: Path) -> None:
    """Here while it waits for an etcd that takes the connection and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        mute.settimeout(20)
        one = ProcessOne(tmp_path, "doctor", ETCD_ENDPOINTS=f"http://127.0.0.1:{mute.getsockname()[1]}")
        try:
            with mute.accept()[0]:
                one.send(signal.SIGTERM)
                assert one.process.wait(END_WITHIN) == STOPPED_WHILE_STARTING
            assert one.printed() == "config-service: stopped while starting\n"
        finally:
            one.process.kill()
            one.process.wait()


def test_hangup_while_starting_with_a_file_of_tokens_ends_nothing(tmp_path: Path) -> None:
    """It asks for the file to be read again, and reaches all instances of a fleet, whatever they are doing."""
    (tmp_path / "tokens.json").write_text('[{"name": "a", "token": "0123456789-abcdef", "scopes": ["admin"]}]')
    one = ProcessOne(tmp_path, API_TOKENS_FILE="tokens.json")
    try:
        assert within(10, lambda: one.pid is not None and one.hears(signal.SIGHUP)), one.printed()
        one.send(signal.SIGHUP)
        time.sleep(0.3)
        one.send(signal.SIGHUP)
        assert within(20, lambda: "try: " in one.printed()), one.printed()
        one.send(signal.SIGTERM)
        assert one.process.wait(END_WITHIN) == ENDED
    finally:
        one.process.kill()
        one.process.wait()
