"""Several instances on one port, and the one process that starts them, starts them again, and ends them in order."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import re
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from service.memory.capacity import BASE, SUPERVISOR, capacity
from service.memory.limit import most_processors
from service.settings.model import AUTO, MOST_WORKERS, Settings, SettingsError
from service.workers.machine import doubts, ports, with_workers
from service.workers.pace import FIRST, LAST, WELL_AFTER, Pace
from tests.process.test_notify import Manager
from tests.process.test_stop import PATCHED, SlowWrite, refuses
from tests.support.instances import END_WITHIN, InstanceProcess, environment, free_run, is_running, run_service, within

pytestmark = [
    pytest.mark.lasting,
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="several share a port on Linux only"),
]

MB = 1024 * 1024
SUPERVISOR_MB = 60
BACK_WITHIN = 15.0
"""Seconds for a worker to be started again and to serve, on a busy machine."""

TOKENS = '[{"name": "%s", "sha256": "%s", "scopes": ["read", "observe"]}]'
FIRST_TOKEN, SECOND_TOKEN = "first-" + 20 * "a", "second-" + 20 * "b"


def tokens_file(name: str, token: str) -> str:
    """The text of a file with one token."""
    return TOKENS % (name, hashlib.sha256(token.encode()).hexdigest())


class Workers(InstanceProcess):
    """A supervisor and its workers. SIGKILL ends the supervisor; the workers, by themselves, soon after."""

    def __init__(self, directory: Path, count: int = 2, **settings: str) -> None:
        first = free_run(count + 1)
        super().__init__(directory, WORKERS=str(count), PORT=str(first), **settings)
        self.count = count

    def wait_for_all(self) -> Workers:
        """Until each serves at its own port, and holds a slot."""
        assert within(BACK_WITHIN, lambda: len(self.pids()) == self.count and all(map(self.has_slot, self.numbers)))
        return self

    @property
    def numbers(self) -> range:
        """From 1 on."""
        return range(1, self.count + 1)

    def pids(self) -> dict[int, int]:
        """The process of each worker that lives, by its number."""
        found = {}
        for pid in children(self.pid):
            with contextlib.suppress(OSError):
                if named := re.match(r"config-w(\d+)of", Path(f"/proc/{pid}/comm").read_text()):
                    found[int(named[1])] = pid
        return found

    def kill(self) -> None:
        """SIGKILL to all of them: one that a failed test has left standing still would not see that it is alone."""
        if self._process is not None:
            left = self.pids().values() if self._process.poll() is None else ()
            super().kill()
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def ask_worker(self, number: int, path: str, **more: Any) -> requests.Response:
        """GET at its own port."""
        with requests.Session() as session:
            session.trust_env = False
            return session.get(f"http://127.0.0.1:{self.port + number}{path}", timeout=10, **more)

    def has_slot(self, number: int) -> bool:
        """Whether it answers, and holds one."""
        try:
            return self.ask_worker(number, "/readyz").json().get("member") is True
        except requests.RequestException:
            return False

    def lines(self, event: str) -> list[dict[str, Any]]:
        """Of the log, those of one event."""
        found = [json.loads(line) for line in self.printed().splitlines() if line.startswith("{")]
        return [line for line in found if line["event"] == event]


def children(pid: int) -> list[int]:
    """The processes that it has started, and that live."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def whole_lines(printed: str) -> bool:
    return all(json.loads(line) for line in printed.splitlines())


# --- what serves


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workers]:
    """Three, with the embedded etcd. Tests that end one leave three behind."""
    with Workers(tmp_path_factory.mktemp("three"), 3, ALLOWED_HOSTS="localhost") as workers:
        workers.wait_for_all()
        yield workers
        assert workers.stop() == 0


def test_all_answer_at_one_port_and_each_at_its_own(three: Workers) -> None:
    """Each has a slot, and tells the others its own address."""
    members = three.request("GET", "/members").json()["members"]
    assert {member["description"]["address"] for member in members} == {
        f"127.0.0.1:{three.port + number}" for number in three.numbers
    }
    slots = {three.ask_worker(number, "/members").json()["me"] for number in three.numbers}
    assert slots == {0, 1, 2}
    assert within(10, lambda: three.request("GET", "/members").json()["me"] == 0)
    assert within(10, lambda: three.request("GET", "/members").json()["me"] == 1)
    assert within(10, lambda: three.request("GET", "/members").json()["me"] == 2)


def test_their_etcd_is_started_once_and_is_the_supervisors(three: Workers) -> None:
    etcd = three.embedded_etcd()
    assert etcd["owner"] == three.pid
    assert sorted(children(three.pid)) == sorted([etcd["pid"], *three.pids().values()])
    assert f"embedded (shared with process {three.pid})" in three.printed()


def test_what_one_has_written_the_others_read_at_once(three: Workers) -> None:
    """`sync=true` waits for all of them."""
    for value in (b"1", b"2", b"3"):
        assert three.put("a", value, params={"sync": "true"}).ok
        assert [three.ask_worker(number, "/config/a").content for number in three.numbers] == 3 * [value]


def test_they_reach_each_other_so_that_the_page_shows_all(three: Workers) -> None:
    """At the addresses that they advertise; at the shared port each would ask somebody, perhaps itself."""
    states = three.request("GET", "/members/states").json()["members"]
    assert len(states) == 3
    assert [member.get("why_not") for member in states if not member.get("state")] == []
    assert {member["state"]["slot"] for member in states} == {0, 1, 2}


def test_each_is_a_target_of_discovery_and_has_metrics_of_its_own(three: Workers) -> None:
    targets = [each["targets"][0] for each in three.request("GET", "/members/targets").json()]
    assert sorted(targets) == [f"127.0.0.1:{three.port + number}" for number in three.numbers]
    for number in three.numbers:
        assert "config_cache_reads_total" in three.ask_worker(number, "/metrics").text


def test_metrics_at_the_shared_port_are_refused_and_it_says_where_they_are(three: Workers) -> None:
    """Counters of one worker now and of another then would be rates that mean nothing, and no error anywhere."""
    answer = three.request("GET", "/metrics")
    assert answer.status_code == 421
    assert "/members/targets" in answer.json()["detail"]


def test_each_line_of_the_log_says_whose_it_is_and_no_line_is_within_another(three: Workers) -> None:
    assert {line["worker"] for line in three.lines("joined the fleet")} >= {1, 2, 3}
    assert whole_lines(three.printed())


def test_the_supervisor_is_small_and_has_no_part_in_answering(three: Workers) -> None:
    status = Path(f"/proc/{three.pid}/status").read_text()
    assert int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) * 1024 < SUPERVISOR_MB * MB < SUPERVISOR * 2
    assert "cygrpc" not in Path(f"/proc/{three.pid}/maps").read_text()
    assert re.findall(r"Threads:\s+(\d+)", status) == ["1"]


# --- what ends and is started again


def test_one_that_is_killed_is_started_again_while_the_others_answer(three: Workers) -> None:
    """A connection of its own for each request: nobody's connection goes to the dead one."""
    before = three.pids()
    os.kill(before[2], signal.SIGKILL)
    assert within(5, lambda: not is_running(before[2]))
    answered = 0
    while three.pids().get(2, before[2]) == before[2] or not three.has_slot(2):
        assert three.get("missing").status_code == 404
        answered += 1
    assert answered
    after = three.pids()
    assert after[2] != before[2]
    assert (after[1], after[3]) == (before[1], before[3])
    (down,) = [line for line in three.lines("a worker is down") if line["pid"] == before[2]]
    assert (down["worker"], down["in_a_row"]) == (2, 1)
    assert "SIGKILL" in down["reason"]
    assert 0 < down["again_in"] <= FIRST


FIRST_THREAD_ENDS = """
import ctypes, threading, time
threading.Thread(target=time.sleep, args=(60,)).start()
ctypes.CDLL(None).syscall({exit}, 0)
"""


def test_a_process_runs_until_its_last_thread_has_ended() -> None:
    """The helper that the test above rests on: the first thread alone says nothing."""
    number = {"x86_64": 60}.get(platform.machine(), 93)
    with subprocess.Popen([sys.executable, "-c", FIRST_THREAD_ENDS.format(exit=number)]) as process:
        status = Path(f"/proc/{process.pid}/stat")
        assert within(10, lambda: status.read_text().rpartition(")")[2].split()[0] == "Z")
        assert is_running(process.pid)
        process.kill()
        assert within(10, lambda: not is_running(process.pid))


def test_one_that_is_told_to_end_finishes_and_nobody_is_turned_away_meanwhile(three: Workers) -> None:
    """How one worker is renewed: SIGTERM to it. A connection that ends before a byte has come is tried once more,
    as browsers and balancers do: one that the worker has not taken yet, or has taken and not read, is closed with it.
    """
    before, over, found = three.pids(), threading.Event(), Counter[str]()

    def ask() -> None:
        while not over.is_set():
            found[connect_and_ask(three.port)] += 1

    clients = [threading.Thread(target=ask) for _ in range(4)]
    for client in clients:
        client.start()
    os.kill(before[3], signal.SIGTERM)
    assert within(BACK_WITHIN, lambda: three.pids().get(3, before[3]) != before[3] and three.has_slot(3))
    over.set()
    for client in clients:
        client.join(10)
    assert set(found) == {"200"}, found
    assert [line["worker"] for line in three.lines("left the fleet")][-1] == 3
    (down,) = [line for line in three.lines("a worker is down") if line["pid"] == before[3]]
    assert down["reason"] == "it ended by itself, with exit code 0"


def connect_and_ask(port: int, attempts: int = 2) -> str:
    """The status of an answer on a new connection, which is tried again when it ended before a byte came."""
    answer = b""
    with contextlib.suppress(ConnectionResetError), socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        answer = client.recv(4096)
    if answer:
        return answer.split()[1].decode()
    return "nothing" if attempts == 1 else connect_and_ask(port, attempts - 1)


DYING = """
import os, signal
if os.path.exists("dying") and found and found.number == 2:
    os.kill(os.getpid(), signal.SIGKILL)
"""
"""Of a worker 2: it dies as soon as it is about to serve."""


def patched(directory: Path, patch: str) -> Workers:
    workers = Workers(directory)
    code = PATCHED.format(patch="").replace("from service.process.entry", hook(patch) + "from service.process.entry")
    workers.around = lambda python, *_: [python, "-c", code]
    return workers


def hook(patch: str) -> str:
    """Done in each process when its place is known."""
    return f"""
import service.workers.place as place
import service.process.life as life
taken_from = place.taken_from
def told(environ):
    found = taken_from(environ)
    exec({patch!r}, {{"found": found, "life": life}})
    return found
life.taken_from = told
"""


def test_one_that_dies_over_and_over_is_never_given_up_and_the_others_serve(tmp_path: Path) -> None:
    """Each time it is said how often in a row, and when it is tried again: later and later. Then it comes."""
    (tmp_path / "dying").touch()
    workers = patched(tmp_path, DYING).start()
    try:
        assert within(BACK_WITHIN, lambda: len(workers.lines("a worker is down")) >= 3), workers.printed()
        assert workers.answers(200, "/readyz")
        told = workers.lines("a worker is down")[:3]
        assert [line["in_a_row"] for line in told] == [1, 2, 3]
        assert all(FIRST * 2**n / 2 <= line["again_in"] + 0.05 for n, line in enumerate(told))
        assert all(line["again_in"] - 0.05 <= FIRST * 2**n for n, line in enumerate(told))
        (tmp_path / "dying").unlink()
        assert within(BACK_WITHIN, lambda: workers.has_slot(2)), workers.printed()
        assert workers.stop() == 0
    finally:
        workers.kill()


def test_pauses_grow_to_a_bound_differ_by_chance_and_begin_anew_after_a_good_life() -> None:
    longest, shortest = Pace(lambda: 1.0), Pace(lambda: 0.0)
    grown = [longest.pause_after(1.0) for _ in range(10)]
    assert grown[:4] == [FIRST, 2 * FIRST, 4 * FIRST, 8 * FIRST]
    assert grown[-1] == LAST == max(grown)
    assert [shortest.pause_after(1.0) for _ in range(10)] == [pause / 2 for pause in grown]
    assert longest.in_a_row == 10
    assert longest.pause_after(WELL_AFTER) == FIRST
    assert longest.in_a_row == 1


def test_workers_whose_supervisor_is_killed_end_in_order_and_leave_the_ports(tmp_path: Path) -> None:
    """Else they would serve on, and the next supervisor would find its port taken."""
    with Workers(tmp_path) as workers:
        pids = workers.wait_for_all().pids()
        workers.process.kill()
        workers.process.wait(5)
        assert within(END_WITHIN, lambda: not any(map(is_running, pids.values())))
        assert len(workers.lines("the supervisor of this worker has gone; it ends")) == 2
        assert within(1, lambda: refuses(workers.port))


# --- the end


def test_they_end_one_after_another_and_the_last_takes_connections_to_its_end(tmp_path: Path) -> None:
    """The first has a request to finish; meanwhile the second answers whoever comes. All of them say at once that they
    are not ready. A second signal changes nothing, though a terminal sends it to all that is in its foreground.
    """
    with Workers(tmp_path, DRAIN_WAIT="1") as workers:
        workers.wait_for_all()
        with SlowWrite(SlowAt(workers, 1), "a") as write:
            assert workers.ask_worker(1, "/healthz").ok  # by now the other one has been accepted
            workers.ask_to_stop()
            assert within(3, lambda: [workers.ask_worker(n, "/readyz").status_code for n in (1, 2)] == [503, 503])
            assert within(5, lambda: refuses(workers.port + 1))
            workers.press_ctrl_c()
            assert workers.answers(200, "/healthz")
            assert not refuses(workers.port + 2)
            assert write.finish() == 201
        assert workers.wait(END_WITHIN) == 0
        assert [line["worker"] for line in workers.lines("left the fleet")] == [1, 2]
        assert workers.printed().splitlines()[-1].find('"stopped"') > 0
        assert not is_running(workers.pid)


def SlowAt(workers: Workers, number: int) -> Any:  # noqa: N802  # in place of an instance
    class At:
        port = workers.port + number

    return At


def test_a_client_that_never_ends_its_request_does_not_delay_the_end(tmp_path: Path) -> None:
    """At each worker one: they share the time that platforms give, and each leaves in order within its part."""
    with Workers(tmp_path) as workers:
        workers.wait_for_all()
        etcd = workers.embedded_etcd()["pid"]
        with SlowWrite(SlowAt(workers, 1), "a"), SlowWrite(SlowAt(workers, 2), "b"):
            assert all(workers.ask_worker(number, "/healthz").ok for number in workers.numbers)
            workers.ask_to_stop()
            assert workers.wait(END_WITHIN) == 0
        assert [line["worker"] for line in workers.lines("left the fleet")] == [1, 2]
        assert not is_running(etcd)


def test_one_that_hangs_at_the_end_is_killed_and_the_others_leave_in_order(tmp_path: Path) -> None:
    with Workers(tmp_path) as workers:
        pids = workers.wait_for_all().pids()
        os.kill(pids[1], signal.SIGSTOP)
        workers.press_ctrl_c()
        assert workers.wait(END_WITHIN) == 1
        assert [line["worker"] for line in workers.lines("left the fleet")] == [2]
        (killed,) = workers.lines("a worker is killed")
        assert (killed["worker"], killed["reason"]) == (1, "it did not end in time")
        assert not is_running(pids[1])


def test_a_signal_during_the_start_leaves_nothing_behind(tmp_path: Path) -> None:
    workers = Workers(tmp_path).start()
    try:
        assert within(
            10,
            lambda: bool(
                workers.lines(
                    f"workers: 2, each reached by itself as well, at the ports {workers.port + 1} to {workers.port + 2}"
                )
            ),
        )
        workers.press_ctrl_c()
        assert workers.wait() in (0, 130), workers.printed()
        assert "Traceback" not in workers.printed()
        assert (tmp_path / "instance" / "etcd.json").read_text() == ""
    finally:
        workers.kill()


# --- who supervises the supervisor


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    manager = Manager(tmp_path / "notify")
    yield manager
    manager.close()


def test_systemd_is_told_once_for_all_and_a_hangup_has_one_after_another_read_its_files(
    tmp_path: Path, manager: Manager
) -> None:
    """Under nohup, too, which has hangups ignored. What hangs is killed before systemd would kill all."""
    tokens = tmp_path / "tokens.json"
    tokens.write_text(tokens_file("first", FIRST_TOKEN))
    workers = Workers(tmp_path, NOTIFY_SOCKET=str(manager.path), API_TOKENS_FILE=str(tokens), WATCHDOG_USEC="3000000")
    workers.around = lambda *command: ["/usr/bin/env", "nohup", *command]
    workers.start()
    try:
        assert manager.hears() == ["READY=1", f"STATUS=serving at {workers.url}, 2 of 2 workers"]
        assert [workers.ask_worker(n, "/members", headers=bearer(FIRST_TOKEN)).status_code for n in (1, 2)] == [
            200,
            200,
        ]
        tokens.write_text(tokens_file("second", SECOND_TOKEN))
        os.kill(workers.pid, signal.SIGHUP)
        assert manager.hears()[0] == "RELOADING=1"
        assert manager.hears() == ["READY=1"]
        assert [workers.ask_worker(n, "/members", headers=bearer(SECOND_TOKEN)).status_code for n in (1, 2)] == [
            200,
            200,
        ]
        assert [line["worker"] for line in workers.lines("the tokens have been read again")][:2] == [1, 2]
        hanging = workers.pids()[2]
        os.kill(hanging, signal.SIGSTOP)
        assert manager.hears() == [f"STATUS=serving at {workers.url}, 1 of 2 workers"]
        assert manager.hears() == [f"STATUS=serving at {workers.url}, 2 of 2 workers"]
        (killed,) = workers.lines("a worker is killed")
        assert (killed["pid"], killed["reason"]) == (hanging, "it hangs: it has said nothing for 3 s")
        workers.ask_to_stop()
        assert manager.hears() == ["STOPPING=1"]
        assert workers.wait() == 0
    finally:
        workers.kill()


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_a_hangup_without_files_to_read_is_a_closed_terminal_and_ends_all(tmp_path: Path) -> None:
    """Here of workers whose ports somebody maps: the advertised one is the first's, and each further one has the next;
    and of a platform that numbers its machines: each has as many slots as there are workers.
    """
    with Workers(tmp_path, ADVERTISE_ADDRESS="127.0.0.9:9900", CF_INSTANCE_INDEX="3") as workers:
        workers.wait_for_all()
        members = workers.request("GET", "/members").json()["members"]
        assert {member["description"]["address"] for member in members} == {"127.0.0.9:9900", "127.0.0.9:9901"}
        assert {member["slot"] for member in members} == {6, 7}
        os.kill(workers.pid, signal.SIGHUP)
        assert workers.wait() == 0
        assert [line["worker"] for line in workers.lines("left the fleet")] == [1, 2]


def test_process_one_of_a_container_collects_what_others_leave_behind(tmp_path: Path) -> None:
    """A process whose parent has ended becomes a child of process 1; when it ends, too, somebody has to collect it."""
    namespace = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
    if os.geteuid() != 0:
        namespace.append("--map-root-user")
    workers = Workers(tmp_path, ETCD_ENDPOINTS="http://127.0.0.1:9")
    workers.around = lambda *command: ["/usr/bin/env", *namespace, *command]
    workers.start()
    try:
        assert within(BACK_WITHIN, lambda: workers.answers(200, "/healthz")), workers.printed()
        (one,) = children(workers.pid)
        inside = ["nsenter", f"--target={one}", "--pid", "--mount"]
        subprocess.run([*inside, "sh", "-c", "sleep 0.2 & exit 0"], check=True, timeout=10)
        assert within(5, lambda: "sleep" not in commands(one))
        os.kill(one, signal.SIGTERM)
        assert workers.wait() in (0, 1)
    finally:
        workers.kill()


def commands(pid: int) -> list[str]:
    """Of its children, the dead ones that nobody has collected included."""
    found = []
    for child in children(pid):
        with contextlib.suppress(OSError):
            found.append(Path(f"/proc/{child}/comm").read_text().strip())
    return found


# --- what can't be


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"WORKERS": "0"}, "WORKERS is 0 (that is out of bounds); expected a whole number from 1 to 32, or auto, for "
         "example WORKERS=4"),
        ({"WORKERS": "many"}, "WORKERS is a text of 4 characters, no number; expected a whole number from 1 to 32, or"),
        ({"WORKERS": "2", "PORT": "65534"}, "the last worker's own port would be 65536"),
        ({"WORKERS": "4", "PORT": "9003", "WORKER_PORT": "9001"}, "have PORT among them, 9003. Expected others, for "
         "example WORKER_PORT=9004"),
        ({"WORKERS": "4", "MEMORY_LIMIT": str(256 * MB)}, "MEMORY_LIMIT is 256 MiB, which is too little for documents "
         "of MAX_VALUE_BYTES=1048576 and an embedded etcd in each of WORKERS=4. Expected at least"),
        ({"WORKERS": "2", "ETCD_USER": "me"}, "ETCD_USER and ETCD_PASSWORD belong together"),
        ({"CONFIG_SERVICE_WORKER": "2/4:0,0,0:5"}, "CONFIG_SERVICE_WORKER is set, but not by a supervisor"),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, dict) else "",
)  # fmt: skip
def test_settings_that_cant_be_end_it_with_one_message(tmp_path: Path, settings: dict[str, str], said: str) -> None:
    """Before anything is started."""
    found = run_service(tmp_path, env=environment(HOST="127.0.0.1", **{"PORT": "9000", **settings}))
    assert found.returncode == 1
    assert said in found.stderr
    assert found.stderr.count("config-service: ") == 1
    assert not (tmp_path / "instance").exists()


def test_a_workers_port_that_is_taken_ends_it_with_one_message(tmp_path: Path) -> None:
    first = free_run(3)
    with socket.socket() as other:
        other.bind(("127.0.0.1", first + 2))
        other.listen()
        found = run_service(tmp_path, env=environment(HOST="127.0.0.1", PORT=str(first), WORKERS="2"))
    assert found.returncode == 1
    assert f"{first + 2} is to be a worker's own port, but something else listens there already" in found.stderr
    assert not (tmp_path / "instance").exists()


FAILING = """
from service.process.startup import StartupError
def refuse(settings, data):
    raise StartupError("it can't be, says worker %d" % found.number)
if found:
    life.resolve = refuse
"""


def test_a_worker_that_cant_start_ends_all_with_its_message_once(tmp_path: Path) -> None:
    """The first is started alone: what is wrong with the settings would be wrong for each."""
    workers = patched(tmp_path, FAILING).start()
    try:
        assert workers.wait(20) == 1, workers.printed()
    finally:
        workers.kill()
    assert workers.printed().count("config-service: it can't be, says worker") == 1
    assert "a worker is down" not in workers.printed()


# --- how many


def test_one_worker_is_one_process_as_ever(tmp_path: Path) -> None:
    """No supervisor, no port besides, and metrics where they were."""
    with InstanceProcess(tmp_path, WORKERS="1") as instance:
        instance.wait_for_slot()
        assert children(instance.pid) == [instance.embedded_etcd()["pid"]]
        assert instance.request("GET", "/metrics").status_code == 200
        (member,) = instance.request("GET", "/members").json()["members"]
        assert member["description"]["address"] == f"127.0.0.1:{instance.port}"
        assert '"worker"' not in instance.printed()
        assert instance.stop() == 0


def machine(root: Path, **groups: str) -> Path:
    """/proc and /sys of one, in a container with these limits."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text("0::/pod/one\n")
    for name, limit in groups.items():
        group = root / "sys/fs/cgroup/pod" / ("one" if name == "one" else "")
        group.mkdir(parents=True, exist_ok=True)
        (group / "cpu.max").write_text(limit)
    return root


@pytest.mark.parametrize(
    ("groups", "found"),
    [
        ({}, os.cpu_count()),
        ({"one": "max 100000"}, os.cpu_count()),
        ({"one": "350000 100000"}, 3),
        ({"one": "50000 100000"}, 1),
        ({"one": "max 100000", "pod": "200000 100000"}, 2),
    ],
)
def test_auto_counts_the_processors_that_the_groups_leave(tmp_path: Path, groups: dict[str, str], found: int) -> None:
    """Not those of the machine: of 64, a container may have the time of two."""
    assert most_processors(machine(tmp_path, **groups)) == found


@pytest.mark.parametrize(("there_are", "workers"), [(1, 1), (2, 1), (4, 3), (5, 4), (8, 6), (16, 12), (64, 32)])
def test_auto_is_as_many_as_the_processors_keep_busy(there_are: int, workers: int) -> None:
    """A worker takes one and a quarter of them when it is busy; what is more would wait for each other."""
    settings = Settings.load({"WORKERS": "auto"})
    assert settings.workers == AUTO
    chosen = with_workers(settings, 64 * 1024 * MB, there_are, embedded=False)
    assert chosen.workers == workers
    assert not doubts(chosen, there_are)
    if workers < MOST_WORKERS:
        assert f"which {workers} keep busy" in doubts(Settings(workers=workers + 1), there_are)


def test_auto_takes_no_more_than_there_is_memory_for() -> None:
    """And memory is divided: each has what is left beside the supervisor, evenly."""
    settings = Settings.load({"WORKERS": "auto"})
    assert with_workers(settings, 200 * MB, 16, embedded=False).workers == 1
    assert with_workers(settings, 3 * 128 * MB + SUPERVISOR, 16, embedded=False).workers == 3
    each = capacity(4 * (256 * MB) + SUPERVISOR, Settings(workers=4), embedded=False)
    assert each == capacity(256 * MB, Settings(), embedded=False)
    with pytest.raises(SettingsError, match="fewer WORKERS than 4"):
        capacity(4 * BASE, Settings(workers=4), embedded=False)


def test_each_has_the_next_port() -> None:
    assert list(ports(Settings(workers=3, port=8080))) == [8081, 8082, 8083]
    assert list(ports(Settings(workers=2, port=8080, worker_port=9000))) == [9000, 9001]
    assert MOST_WORKERS == 32
