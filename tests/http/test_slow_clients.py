"""Crowds of clients that send slowly, wait long or never finish, at a real instance: all others are served meanwhile.

Counted, not timed: who was in the way would be in it for seconds.
"""

from __future__ import annotations

import json
import resource
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.http.test_on_the_wire import DEADLINE, Wire, is_refused, request
from tests.support.etcd import EtcdServer
from tests.support.instances import InstanceProcess, within

PREFIX = "/slow-clients"
SLOW_BODIES = 200
WRITERS = 40
BESIDE_WRITERS = 10
"""Hits, one after the other, while so many writers wait: some thousand where nobody else uses the machine."""

HALF_HEADS = 1_000
ROUNDS = 50
KEPT = b'"kept"'


@pytest.fixture(scope="module")
def instance(etcd: EtcdServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[InstanceProcess]:
    """With one document in its memory."""
    with InstanceProcess(tmp_path_factory.mktemp("slow"), **etcd.settings(PREFIX)) as process:
        process.wait_for_slot()
        process.put("kept", KEPT)
        process.get("kept")
        yield process


@pytest.fixture
def hung(instance: InstanceProcess, etcd: EtcdServer, tmp_path: Path) -> Iterator[InstanceProcess]:
    """Another member, to be paused; it leaves at the end."""
    with InstanceProcess(tmp_path, **etcd.settings(PREFIX)) as other:
        other.wait_for_slot()
        assert within(DEADLINE, lambda: len(instance.request("GET", "/members").json()["members"]) == 2)
        yield other
        other.resume()
        assert other.stop() == 0


def serve(instance: InstanceProcess, rounds: int = ROUNDS, *, writes: bool = True) -> float:
    """Hits, puts and probes on one connection, all of which must be answered; the slowest hit, in seconds."""
    slowest = 0.0
    with Wire(instance) as wire:
        for number in range(rounds):
            began = time.perf_counter()
            answer = wire.send(request("GET", b"/config/kept")).answer()
            slowest = max(slowest, time.perf_counter() - began)
            assert (answer.status, answer.body) == (200, KEPT)
            if writes:
                assert wire.send(request("PUT", b"/config/other", body=b"%d" % number)).answer().status in (200, 201)
            assert wire.send(request("GET", b"/healthz")).answer().status == 200
    return slowest


@contextmanager
def many_files(count: int) -> Iterator[None]:
    """This process may have so many open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, count + 500)), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.fault("1,000 slow clients")
def test_bodies_that_come_drop_by_drop_are_in_nobodys_way(instance: InstanceProcess) -> None:
    """Hazard: clients that send drop by drop occupy threads for ever. In the end each is told that nothing was done."""
    head = request("PUT", b"/config/slow", b"Content-Length: 100")
    with many_files(SLOW_BODIES), ExitStack() as stack:
        slow = [stack.enter_context(Wire(instance)).send(head + b"[") for _ in range(SLOW_BODIES)]
        began = time.monotonic()
        for _ in range(3):
            serve(instance, 10)
            for wire in slow:
                wire.send(b" ")
        if time.monotonic() - began < 4:  # else some are out of time already
            assert not any(wire.is_answered() for wire in slow)
        answers = [wire.answer() for wire in slow]
    assert all(is_refused(answer, 408) for answer in answers)
    assert all(b'"not done"' in answer.body and answer.headers["connection"] == "close" for answer in answers)
    assert instance.get("slow").status_code == 404
    assert 'status="408"} ' + f"{SLOW_BODIES}.0" in instance.request("GET", "/metrics").text


@pytest.mark.fault("1,000 slow clients")
def test_heads_that_never_end_are_in_nobodys_way(instance: InstanceProcess) -> None:
    """As many connections, each with half of a header."""
    with many_files(HALF_HEADS), ExitStack() as stack:
        for _ in range(HALF_HEADS):
            stack.enter_context(Wire(instance)).send(b"GET /config/kept HTTP/1.1\r\nHost: localhost\r\nX-Half: ")
        serve(instance)


def test_synchronous_writers_that_wait_for_a_hung_instance_are_in_nobodys_way(
    instance: InstanceProcess, hung: InstanceProcess
) -> None:
    """Each waits for an acknowledgement that does not come, until no proof of before can be used any more (rule 12).

    That is the bound of a second. Hits that waited half a second beside them would be two, or three.
    """
    served = 0
    with ExitStack() as stack:
        writers = [stack.enter_context(Wire(instance)) for _ in range(WRITERS)]
        hung.pause()
        for number, wire in enumerate(writers):
            wire.send(request("PUT", b"/config/sync-%d?sync=true" % number, body=b"1"))
        while not any(wire.is_answered() for wire in writers):
            serve(instance, 1, writes=False)
            served += 1
        assert served >= BESIDE_WRITERS
        answers = [wire.answer() for wire in writers]
    assert {answer.status for answer in answers} == {201}
    assert {answer.headers["x-fleet-acks"] for answer in answers} == {"1/2"}


def test_a_writer_that_goes_away_leaves_what_it_has_written(instance: InstanceProcess, hung: InstanceProcess) -> None:
    """And its line in the log says that it can't know it."""
    hung.pause()
    with Wire(instance) as wire:
        wire.send(request("PUT", b"/config/gone?sync=true", body=b"[7]"))
        assert within(DEADLINE, stored_as(instance, "gone", b"[7]"))
        assert not wire.is_answered()
    assert within(DEADLINE, lambda: bool(lines_of(instance, "gone")))
    (line,) = lines_of(instance, "gone")
    assert (line["status"], line["outcome"]) == (499, "unknown")
    assert instance.get("gone").content == b"[7]"
    assert 'method="PUT",route="/config/<key>",status="499"} 1.0' in instance.request("GET", "/metrics").text


def stored_as(instance: InstanceProcess, key: str, value: bytes) -> Callable[[], bool]:
    return lambda: instance.get(key, params={"use_cache": "false"}).content == value


def lines_of(instance: InstanceProcess, key: str) -> list[dict[str, Any]]:
    """What the log says of writes of this key."""
    found = [json.loads(line) for line in instance.printed().splitlines() if line.startswith("{")]
    return [line for line in found if line.get("key") == key]


def test_readers_that_go_away_give_up_their_wait(new_etcd: type[EtcdServer], tmp_path: Path) -> None:
    """While etcd hangs; those who stay get their answer, over the connection that they have."""
    with (
        new_etcd(tmp_path / "etcd") as etcd,
        InstanceProcess(tmp_path, **etcd.settings("/gone"), ETCD_TIMEOUT="1") as process,
    ):
        process.wait_for_slot()
        process.put("kept", KEPT)
        etcd.pause()
        try:
            with Wire(process) as stays:
                stays.send(
                    request("GET", b"/config/kept?use_cache=false")
                    + request("GET", b"/config/kept?use_cache=false")
                    + request("GET", b"/healthz")
                )
                with Wire(process) as leaves:
                    leaves.send(request("GET", b"/config/kept?use_cache=false"))
                    time.sleep(0.05)
                assert within(DEADLINE, lambda: 'status="499"} 1.0' in process.request("GET", "/metrics").text)
                assert [stays.answer().status for _ in range(3)] == [503, 503, 200], "in its order, and none is lost"
        finally:
            etcd.resume()


def test_a_client_that_never_reads_is_given_up(instance: InstanceProcess) -> None:
    """What the kernel takes is all that it gets; others are served large answers meanwhile."""
    large = b'"' + b"x" * 1_000_000 + b'"'
    instance.put("large", large)
    with ExitStack() as stack:
        for _ in range(8):
            deaf = stack.enter_context(socket.socket())
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.connect(("127.0.0.1", instance.port))
            deaf.sendall(request("GET", b"/config/large"))
        serve(instance)
        assert instance.get("large").content == large
