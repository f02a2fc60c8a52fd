"""The end in order, within ten seconds, without losing an answered write or leaving anything running."""

from __future__ import annotations

import http.client
import os
import re
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

import pytest

from tests.support.etcd import EtcdServer
from tests.support.instances import END_WITHIN, InstanceProcess, is_running, within

pytestmark = pytest.mark.lasting

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


PATCHED = """
import socket, sys, time
from service.process import stopping
stopping.end_at_once()
{patch}
from service.process.entry import enter
sys.argv = ["service"]
enter()
"""
"""The service, with something in it that fails."""


def patched(directory: Path, patch: str, **settings: str) -> InstanceProcess:
    instance = InstanceProcess(directory, **settings)
    instance.around = lambda python, *_: [python, "-c", PATCHED.format(patch=patch)]
    return instance


HELD = """
import service.fleet.probes as probes
answer = probes.health
def hold():
    print("held", flush=True)
    {held}
    return answer()
probes.health = hold
"""


@pytest.mark.parametrize("held", ["time.sleep(60)", "while True: pass"], ids=["asleep", "busy"])
def test_a_loop_that_is_held_does_not_keep_the_process_alive(tmp_path: Path, held: str) -> None:
    """Nothing that the loop would do at a signal is done then: the deadline is set by the signal's handler itself."""
    with patched(tmp_path, HELD.format(held=held)) as instance:
        etcd = instance.embedded_etcd()["pid"]
        with ask(instance, "/healthz"):
            assert within(5, lambda: "held\n" in instance.printed())
            instance.ask_to_stop()
            assert instance.wait(2 * END_WITHIN) == 1, instance.printed()  # given up after 9
        assert "not stopped within 9 s, giving up" in instance.printed()
        assert within(1, lambda: not is_running(etcd))


def ask(instance: InstanceProcess, path: str) -> socket.socket:
    """A client that waits for an answer."""
    client = socket.create_connection(("127.0.0.1", instance.port), timeout=END_WITHIN)
    client.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return client


HANGING = """
import service.app as app
routes_of = app.routes_of
def hanging(*arguments):
    routes = routes_of(*arguments)
    @routes.route("/hang")
    def hang():
        print("hangs", flush=True)
        time.sleep(60)
    return routes
app.routes_of = hanging
"""


def test_a_thread_that_hangs_does_not_keep_the_process_alive(tmp_path: Path) -> None:
    """One of Flask's; nobody waits for it beyond the time that requests in flight have. The rest ends in order."""
    with patched(tmp_path, HANGING) as instance, ask(instance, "/hang"):
        assert within(5, lambda: "hangs\n" in instance.printed())
        assert instance.answers(200, "/healthz")
        etcd = instance.embedded_etcd()["pid"]
        instance.ask_to_stop()
        assert instance.wait(END_WITHIN) == 0, instance.printed()
        assert "some requests were not answered in time" in instance.printed()
        assert "left the fleet" in instance.printed()
        assert not is_running(etcd)


UNSHARED = """
import service.process.life as life
reserve = life.reserve
def alone(host, port):
    held = reserve(host, port)
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 0)
    return held
life.reserve = alone
"""

ENDING = """
import asyncio
from service.http.server import Server
start = Server.start
async def start_and_end(server):
    await start(server)
    asyncio.get_running_loop().call_later(0.5, server._current._granian.stop)
Server.start = start_and_end
"""


@pytest.mark.parametrize(
    ("patch", "reason"),
    [(UNSHARED, "it ended by itself: .*[Aa]ddress (already )?in use"), (ENDING, "it ended by itself")],
    ids=["can't bind", "ends"],
)
def test_a_server_that_ends_by_itself_ends_the_process_with_a_reason(tmp_path: Path, patch: str, reason: str) -> None:
    """And with an exit code by which who supervises it starts it again; all else ends in order."""
    instance = patched(tmp_path, patch).start()
    try:
        assert instance.wait(20) == 1, instance.printed()
    finally:
        instance.kill()
    (told,) = [line for line in instance.printed().splitlines() if "the HTTP server failed" in line]
    assert re.search(reason, told), told
    assert "Traceback" not in instance.printed()
    assert (tmp_path / "instance" / "etcd.json").read_text() == ""
