"""Who answers at a port that was free just now: the process that was started for it, or another one that was quicker.

A port is chosen, and somebody else takes it before the process has it. That one finds it taken, and needs a moment to
end; meanwhile the other answers as it would. Tests, bench and fleet went on with the other's data.
"""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread

import pytest

from bench.processes import Processes
from service.process.startup import StartupError
from tests.support.etcd import EtcdCluster, EtcdServer, dying_with_us, free_ports
from tests.support.instances import InstanceProcess, within
from tools.fleet import Fleet
from tools.processes import Child, listening, listens

pytestmark = pytest.mark.skipif(not Path("/proc/self/net").exists(), reason="the kernel tells on Linux only")

LISTENER = "import socket; it = socket.create_server(('{host}', {port}), family=socket.{family}); input()"
ENDS_SOON = [sys.executable, "-c", "import time; time.sleep(1)"]
"""As a program that finds its port taken."""


@pytest.mark.parametrize(("family", "host"), [("AF_INET", "127.0.0.1"), ("AF_INET6", "::1")])
def test_a_process_is_known_by_the_port_at_which_it_listens_and_so_is_who_started_it(family: str, host: str) -> None:
    """A shell, or a supervisor whose workers have the port."""
    port, other = free_ports(2)
    program = [sys.executable, "-c", LISTENER.format(host=host, port=port, family=family)]
    beneath = [sys.executable, "-c", f"import subprocess; subprocess.run({program!r})"]
    for command in (program, beneath):
        with subprocess.Popen(dying_with_us(command), stdin=subprocess.PIPE) as process:
            assert within(10, lambda: listens(process.pid, port))
            assert not listens(process.pid, other)
            with subprocess.Popen(["sleep", "60"]) as bystander:
                assert not listens(bystander.pid, port)
                bystander.kill()
            process.communicate(b"\n")
        assert not listens(process.pid, port)


def test_where_there_is_no_ipv6_a_process_is_known_all_the_same(tmp_path: Path) -> None:
    """The kernel has no table of it there: to take that for the end of the process is to wait for it for ever."""
    (tmp_path / "net").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as server:
        (tmp_path / "net" / "tcp").write_text(Path("/proc/self/net/tcp").read_text())
        (inode,) = listening(tmp_path, server.getsockname()[1])
        assert str(Path(f"/proc/self/fd/{server.fileno()}").readlink()) == inode


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdServer]:
    """The etcd that was quicker."""
    with EtcdServer(tmp_path_factory.mktemp("other")) as etcd:
        yield etcd


@pytest.mark.parametrize("taken", ["client_port", "peer_port", "metrics_port"])
def test_an_etcd_whose_port_another_has_taken_is_started_at_others(
    tmp_path: Path, other: EtcdServer, taken: str
) -> None:
    """How it is, is asked at the port of the metrics: there the other one answers each time."""
    ours = EtcdServer(tmp_path)
    setattr(ours, taken, getattr(other, taken))
    ours.metrics_port = other.metrics_port
    with ours:
        assert ours.metrics_port != other.metrics_port
        assert getattr(ours, taken) != getattr(other, taken)
        ours.etcdctl("put", "mine", "1")
        assert other.etcdctl("get", "mine") == ""


def test_a_cluster_one_of_whose_ports_another_etcd_has_taken_is_started_at_others(
    tmp_path: Path, other: EtcdServer
) -> None:
    """All three are."""
    ours = EtcdCluster(tmp_path)
    ours.servers[0].metrics_port = other.metrics_port
    with ours:
        assert ours.servers[0].metrics_port != other.metrics_port


def test_an_etcd_that_was_killed_is_not_well_because_another_is(tmp_path: Path, other: EtcdServer) -> None:
    """Whoever waits for its return would go on at once."""
    with EtcdServer(tmp_path) as ours:
        assert ours.healthy()
        ours.metrics_port = other.metrics_port
        assert not ours.healthy()


@pytest.fixture
def ready_elsewhere() -> Iterator[int]:
    """The port of somebody who says 200 to every GET, as an instance that is ready."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Ready) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join(5)


class Ready(BaseHTTPRequestHandler):
    """See `ready_elsewhere`."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """It has nothing to say."""


def test_an_instance_that_another_answers_for_is_not_ready(tmp_path: Path, other: EtcdServer) -> None:
    """The test that started it would ask the other one."""
    with InstanceProcess(tmp_path / "other", **other.settings("/whose")) as quicker:
        instance = InstanceProcess(tmp_path, PORT=str(quicker.port))
        instance.around = lambda *_: ENDS_SOON
        with pytest.raises(AssertionError, match="not ready; exit code 0"), instance:
            pass


def test_a_process_of_the_bench_that_another_answers_for_is_not_there(tmp_path: Path, ready_elsewhere: int) -> None:
    """It would be the other one that is measured."""
    processes = Processes(tmp_path)
    try:
        with pytest.raises(StartupError, match="it does not answer; exit status 0"):
            processes.start("it", ENDS_SOON, f"http://127.0.0.1:{ready_elsewhere}/health")
    finally:
        processes.close()


def test_an_instance_of_a_fleet_that_another_answers_for_is_not_there(tmp_path: Path, ready_elsewhere: int) -> None:
    """Its balancer would send requests to the other one."""
    fleet = Fleet(tmp_path, lambda _: None, Event())
    child = Child("instance 0", f"http://127.0.0.1:{ready_elsewhere}", ENDS_SOON, tmp_path / "log", {})
    with pytest.raises(StartupError, match="instance 0 ended with 0 before it was ready"):
        fleet._wait_until_ready(child)
