"""The world that is made to suffer: three etcd members, instances each behind a link of its own, and eyes in etcd.

Owns every process it starts. `perform` does one step of a schedule; a step that finds nothing to act upon (no leader
to move, say) is not an error, but it is told, and not counted as a fault. Not safe for concurrent access: one thread
drives it, and since processes die with the thread that started them, that has to be the one that lives longest.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import requests

from tests.support.etcd import EtcdCluster, EtcdServer, wait_for
from tests.support.instances import InstanceProcess
from torture.control import Control
from torture.proxy import Link, Network, Purpose, Way
from torture.schedule import Step

PREFIX = "/torture"
BOUND = 1.0
LEASE_TTL = 4
ELECTED_WITHIN = 3.0
"""Seconds that a step waits for etcd to have a leader that it may act upon."""

RECOVERED_WITHIN = 20.0
"""Seconds after the last fault in which every instance has to be ready again, and a member."""


class World:
    """As a context manager it starts, and is ended by force. See the module's opening."""

    def __init__(self, directory: Path, instances: int) -> None:
        self._size = instances
        self._directory = directory
        self._stack = ExitStack()
        self._suffering: list[EtcdServer] = []
        self._paused: set[int] = set()
        self.cluster = EtcdCluster(directory / "etcd")
        self.instances: list[InstanceProcess] = []
        self.links: list[Link] = []
        self.control: Control

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            ports = quiet_ports()
            for server in self.cluster.servers:
                server.client_port, server.peer_port, server.metrics_port = itertools.islice(ports, 3)
            stack.enter_context(self.cluster)
            network = stack.enter_context(Network())
            self.control = stack.enter_context(Control(self.cluster.endpoints, PREFIX))
            for number in range(self._size):
                link = network.link([server.client_port for server in self.cluster.servers])
                instance = self._instance(number, link, next(ports))
                stack.callback(instance.kill)
                self.links.append(link)
                self.instances.append(instance.start())
            for instance in self.instances:
                instance.wait_until_ready()
                instance.wait_for_slot()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _instance(self, number: int, link: Link, port: int) -> InstanceProcess:
        return InstanceProcess(
            self._directory / f"instance-{number}",
            ETCD_ENDPOINTS=",".join(f"http://127.0.0.1:{each}" for each in link.ports),
            USER_KEY_PREFIX=PREFIX,
            CACHE_STALENESS_BOUND=str(BOUND),
            LEASE_TTL=str(LEASE_TTL),
            PORT=str(port),
        )

    # --- what a schedule may ask for

    def perform(self, step: Step) -> str:
        """Does one step; why it did not happen, else nothing."""
        try:
            getattr(self, step.action)(*step.arguments)
        except (AssertionError, OSError, requests.RequestException) as problem:
            return f"{type(problem).__name__}: {problem}"[:300]
        return ""

    def kill_members(self, whom: str, count: int) -> None:
        """etcd members die, the leader first or not among them if it can be helped."""
        for server in self._choose(whom, count):
            self._suffering.append(server)
            server.kill()

    def pause_members(self, whom: str, count: int) -> None:
        """etcd members hang: their connections stay open."""
        for server in self._choose(whom, count):
            self._suffering.append(server)
            server.pause()

    def revive(self) -> None:
        """All etcd members go on, or are started again."""
        while self._suffering:
            server = self._suffering.pop()
            try:
                server.resume()
            except AssertionError:  # it is not running
                server.launch()

    def move_leader(self) -> None:
        """Another etcd member leads."""
        leader = self._leader()
        listed = json.loads(leader.etcdctl("member", "list", "--write-out=json"))
        other = next(member for member in listed["members"] if member["name"] != leader.name)
        leader.etcdctl("move-leader", f"{other['ID']:x}")

    def compact(self) -> None:
        """etcd forgets all that was before now."""
        self.control.compact()

    def delete_version(self) -> None:
        """Somebody deletes the version key."""
        self.control.delete("version")

    def overwrite_version(self) -> None:
        """Somebody puts nonsense under the version key."""
        self.control.put("version", f"nonsense {time.monotonic()}")

    def write_outside(self) -> None:
        """Somebody writes documents past the service (keys that no check looks at)."""
        for number in range(10):
            self.control.put(f"config/outside/{number}", json.dumps(time.monotonic()))

    def revoke_lease(self, who: int) -> None:
        """The lease of a living instance ends."""
        slot = self.instances[who].request("GET", "/members", timeout=2).json()["me"]
        assert slot is not None, "it holds no slot"
        self.control.revoke(slot)

    def pause_instance(self, who: int) -> None:
        """SIGSTOP."""
        self._paused.add(who)
        self.instances[who].pause()

    def resume_instance(self, who: int) -> None:
        """SIGCONT."""
        self._paused.discard(who)
        self.instances[who].resume()

    def kill_instance(self, who: int) -> None:
        """SIGKILL."""
        self.instances[who].kill()

    def stop_instance(self, who: int) -> None:
        """SIGTERM; does not wait."""
        self.instances[who].ask_to_stop()

    def start_instance(self, who: int) -> None:
        """Starts one that was stopped or killed; does not wait until it is ready."""
        instance = self.instances[who]
        try:
            instance.wait()
        finally:
            instance.kill()
            instance.start()

    def hold(self, who: int, purpose: str, *ways: str) -> None:
        """See Link.hold; `purpose` "" is everything."""
        self.links[who].hold(*map(Way, ways), purpose=Purpose(purpose) if purpose else None)

    def lose(self, who: int, *ways: str) -> None:
        """See Link.lose."""
        self.links[who].lose(*map(Way, ways))

    def delay(self, who: int, seconds: float) -> None:
        """See Link.delay."""
        self.links[who].delay(seconds)

    def refuse(self, who: int) -> None:
        """See Link.refuse."""
        self.links[who].refuse()

    def reset(self, who: int) -> None:
        """See Link.reset."""
        self.links[who].reset()

    def half_open(self, who: int, kept: str) -> None:
        """See Link.half_open."""
        self.links[who].half_open(Way(kept))

    def heal(self, who: int) -> None:
        """See Link.heal."""
        self.links[who].heal()

    # --- the end

    def recover(self) -> list[str]:
        """Ends every fault and waits; what did not come back in time. Raises AssertionError when etcd did not."""
        self.revive()
        for link in self.links:
            link.heal()
        for who in tuple(self._paused):
            self.resume_instance(who)
        for instance in self.instances:
            if instance.process.poll() is not None:
                instance.start()
        wait_for(lambda: all(server.healthy() for server in self.cluster.servers), 30.0, "etcd is healthy again")
        deadline = time.monotonic() + RECOVERED_WITHIN
        return [problem for who in range(self._size) if (problem := self._recovered(who, deadline))]

    def _recovered(self, who: int, deadline: float) -> str:
        instance = self.instances[who]
        while time.monotonic() < deadline:
            with contextlib.suppress(requests.RequestException):
                slot = instance.request("GET", "/members", timeout=2).json()["me"]
                if slot is not None and instance.answers(200, "/readyz"):
                    return ""
            time.sleep(0.05)
        return (
            f"instance {who} was not ready with a slot {RECOVERED_WITHIN:g} s after the last fault; see {instance.log}"
        )

    def _leader(self) -> EtcdServer:
        """After an election, if need be. Those that suffer are not asked: a hung one would take its time."""
        well = [server for server in self.cluster.servers if server not in self._suffering]
        assert len(well) > 1, "without a quorum nobody leads"
        leaders: list[EtcdServer] = []

        def elected() -> bool:
            leaders[:] = [each for each in well if each.healthy() and each.counter("etcd_server_is_leader")]
            return bool(leaders)

        wait_for(elected, ELECTED_WITHIN, "etcd has a leader")
        return leaders[0]

    def _choose(self, whom: str, count: int) -> list[EtcdServer]:
        """`count` members, the leader among them or not; no more than two."""
        assert not self._suffering, "another member suffers already"
        leader = self._leader()
        others = [server for server in self.cluster.servers if server is not leader]
        return ([leader, *others] if whom == "leader" else others)[:count]


def quiet_ports() -> Iterator[int]:
    """Ports that nothing listens on, below those that the kernel gives to clients: they stay free over a restart."""
    for port in itertools.count(10_000 + os.getpid() * 40 % 20_000):
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        yield port
