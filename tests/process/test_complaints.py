"""What asyncio complains of in the service's own processes fails the test that started them."""

from __future__ import annotations

import os
import signal
import socket
import sys
from pathlib import Path

import pytest

from tests.support import asyncio_says
from tests.support.asyncio_says import DEBUG
from tests.support.instances import InstanceProcess, within

PROGRAM = """
import asyncio, gc, socket, time
from service.process import logs

async def nothing(): pass
async def forever(): await asyncio.get_running_loop().create_future()
async def fail(): raise LookupError("seen by nobody")
async def begin(work): asyncio.get_running_loop().create_task(work()); await asyncio.sleep(0.01)

async def never_awaited(): nothing()
async def never_retrieved(): await begin(fail)
async def dropped(): await begin(forever); gc.collect()
async def unclosed(): await asyncio.open_connection(sock=socket.socketpair()[0])
async def slow(): time.sleep(0.6)
async def well(): await nothing()

logs.configure("INFO")
loop = asyncio.new_event_loop()
loop.run_until_complete({kind}())
gc.collect()
loop.close()
"""

SAID = {
    "never_awaited": "coroutine 'nothing' was never awaited",
    "never_retrieved": "Task exception was never retrieved",
    "dropped": "Task was destroyed but it is pending",
    "unclosed": "ResourceWarning: unclosed",
    "slow": r"Executing .* took 0\.\d+ seconds",
}


def running(kind: str, directory: Path) -> InstanceProcess:
    """A process in an instance's place that does this one thing."""
    instance = InstanceProcess(directory, **{DEBUG: "1"})
    instance.around = lambda *_: [sys.executable, "-c", PROGRAM.format(kind=kind)]
    return instance.start()


@pytest.mark.parametrize("kind", SAID)
def test_a_complaint_of_each_kind_is_a_failure(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once: when the process has ended, however that came about."""
    monkeypatch.setattr(asyncio_says, "SLOW", 0.5)
    instance = running(kind, tmp_path)
    with pytest.raises(AssertionError, match=SAID[kind]):
        instance.wait()
    instance.kill()


def test_who_does_well_is_left_alone(tmp_path: Path) -> None:
    assert running("well", tmp_path).wait() == 0


READS = (
    "/", "/docs", "/openapi.yaml", "/healthz", "/readyz", "/metrics", "/members", "/members/targets", "/members/me",
    "/members/states", "/members/config/a", "/config/?prefix=", "/config/a", "/config/a?use_cache=false",
    "/config/none", "/config/a?consistency=linearizable", "/config/a?revision=1", "/config/a?min_revision=1",
)  # fmt: skip


def test_asyncio_has_nothing_to_say_of_a_service_that_is_used(tmp_path: Path) -> None:
    """In its debug mode, which is too slow for all other tests: what is answered, given up, and lost with its etcd."""
    with InstanceProcess(tmp_path, **{DEBUG: "1"}) as instance:
        instance.wait_for_slot()
        assert instance.put("a", b"1", params={"sync": "true"}).status_code == 201
        assert instance.put("large", b'"%s"' % (b"a" * 500_000)).status_code == 201
        changes = [{"op": "put", "key": "b", "value": 1}, {"op": "delete", "key": "large"}]
        assert instance.request("POST", "/config/", json={"operations": changes}).status_code == 200
        for path in READS * 2:
            assert instance.request("GET", path).status_code in {200, 404}
        assert instance.delete("b").status_code == 204
        for sent in (b"GET / HTTP/1.1\r\n", b"PUT /config/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n1"):
            with socket.create_connection(("127.0.0.1", instance.port)) as leaving:
                leaving.sendall(sent)
        assert instance.put("a", b"{").status_code == 400
        assert instance.stop() == 0


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere an etcd may outlive its owner")
def test_asyncio_has_nothing_to_say_of_a_service_whose_etcd_is_killed_and_started_again(tmp_path: Path) -> None:
    """Stopped then with a stream and calls that have failed, and others that are new."""
    with InstanceProcess(tmp_path, **{DEBUG: "1"}) as instance:
        before = instance.embedded_etcd()["pid"]
        os.kill(before, signal.SIGKILL)
        assert within(20, lambda: instance.embedded_etcd()["pid"] != before and instance.answers(200, "/readyz"))
        assert instance.put("a", b"1").ok
        assert instance.stop() == 0
