"""What systemd is told of a process, by sd_notify(3): by a socket of the test in systemd's place."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.process.notify import Notifier
from tests.support.instances import InstanceProcess, within

TOLD_WITHIN = 10.0
TOKENS = '[{"name": "ci", "sha256": "%s", "scopes": ["read"]}]'


class Manager:
    """A listener that is told as systemd is: by datagrams, each with some assignments."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.settimeout(TOLD_WITHIN)

    def hears(self, *, but: str = "WATCHDOG=1") -> list[str]:
        """The next datagram that is not `but`; TimeoutError if none comes."""
        while (said := self._socket.recv(4096).decode()) == but:
            pass
        return said.splitlines()

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    manager = Manager(tmp_path / "notify")
    yield manager
    manager.close()


def test_it_is_ready_when_it_answers_reloads_at_a_hangup_and_says_when_it_stops(
    tmp_path: Path, manager: Manager
) -> None:
    """A reload is told with the time at which it began, which `Type=notify-reload` wants."""
    tokens = tmp_path / "tokens.json"
    tokens.write_text(TOKENS % ("0" * 64))
    instance = InstanceProcess(tmp_path, NOTIFY_SOCKET=str(manager.path), API_TOKENS_FILE=str(tokens)).start()
    try:
        ready = manager.hears()
        assert instance.answers(200, "/healthz")
        assert ready == ["READY=1", f"STATUS=serving at {instance.url}"]
        asked = microseconds()
        os.kill(instance.pid, signal.SIGHUP)
        reloading, since = manager.hears()
        assert reloading == "RELOADING=1"
        assert asked <= int(since.removeprefix("MONOTONIC_USEC=")) <= microseconds()
        assert manager.hears() == ["READY=1"]
        assert within(5, lambda: "the tokens have been read again" in instance.printed())
        instance.ask_to_stop()
        assert manager.hears() == ["STOPPING=1"]
        assert instance.wait() == 0
    finally:
        instance.kill()


def microseconds() -> int:
    """By the clock that systemd compares with."""
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000


def test_a_loop_that_turns_is_told_twice_within_the_time_and_a_loop_that_is_held_is_not(
    tmp_path: Path, manager: Manager
) -> None:
    """Then systemd ends the process and starts it again."""
    with InstanceProcess(tmp_path, NOTIFY_SOCKET=str(manager.path), WATCHDOG_USEC="400000") as instance:
        manager.hears()
        assert [manager.hears(but="") for _ in range(3)] == 3 * [["WATCHDOG=1"]]
        instance.pause()
        try:
            with pytest.raises(BlockingIOError):
                drain(manager)
        finally:
            instance.resume()
        assert manager.hears(but="") == ["WATCHDOG=1"]


def drain(manager: Manager) -> None:
    """All that it was told before; raises BlockingIOError when there is no more."""
    manager._socket.setblocking(False)
    try:
        for _ in range(1000):
            manager.hears(but="")
    finally:
        manager._socket.settimeout(TOLD_WITHIN)


def test_the_variables_are_for_one_process() -> None:
    environ = {"NOTIFY_SOCKET": "", "WATCHDOG_USEC": "400000", "WATCHDOG_PID": "1", "PATH": "/bin"}
    assert Notifier.taken_from(environ, pid=2).alive_every == 0
    assert environ == {"PATH": "/bin"}


@pytest.mark.parametrize(("meant", "every"), [("7", 0.2), ("", 0.2), ("8", 0)])
def test_the_watchdog_of_another_process_is_not_ours(manager: Manager, meant: str, every: float) -> None:
    environ = {"NOTIFY_SOCKET": str(manager.path), "WATCHDOG_USEC": "400000", "WATCHDOG_PID": meant}
    notifier = Notifier.taken_from(environ, pid=7)
    assert notifier.alive_every == every
    notifier.close()


def test_a_socket_in_the_abstract_namespace_is_told_as_well() -> None:
    name = f"config-service-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(f"\0{name}")
        notifier = Notifier.taken_from({"NOTIFY_SOCKET": f"@{name}"}, pid=1)
        notifier.stopping()
        assert listener.recv(100) == b"STOPPING=1"
        notifier.close()


def test_a_manager_that_does_not_read_delays_nobody(manager: Manager) -> None:
    notifier = Notifier.taken_from({"NOTIFY_SOCKET": str(manager.path)}, pid=1)
    for _ in range(10_000):
        notifier.alive()
    notifier.close()


def test_a_reload_before_it_serves_does_not_say_that_it_does(manager: Manager) -> None:
    notifier = Notifier.taken_from({"NOTIFY_SOCKET": str(manager.path)}, pid=1)
    with notifier.reloading():
        pass
    notifier.stopping()
    assert manager.hears() == ["STOPPING=1"]
    notifier.close()


def test_a_socket_that_is_not_there_stops_nobody(tmp_path: Path) -> None:
    with InstanceProcess(tmp_path, NOTIFY_SOCKET=str(tmp_path / "missing")) as instance:
        assert within(5, lambda: "NOTIFY_SOCKET is set, but can't be used" in instance.printed())
