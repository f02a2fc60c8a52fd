"""deploy/container/compose.yaml: what it starts is what the service, etcd, HAProxy and Prometheus can be started with.

The containers are not: their commands and files are, by the same programs on this machine.
"""

from __future__ import annotations

import os
import re
import subprocess
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import requests
import yaml

from metrics.build import version
from service.embedded_etcd.binary import find_etcd
from service.settings.model import Settings
from tests.deployment.test_container import TEXT as DOCKERFILE
from tests.support.etcd import dying_with_us, free_ports, wait_for
from tests.support.instances import PROJECT, InstanceProcess
from tools import haproxy
from tools.processes import listens

FILE = PROJECT / "deploy" / "container" / "compose.yaml"
COMPOSE: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
ETCDS = [name for name in SERVICES if name.startswith("etcd-")]
INSTANCES = [name for name in SERVICES if name.startswith("config-")]
ENDS_WITHIN = 9
"""Seconds after SIGTERM, whatever hangs: docs/operations.md."""

RESOLVED = """
# The names of containers are looked up again: one that is made anew may have another address.
resolvers docker
    nameserver dns 127.0.0.11:53
    hold valid 5s
"""


def seconds(text: str) -> int:
    """As compose writes them."""
    return int(text.removesuffix("s"))


def test_there_are_three_of_each_and_what_is_before_and_beside_them() -> None:
    assert len(ETCDS) == len(INSTANCES) == 3
    assert set(SERVICES) == {*ETCDS, *INSTANCES, "haproxy", "prometheus"}
    assert set(COMPOSE["volumes"]) == {*ETCDS, "prometheus"}


def test_every_port_is_published_on_this_machine_alone() -> None:
    published = [port for each in SERVICES.values() for port in each.get("ports", [])]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_the_files_that_it_names_are_there() -> None:
    for each in SERVICES.values():
        for volume in each.get("volumes", []):
            source = volume.split(":")[0]
            assert not source.startswith(".") or (FILE.parent / source).exists(), source
    for name in INSTANCES:
        build = SERVICES[name]["build"]
        context = (FILE.parent / build["context"]).resolve()
        assert context == PROJECT
        assert (context / build["dockerfile"]).read_text(encoding="utf-8").replace("\\\n", " ") == DOCKERFILE
        assert SERVICES[name]["image"] == f"config-service:{version()}"


def test_the_instances_can_be_started_with_their_settings_and_have_time_to_end() -> None:
    for name in INSTANCES:
        given = SERVICES[name]["environment"]
        settings = Settings.load(given)
        assert Settings.warnings(given) == ()
        assert [endpoint.partition("//")[2] for endpoint in settings.etcd_endpoints] == [
            f"{each}:2379" for each in ETCDS
        ]
        assert settings.port == 8080
        assert settings.drain_wait > 0.7  # by then HAProxy has left it
        assert seconds(SERVICES[name]["stop_grace_period"]) > ENDS_WITHIN
        assert SERVICES[name]["read_only"]
        assert SERVICES[name]["cap_drop"] == ["ALL"]


def test_haproxy_is_configured_as_for_a_fleet_on_one_machine() -> None:
    """But that it looks up the instances' names."""
    file = FILE.parent / "haproxy.cfg"
    where = [f"{name}:8080 resolvers docker init-addr libc,none" for name in INSTANCES]
    assert file.read_text(encoding="utf-8") == haproxy.configuration("*:8080", where, drain=ENDS_WITHIN) + RESOLVED
    program = haproxy.find()
    assert program, "haproxy is not installed"
    done = subprocess.run([program, "-c", "-f", file], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr


def test_three_etcd_started_by_its_commands_are_a_cluster_that_an_instance_works_with(tmp_path: Path) -> None:
    """Names and ports are this machine's; all else is as it stands in the file."""
    ports = {f"{name}:{port}": free for name in ETCDS for port, free in zip((2379, 2380), free_ports(2), strict=True)}
    pids: dict[str, int] = {}
    with ExitStack() as stack:
        for name in ETCDS:
            here = partial(_here, name, ports)
            command = [here(part).replace("/etcd-data", str(tmp_path / name)) for part in SERVICES[name]["command"]]
            given = {key: here(value) for key, value in SERVICES[name]["environment"].items()}
            environment = {"PATH": os.environ["PATH"], **given}
            with (tmp_path / f"{name}.log").open("wb") as log:
                process = subprocess.Popen(
                    dying_with_us([str(find_etcd()), *command[1:]]), env=environment, stdout=log, stderr=log
                )
            stack.callback(process.wait, 10)
            stack.callback(process.kill)
            pids[name] = process.pid
        addresses = [f"http://127.0.0.1:{ports[f'{name}:2379']}" for name in ETCDS]
        wait_for(lambda: all(map(_healthy, addresses)), what="all three are healthy")
        assert all(listens(pid, ports[f"{name}:2379"]) for name, pid in pids.items()), "others have taken their ports"
        settings = {**SERVICES[INSTANCES[0]]["environment"], "ETCD_ENDPOINTS": ",".join(addresses)}
        instance = stack.enter_context(InstanceProcess(tmp_path / "instance", **settings))
        assert instance.put("a", b"1").status_code == 201


def _here(name: str, ports: dict[str, int], text: str) -> str:
    """The same for this machine: every member listens where it says that it is."""
    text = re.sub(r"0\.0\.0\.0:(\d+)", lambda found: f"{name}:{found[1]}", text)
    return re.sub(r"etcd-\d:\d+", lambda found: f"127.0.0.1:{ports[found[0]]}", text)


def _healthy(address: str) -> bool:
    try:
        return bool(requests.get(f"{address}/health", timeout=2).json()["health"] == "true")
    except (requests.RequestException, ValueError):
        return False
