"""The embedded etcd ends, and is started again: killed, its disk full, its owner gone. No answered write is lost."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.embedded_etcd.child import CLIENT_PORT
from tests.fault_matrix.scene import UNCACHED, metric
from tests.process.test_shared_etcd import of_another_instance, port_taken
from tests.support.etcd import EtcdServer
from tests.support.instances import InstanceProcess, environment, is_running, run_service, within
from tests.support.unavailable import unavailable

SOON = 20.0
"""Seconds for an etcd to be started again and found."""

pytestmark = [
    pytest.mark.lasting,
    pytest.mark.skipif(sys.platform != "linux", reason="a disk of a size of its own is mounted"),
]


@pytest.fixture(autouse=True)
def usual_port_taken() -> Iterator[None]:
    """Every program that starts an etcd on this machine tries 2379 first, also while ours is down."""
    with port_taken(CLIENT_PORT):
        yield


WRITTEN_WITHIN = 0.5
"""Seconds in which etcd has written to its file what it has answered: 0.1 s. The releases 3.5.0 to 3.5.2, and the one
that comes along is of these, may lose what they answered since, when they are killed (etcd #13766)."""


def is_up(instance: InstanceProcess) -> bool:
    return instance.answers(200, "/readyz") and instance.put("probe", b"1").ok


@pytest.mark.fault("embedded etcd killed, its disk full, its owner killed")
def test_an_embedded_etcd_that_is_killed_is_started_again_where_it_was(tmp_path: Path) -> None:
    """Same address, same data, other process. Log, metric and file tell; then it stops in order."""
    with InstanceProcess(tmp_path) as instance:
        assert instance.put("a", b'"kept"').ok
        time.sleep(WRITTEN_WITHIN)
        before = instance.embedded_etcd()
        os.kill(before["pid"], signal.SIGKILL)
        assert within(SOON, lambda: instance.embedded_etcd()["pid"] != before["pid"] and is_up(instance))
        after = instance.embedded_etcd()
        assert (after["endpoint"], after["owner"], after["trouble"]) == (before["endpoint"], instance.pid, "")
        assert instance.get("a", params={"use_cache": "false"}).content == b'"kept"'
        assert metric(instance, "config_embedded_etcd_ends_total") == 1
        assert within(SOON, lambda: "the embedded etcd runs again" in instance.printed())
        printed = instance.printed()
        assert "the embedded etcd is down" in printed
        assert "killed by SIGKILL" in printed
        assert instance.stop() == 0
        assert not is_running(after["pid"])


@pytest.mark.fault("embedded etcd killed, its disk full, its owner killed")
def test_an_embedded_etcd_that_has_taken_the_port_of_ours_is_neither_read_nor_written(tmp_path: Path) -> None:
    """1. Ours ends.  2. The etcd of another directory takes its port.  3. Ours can't come back there, and a cache that
    takes the other one for a new etcd of ours writes to it. Once that has gone, ours is back, with its data."""
    with InstanceProcess(tmp_path, PATH=with_fragile_etcd(tmp_path)) as instance:
        assert instance.put("a", b'"kept"').ok
        time.sleep(WRITTEN_WITHIN)
        ours = instance.embedded_etcd()
        (tmp_path / "broken").touch()
        os.kill(ours["pid"], signal.SIGKILL)
        assert within(SOON, lambda: not is_running(ours["pid"]))
        with of_another_instance(tmp_path / "other", ours["endpoint"].removeprefix("http://")) as theirs:
            (tmp_path / "broken").unlink()
            assert within(SOON, lambda: "another etcd cluster" in instance.get("a", params=UNCACHED).text)
            assert instance.put("b", b"1").status_code == 503
            assert within(SOON, lambda: "something else listens at" in instance.request("GET", "/readyz").text)
            assert instance.put("b", b"1").status_code == 503
            assert keys_in(theirs) == []
        assert within(2 * SOON, lambda: is_up(instance)), instance.printed()
        assert instance.get("a", params=UNCACHED).content == b'"kept"'
        assert instance.stop() == 0


def keys_in(endpoint: str) -> list[str]:
    """What is in that etcd, whoever started it."""
    etcd = EtcdServer(Path())
    etcd.client_port = int(endpoint.rpartition(":")[2])
    return etcd.etcdctl("get", "", "--prefix", "--keys-only").split()


def test_kill_9_of_its_owner_takes_along_an_etcd_that_was_started_again(tmp_path: Path) -> None:
    """It is a child of another thread than the first one was."""
    with InstanceProcess(tmp_path) as instance:
        before = instance.embedded_etcd()["pid"]
        os.kill(before, signal.SIGKILL)
        assert within(SOON, lambda: instance.embedded_etcd()["pid"] != before and is_up(instance))
        etcd = instance.embedded_etcd()["pid"]
        instance.kill()
        assert within(5, lambda: not is_running(etcd))


@pytest.mark.fault("embedded etcd killed, its disk full, its owner killed")
def test_an_etcd_that_keeps_dying_is_started_ever_more_seldom(tmp_path: Path) -> None:
    """And what became of it is said wherever somebody looks."""
    with InstanceProcess(tmp_path, PATH=with_fragile_etcd(tmp_path)) as instance:
        (tmp_path / "broken").touch()
        os.kill(instance.embedded_etcd()["pid"], signal.SIGKILL)
        assert within(SOON, lambda: len(pauses(instance)) >= 4)
        assert pauses(instance)[:4] == [0.5, 1.0, 2.0, 4.0]
        assert within(SOON, lambda: "the embedded etcd is down" in instance.request("GET", "/readyz").text)
        assert instance.answers(200, "/healthz")
        done = run_service(tmp_path, "doctor", env=environment())
        assert done.returncode == 1, done.stdout
        assert "the embedded etcd is down: the embedded etcd ended at once (exit code 7)" in done.stdout
        (tmp_path / "broken").unlink()
        assert within(SOON, lambda: is_up(instance))
        assert instance.stop() == 0


def pauses(instance: InstanceProcess) -> list[float]:
    """Seconds after which it was to be started again, each time that it was down."""
    told = (json.loads(line) for line in instance.printed().splitlines())
    return [line["again_in"] for line in told if line["event"] == "the embedded etcd is down"]


def with_fragile_etcd(directory: Path) -> str:
    """A PATH whose etcd does not start while there is a file `broken` in the directory."""
    from service.embedded_etcd.binary import find_etcd

    real, bin_ = find_etcd(), directory / "bin"
    bin_.mkdir()
    (bin_ / "etcd").write_text(f'#!/bin/sh\n[ -e "{directory}/broken" ] && exit 7\nexec "{real}" "$@"\n')
    (bin_ / "etcd").chmod(0o755)
    return f"{bin_}{os.pathsep}{os.environ['PATH']}"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 200 MB of its own, mounted where the data of the embedded etcd will be."""
    data = tmp_path / "instance" / "etcd"
    data.mkdir(parents=True, mode=0o700)
    options = f"size=200m,mode=0700,uid={os.getuid()},gid={os.getgid()}"
    mounted = as_root("mount", "-t", "tmpfs", "-o", options, "tmpfs", str(data))
    if mounted.returncode:
        unavailable(f"no disk can be mounted here, which takes root or sudo: {mounted.stderr.decode()}")
    yield data
    assert as_root("umount", "-l", str(data)).returncode == 0


def as_root(*command: str) -> subprocess.CompletedProcess[bytes]:
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    return subprocess.run([*sudo, *command], check=False, capture_output=True)


@pytest.mark.fault("embedded etcd killed, its disk full, its owner killed")
def test_an_etcd_whose_disk_was_full_recovers_once_there_is_space(
    tmp_path: Path, small_disk: Path, etcd_recent: Path
) -> None:
    """It ends in the middle of a write. What was answered is there; what was not may be.

    The releases that lose what they have not written when they end (see WRITTEN_WITHIN) can't write here.
    """
    path = os.pathsep.join((str(etcd_recent.parent), os.environ["PATH"]))
    with InstanceProcess(tmp_path, ETCD_TIMEOUT="2", PATH=path) as instance:
        body = b'"' + b"x" * 500_000 + b'"'
        filler = small_disk / "filler"
        with filler.open("wb") as file, contextlib.suppress(OSError):
            while True:
                file.write(b"\0" * 1_000_000)
                file.flush()
        answered = write_until_refused(instance, body)
        assert within(SOON, lambda: "there is no space left on the disk" in instance.printed()), instance.printed()
        assert within(SOON, lambda: "no space left" in instance.request("GET", "/readyz").text)
        assert within(2 * SOON, lambda: "Make room on the disk" in blamed(tmp_path)), blamed(tmp_path)
        filler.unlink()
        assert within(2 * SOON, lambda: is_up(instance)), instance.printed()
        for number in range(answered):
            assert instance.get(f"k{number}", params={"use_cache": "false"}).content == body
        assert instance.stop() == 0


def blamed(directory: Path) -> str:
    """What the doctor says is wrong; "" if nothing: an etcd that keeps dying works for moments."""
    done = run_service(directory, "doctor", env=environment())
    return done.stdout if done.returncode == 1 else ""


def write_until_refused(instance: InstanceProcess, body: bytes) -> int:
    """How many writes were answered."""
    for number in range(400):
        if not instance.put(f"k{number}", body, timeout=30).ok:
            return number
    raise AssertionError("the disk was never full")


@pytest.mark.fault("embedded etcd killed, its disk full, its owner killed")
def test_when_the_owner_is_killed_another_takes_the_etcd_over(tmp_path: Path) -> None:
    """1. A starts it, B and C share it.  2. A is killed, and its etcd with it.  3. One of B and C starts it again."""
    with InstanceProcess(tmp_path) as first, InstanceProcess(tmp_path) as second, InstanceProcess(tmp_path) as third:
        assert first.put("a", b'"kept"').ok
        time.sleep(WRITTEN_WITHIN)
        endpoint = first.embedded_etcd()["endpoint"]
        first.kill()
        assert within(SOON, lambda: is_up(second) and is_up(third))
        told = second.embedded_etcd()
        assert told["endpoint"] == endpoint
        assert told["owner"] in (second.pid, third.pid)
        assert third.get("a", params={"use_cache": "false"}).content == b'"kept"'
        heir, other = (second, third) if told["owner"] == second.pid else (third, second)
        assert heir.stop() == 0  # in order, this time
        assert within(SOON, lambda: is_up(other))
        assert other.stop() == 0
        assert not is_running(told["pid"])
