"""What a fleet costs its etcd when hundreds wait for changes, by its own count: one load a change and instance."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import pytest

from consistency.etcd.calls import Call, Calls
from tests.http.conftest import Gateway, StartGateway
from tests.http.test_changes import IDLE, Stream, put, streaming
from tests.support.etcd import EtcdServer, wait_for

INSTANCES = 3
WAITERS = 100
"""Of each instance: half of them follow the key, and half its prefix."""

WRITES = 5
QUERIES = ("key=team/a", "prefix=team/")


class Counted:
    """Reads that the instances here ask etcd for, by their kind, and what etcd counts of all that it is asked for."""

    def __init__(self, etcd: EtcdServer, monkeypatch: pytest.MonkeyPatch) -> None:
        self._etcd = etcd
        self._own: list[str] = []
        ask = Calls.ask

        async def counted(calls: Calls[Any], call: Call, timeout: float) -> Any:
            self._own.append(call.kind)
            return await ask(calls, call, timeout)

        monkeypatch.setattr(Calls, "ask", counted)

    def transactions(self) -> float:
        """That etcd has handled: writes, loads and proofs. A write after a pause first asks who answers, by a range."""
        return self._etcd.counter("grpc_server_handled_total", grpc_method="Txn")

    def writes(self, gateways: list[Gateway], streams: list[Stream]) -> tuple[float, dict[str, int]]:
        """WRITES of them, each told to all before the next: what etcd counts but for proofs, and what is read else."""
        before, self._own[:] = self.transactions(), []
        for number in range(WRITES):
            revision = put(gateways[number % INSTANCES], "team/a", b"%d" % number)
            for stream in streams:
                wait_for(lambda stream=stream, revision=revision: knows(stream, revision))  # type: ignore[misc]
        own = list(self._own)
        handled = self.transactions() - before - own.count("read")
        return handled, {kind: own.count(kind) for kind in set(own) - IDLE}


def knows(stream: Stream, revision: int) -> bool:
    return any(event.name == "sync" and event.data["revision"] >= revision for event in stream.look()[-2:])


def test_a_fleet_with_hundreds_that_wait_costs_etcd_one_load_more_for_each_change_and_instance(
    gateways: StartGateway, etcd: EtcdServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule 18. All are told; who waits costs nothing while nothing changes."""
    fleet = [gateways(cache_audit_interval=3600.0) for _ in range(INSTANCES)]
    for instance in fleet:
        put(instance, "team/a", b"0")
    counted = Counted(etcd, monkeypatch)
    assert counted.writes(fleet, []) == (WRITES, {})
    with ExitStack() as stack:
        streams = [
            stack.enter_context(streaming(instance, QUERIES[number % 2]))
            for instance in fleet
            for number in range(WAITERS)
        ]
        for stream in streams:
            stream.until("sync")
        handled, asked = counted.writes(fleet, streams)
    assert asked == {"values": WRITES * INSTANCES}
    assert handled == WRITES + WRITES * INSTANCES
