"""Both shells against real instances over a real etcd: what they hold is what was written, whatever happens."""

from __future__ import annotations

import queue
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from config_client import ConfigClient, Connection, Fresh, Put, Service, Snapshot, Stale
from config_client.core.requests import DeleteOperation, Operation, PutOperation
from tests.client.conftest import Made
from tests.client.real_service import CLIENT, environ
from tests.client.test_shells import Make, state_of
from tests.support.etcd import EtcdServer, free_ports
from tests.support.instances import InstanceProcess, within
from tests.support.silent import announced, op_at

pytestmark = pytest.mark.lasting


@pytest.fixture
def fleet(etcd: EtcdServer, prefix: str, tmp_path: Path) -> Iterator[list[InstanceProcess]]:
    """Two instances."""
    ports = free_ports(2)
    made = [
        InstanceProcess(tmp_path / f"{port}", ETCD_ENDPOINTS=etcd.endpoint, USER_KEY_PREFIX=prefix, PORT=str(port))
        for port in ports
    ]
    with made[0], made[1]:
        yield made


def values(held: Snapshot) -> dict[str, bytes]:
    return {name: document.value for name, document in held.items()}


class Writer:
    """The only one who writes: so it knows what was there at each revision."""

    def __init__(self) -> None:
        self._count = 0
        self.state: dict[str, bytes] = {}
        self.states: dict[int, dict[str, bytes]] = {}

    def write(self, instance: InstanceProcess, count: int) -> int:
        """Write so many times by an instance; return the last revision."""
        with Service(Connection(instance.url, trust_env=False)) as service:
            for _ in range(count):
                self._count += 1
                name, value = f"k{self._count % 7}", b"%d" % self._count
                self.state = {**self.state, "a": value, name: value}
                operations: list[Operation] = [PutOperation("app/a", value)]
                if self._count % 3:
                    operations.append(PutOperation(f"app/{name}", value))
                else:
                    operations.append(DeleteOperation(f"app/{name}"))
                    del self.state[name]
                last = service.batch(operations).revision
                self.states[last] = self.state
        return last


def test_a_client_holds_exactly_what_was_written_through_a_rolling_restart(
    make: Make, fleet: list[InstanceProcess]
) -> None:
    """Each update is compared with the state that its revision had."""
    updates: queue.Queue[Snapshot] = queue.Queue()
    writer, (first, second) = Writer(), fleet
    writer.write(first, 20)
    client: Made = make([each.url for each in fleet], prefix="app/")
    client.start()
    client.on_update(lambda _: updates.put(client.snapshot()))
    for instance, other in ((first, second), (second, first)):
        instance.ask_to_stop()
        writer.write(other, 20)
        assert instance.wait() == 0
        writer.write(other, 20)
        instance.start().wait_until_ready()
        writer.write(other, 20)
    client.wait_for(writer.write(first, 20))
    assert values(client.snapshot()) == writer.state
    assert state_of(client) is Fresh
    assert not updates.empty()
    while not updates.empty():
        held = updates.get()
        at = max(revision for revision in writer.states if revision <= held.revision)
        assert values(held) == writer.states[at], held.revision


def test_what_a_client_writes_it_reads(make: Make, fleet: list[InstanceProcess]) -> None:
    client: Made = make([each.url for each in fleet], prefix="app/")
    client.start()
    assert list(client.snapshot()) == []
    for number in range(5):
        written = client.put("limits", {"rate": number})
        client.wait_for(written.revision)
        assert client["limits"] == {"rate": number}
    written = client.batch([Put("é/x", b"[1.10]"), Put("b", None)])
    client.wait_for(written.revision)
    assert values(client.snapshot()) == {"limits": b'{"rate": 4}', "é/x": b"[1.10]", "b": b"null"}
    client.wait_for(client.delete("limits").revision)
    assert "limits" not in client


@pytest.mark.timeout(120)
def test_a_client_passes_over_what_is_only_announced_and_goes_on_from_there_elsewhere(
    make: Make, etcd: EtcdServer, prefix: str, tmp_path: Path
) -> None:
    """Guarded keys are written in two steps. It holds the state of the first one, hears nothing of it, and is told of
    the second one by another instance, without the whole scope anew.

    No audit comes meanwhile: who audits after one that has left before its first has nothing to compare with, and tells
    everybody everything (rule 13).
    """
    settings = {
        "ETCD_ENDPOINTS": etcd.endpoint,
        "USER_KEY_PREFIX": prefix,
        "CACHE_STALENESS_BOUND": "3",
        "CACHE_AUDIT_INTERVAL": "3600",
    }
    made = [InstanceProcess(tmp_path / f"{port}", PORT=str(port), **settings) for port in free_ports(3)]
    with made[0] as first, made[1] as second, made[2] as writer:
        for each in made:
            each.wait_for_slot()
        guarded = writer.request("PUT", "/policy", data=b'{"guarded": ["app/"]}', headers={"If-None-Match": "*"})
        assert guarded.status_code == 201
        writer.put("app/limit", b"1")
        writer.put("app/other", b"1")
        client: Made = make([first.url, second.url], prefix="app/")
        heard: queue.Queue[list[str]] = queue.Queue()
        with announced(etcd, prefix, lambda: writer.put("app/limit", b"2")) as (writing, held_at):
            client.start()
            client.on_update(lambda changes: heard.put([each.name for each in changes]))
            client.wait_for(held_at)
            assert op_at(etcd, prefix, client.snapshot().revision) == "intent"
            assert values(client.snapshot()) == {"limit": b"1", "other": b"1"}
            told, rest = (first, second) if resets(first) else (second, first)
            before = resets(rest)  # none, unless the client has turned to another instance at its start
            told.ask_to_stop()
            assert not writing.done()
        client.wait_for(int(writing.result().headers["X-Config-Revision"]))
        assert values(client.snapshot()) == {"limit": b"2", "other": b"1"}
        assert (heard.get(timeout=10), heard.empty()) == (["limit"], True)
        assert resets(rest) == before
        assert state_of(client) is Fresh


def resets(instance: InstanceProcess) -> list[str]:
    """How often it has told a client a whole scope, and why; empty if it never has."""
    lines = instance.request("GET", "/metrics").text.splitlines()
    return [line for line in lines if line.startswith("config_change_resets_total{") and not line.endswith(" 0.0")]


def test_an_etcd_that_can_not_be_asked_makes_it_stale_and_not_for_longer(
    make: Make, tmp_path: Path, new_etcd: type[EtcdServer]
) -> None:
    with new_etcd(tmp_path / "etcd") as etcd:
        settings = {"ETCD_ENDPOINTS": etcd.endpoint, "USER_KEY_PREFIX": "p"}
        with InstanceProcess(tmp_path / "instance", **settings) as instance:
            instance.put("app/a", b"1", params={"sync": "true"})
            client: Made = make(instance.url, prefix="app/")
            client.start()
            assert state_of(client) is Fresh
            etcd.pause()
            assert within(15, lambda: state_of(client) is Stale)
            assert client["a"] == 1
            etcd.resume()
            assert within(15, lambda: state_of(client) is Fresh)


PROGRAM = """
    import os, sys, time
    from config_client import ConfigClient

    def until(claim):
        deadline = time.monotonic() + 20
        while not claim():
            if time.monotonic() > deadline:
                os._exit(7)
            time.sleep(0.01)

    told = []
    config = ConfigClient(sys.argv[1], prefix="app/", trust_env=False)
    config.start()
    config.on_change("a", lambda change: told.append(change.value))
    child = os.fork()
    if not child:
        until(lambda: config.get("a") == 2 and told == [2])
        config.wait_for(config.put("b", 3).revision)
        config.close()
        os._exit(0 if config_is_closed(config) else 8)
    config.wait_for(config.put("a", 2).revision)
    _, status = os.waitpid(child, 0)
    until(lambda: config.get("b", default=None) == 3 and told == [2])
    config.close()
    sys.exit(os.waitstatus_to_exitcode(status))
"""


def test_a_forked_child_follows_anew_and_its_parent_goes_on(fleet: list[InstanceProcess]) -> None:
    fleet[0].put("app/a", b"1", params={"sync": "true"})
    program = textwrap.dedent(PROGRAM).replace("config_is_closed(config)", "not config._is_open")
    done = subprocess.run(
        [sys.executable, "-c", program, fleet[0].url],
        cwd=CLIENT, env=environ(), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


FORKED_LOOP = """
    import asyncio, os, sys
    from config_client import AsyncConfigClient, Forked

    async def main():
        async with AsyncConfigClient(sys.argv[1], prefix="app/", trust_env=False) as config:
            child = os.fork()
            if not child:
                assert config["a"] == 1
                try:
                    await config.put("a", 2)
                except Forked as error:
                    os._exit(0 if "start another here" in str(error) else 8)
                os._exit(7)
            _, status = os.waitpid(child, 0)
            await config.wait_for((await config.put("a", 3)).revision)
            assert config["a"] == 3
            return os.waitstatus_to_exitcode(status)

    sys.exit(asyncio.run(main()))
"""


def test_a_child_of_a_loop_is_told_so(fleet: list[InstanceProcess]) -> None:
    fleet[0].put("app/a", b"1", params={"sync": "true"})
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FORKED_LOOP), fleet[0].url],
        cwd=CLIENT, env=environ(), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_ten_thousand_keys_are_read_in_one_go(fleet: list[InstanceProcess]) -> None:
    """At one revision, in pages: all of them, and no thread is left."""
    with Service(Connection(fleet[0].url, trust_env=False)) as service:
        for start in range(0, 10_000, 100):
            last = service.batch(
                [PutOperation(f"app/{number:05}", b"%d" % number) for number in range(start, start + 100)]
            )
    with ConfigClient([each.url for each in fleet], prefix="app/", start_within=60.0, trust_env=False) as client:
        client.wait_for(last.revision)
        assert {int(name): document.json() for name, document in client.snapshot().items()} == {
            number: number for number in range(10_000)
        }
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("config-client")]
