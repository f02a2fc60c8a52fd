"""The commands of docs/prometheus.md, in order, in a copy of deploy/prometheus: a Prometheus finds an instance."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.house.test_readme import sessions
from tests.prometheus import deployed
from tests.support.etcd import EtcdServer, dying_with_us, free_ports, wait_for
from tests.support.instances import PROJECT, InstanceProcess
from tests.support.prometheus import QUICKLY, program

DOCUMENT = (PROJECT / "docs" / "prometheus.md").read_text(encoding="utf-8")
COMMANDS = [
    command
    for block in re.findall(r"^```console\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)
    for command, _ in sessions(block)
]


@pytest.fixture
def instance(etcd: EtcdServer, tmp_path: Path) -> Iterator[InstanceProcess]:
    with InstanceProcess(tmp_path / "instance", **etcd.settings("/prometheus-document")) as process:
        process.wait_for_slot()
        yield process


def test_the_commands_do_what_they_are_for(instance: InstanceProcess, tmp_path: Path) -> None:
    here = tmp_path / "clone"
    deployed.copy_to(here / "deploy" / "prometheus", instance.url)
    shutil.copytree(deployed.HERE / "tests", here / "deploy" / "prometheus" / "tests")
    ours = f"127.0.0.1:{free_ports(1)[0]}"

    def run(command: str) -> str:
        done = subprocess.run(
            ["bash", "-c", command], cwd=here, capture_output=True, text=True, timeout=60, check=False
        )
        return f"{done.returncode}\n{done.stdout}{done.stderr}"

    def answered(query: str) -> bool:
        instance.get("read")  # somebody has to, for there to be a ratio
        answer = run(query)
        return answer.startswith("0\n") and f'job="{deployed.JOB}"' in answer

    with ExitStack() as stack:
        for command in COMMANDS:
            line = command.replace("localhost:8080", f"127.0.0.1:{instance.port}").replace(
                "curl ", "curl -sS --noproxy '*' "
            )
            line = re.sub(r"(localhost|127\.0\.0\.1):9090", ours, line)
            name, *arguments = shlex.split(line)
            if name == "prometheus":
                process = subprocess.Popen(
                    dying_with_us([program(name), *arguments, QUICKLY]), cwd=here, stderr=subprocess.DEVNULL
                )
                stack.callback(process.wait, 5)
                stack.callback(process.kill)
            elif arguments[0] == "query":
                wait_for(lambda line=line: answered(line), 30.0, command)  # type: ignore[misc]
            else:
                assert (said := run(line)).startswith("0\n"), said
                if name == "curl":
                    assert f'"127.0.0.1:{instance.port}"' in said


def test_all_cases_are_among_the_commands() -> None:
    (tested,) = (command for command in COMMANDS if command.startswith("promtool test rules"))
    assert tested.split()[3:] == [str(file.relative_to(PROJECT)) for file in deployed.CASES]
