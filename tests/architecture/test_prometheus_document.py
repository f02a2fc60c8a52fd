"""The commands of docs/prometheus.md, in order, in a copy of deploy/prometheus: a Prometheus finds an instance."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from tests.prometheus import deployed
from tests.support.console import Shell, sessions
from tests.support.etcd import EtcdServer, dying_with_us, free_ports, wait_for
from tests.support.instances import PROJECT, InstanceProcess
from tests.support.prometheus import QUICKLY, program

pytestmark = pytest.mark.lasting

DOCUMENT = (PROJECT / "docs" / "prometheus.md").read_text(encoding="utf-8")
STEPS = [step for session in sessions(DOCUMENT) for step in session]


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

    with ExitStack() as stack:
        shell = stack.enter_context(Shell(here, instance.port))

        def answered(query: str) -> bool:
            instance.get("read")  # somebody has to, for there to be a ratio
            code, lines = shell.result(query)
            return code == 0 and f'job="{deployed.JOB}"' in "".join(lines)

        for step in STEPS:
            line = re.sub(r"(localhost|127\.0\.0\.1):9090", ours, step.command)
            name, *arguments = shlex.split(line)
            if name == "prometheus":
                process = subprocess.Popen(
                    dying_with_us([program(name), *arguments, QUICKLY]), cwd=here, stderr=subprocess.DEVNULL
                )
                stack.callback(process.wait, 5)
                stack.callback(process.kill)
            elif arguments[0] == "query":
                wait_for(lambda line=line: answered(line), 30.0, step.command)  # type: ignore[misc]
            else:
                shell.follow(replace(step, command=line))


def test_all_cases_are_among_the_commands() -> None:
    (tested,) = (step.command for step in STEPS if step.command.startswith("promtool test rules"))
    assert tested.split()[3:] == [str(file.relative_to(PROJECT)) for file in deployed.CASES]
