"""The end in order, within ten seconds, without losing an answered write or leaving anything running."""

from __future__ import annotations

import http.client
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

import pytest

from tests.support.etcd import EtcdServer
from tests.support.instances import END_WITHIN, InstanceProcess, is_running, within

BODY = b'"' + b"x" * 1000 + b'"'


class SlowWrite:
    """A PUT whose second half is sent when the test says so: a request in flight for as long as is wanted."""

    def __init__(self, instance: InstanceProcess, key: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", instance.port), timeout=END_WITHIN)
        head = f"PUT /config/{key} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(BODY)}\r\n\r\n"
        self._socket.sendall(head.encode() + BODY[:500])

    def finish(self) -> int:
        """Sends the rest; the status of the answer."""
        self._socket.sendall(BODY[500:])
        with http.client.HTTPResponse(self._socket) as answer:
            answer.begin()
            return answer.status

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()


@pytest.mark.parametrize("ask", [InstanceProcess.ask_to_stop, InstanceProcess.press_ctrl_c], ids=["SIGTERM", "Ctrl-C"])
def test_it_stops_in_order_and_answered_writes_are_there_at_the_next_start(
    tmp_path: Path, ask: Callable[[InstanceProcess], None]
) -> None:
    """Its slot is free at once: it was given back while etcd was still there, and etcd went last."""
    with InstanceProcess(tmp_path) as instance:
        assert instance.wait_for_slot() == 0
        assert instance.put("a", b'"kept"').status_code == 201
        etcd = instance.embedded_etcd()["pid"]
        ask(instance)
        assert instance.wait(END_WITHIN) == 0
        assert not is_running(etcd)
        assert "left the fleet" in instance.printed()
        assert '"stopped"' in instance.printed()
    with InstanceProcess(tmp_path) as successor:
        assert successor.get("a").content == b'"kept"'
        assert successor.wait_for_slot() == 0


def test_a_write_in_flight_at_the_signal_is_answered_and_kept(tmp_path: Path) -> None:
    """The listener closes first; what was accepted is finished."""
    with InstanceProcess(tmp_path) as instance, SlowWrite(instance, "a") as write:
        instance.put("b", b"1")  # by now the other one has been accepted
        instance.ask_to_stop()
        assert within(5, lambda: refuses(instance.port))
        assert write.finish() == 201
        assert instance.wait() == 0
    with InstanceProcess(tmp_path) as successor:
        assert successor.get("a").content == BODY


def refuses(port: int) -> bool:
    """Whether nobody listens there."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except ConnectionRefusedError:
        return True
    return False


def test_a_client_that_never_ends_its_request_does_not_delay_the_end(tmp_path: Path) -> None:
    """Platforms send SIGKILL ten seconds after SIGTERM; by then the slot is given back and etcd stopped in order."""
    with InstanceProcess(tmp_path) as instance, SlowWrite(instance, "a"):
        instance.put("b", b"1")
        etcd = instance.embedded_etcd()["pid"]
        instance.ask_to_stop()
        assert instance.wait(END_WITHIN) == 0
        assert not is_running(etcd)
        assert "left the fleet" in instance.printed()


def test_readiness_goes_off_before_the_listener_when_a_wait_is_asked_for(tmp_path: Path) -> None:
    """DRAIN_WAIT gives a load balancer the time to see 503 and to send its requests elsewhere."""
    with InstanceProcess(tmp_path, DRAIN_WAIT="4") as instance:
        asked = time.monotonic()
        instance.ask_to_stop()
        assert within(3, lambda: instance.answers(503, "/readyz")), instance.printed()
        assert instance.put("a", b"1").status_code == 201
        assert instance.wait() == 0
        assert time.monotonic() - asked >= 4


def test_a_second_signal_changes_nothing(tmp_path: Path) -> None:
    """An impatient Ctrl-C must not cut the write that the first one waits for."""
    with InstanceProcess(tmp_path) as instance, SlowWrite(instance, "a") as write:
        instance.put("b", b"1")
        instance.press_ctrl_c()
        assert within(5, lambda: refuses(instance.port))
        instance.press_ctrl_c()
        assert write.finish() == 201
        assert instance.wait() == 0


@pytest.mark.fault("etcd paused 20 s")
def test_an_etcd_that_hangs_does_not_keep_the_process_alive(tmp_path: Path) -> None:
    """The lease can't be revoked then; it expires by itself."""
    with EtcdServer(tmp_path / "etcd") as etcd, InstanceProcess(tmp_path, ETCD_ENDPOINTS=etcd.endpoint) as instance:
        instance.wait_for_slot()
        etcd.pause()
        instance.ask_to_stop()
        instance.wait(END_WITHIN)
        etcd.resume()


def test_ctrl_c_during_the_start_leaves_nothing_behind(tmp_path: Path) -> None:
    """At whatever moment it comes: here while etcd is starting."""
    instance = InstanceProcess(tmp_path).start()
    try:
        assert within(10, lambda: "starting" in instance.printed())
        instance.press_ctrl_c()
        assert instance.wait() in (0, 130), instance.printed()
        assert "Traceback" not in instance.printed()
        assert (tmp_path / "instance" / "etcd.json").read_text() == ""
    finally:
        instance.kill()


def test_a_start_that_waits_for_an_etcd_that_never_answers_is_given_up_at_once(tmp_path: Path) -> None:
    """It may take longer than there is time to end: with 130, and in order."""
    mute = tmp_path / "bin" / "etcd"
    mute.parent.mkdir()
    mute.write_text("#!/bin/sh\nexec sleep 60\n")
    mute.chmod(0o755)
    instance = InstanceProcess(tmp_path, PATH=f"{mute.parent}{os.pathsep}{os.environ['PATH']}").start()
    try:
        assert within(10, lambda: "starting" in instance.printed())
        instance.press_ctrl_c()
        assert instance.wait() == 130, instance.printed()
        assert "Traceback" not in instance.printed()
        assert (tmp_path / "instance" / "etcd.json").read_text() == ""
    finally:
        instance.kill()
