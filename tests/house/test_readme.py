"""The README's commands, copied verbatim, do what it says."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.etcd import EtcdServer
from tests.support.instances import InstanceProcess, within

PROJECT = Path(__file__).parents[2]
README = (PROJECT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def sessions(block: str) -> list[tuple[str, list[str]]]:
    """Each command with the lines that it has to print."""
    made: list[tuple[str, list[str]]] = []
    for line in block.splitlines():
        if line.startswith("$ "):
            made.append((line[2:], []))
        elif line:
            made[-1][1].append(line)
    return made


@pytest.fixture
def etcd(tmp_path: Path) -> Iterator[EtcdServer]:
    with EtcdServer(tmp_path / "etcd") as server:
        yield server


def test_the_curl_session_gives_what_is_shown(etcd: EtcdServer, tmp_path: Path) -> None:
    """Revisions are those of an etcd in which nothing was written before; what is shown as a hit was read before."""
    (block,) = blocks("console")
    with InstanceProcess(tmp_path / "instance", ETCD_ENDPOINTS=etcd.endpoint) as instance:
        instance.wait_for_slot()
        for command, shown in sessions(block):
            assert within(5.0, lambda: instance.get("team/app").headers["X-Cache"] == "HIT")
            here = command.replace("localhost:8080", f"127.0.0.1:{instance.port}").replace(
                "curl ", "curl -sS --noproxy '*' ", 1
            )
            printed = subprocess.run(
                ["bash", "-c", here], capture_output=True, text=True, timeout=20, check=True
            ).stdout
            lines = [line.strip() for line in printed.splitlines()]
            assert [line for line in shown if line not in lines and not line.startswith("age: ")] == [], printed


def test_the_python_example_runs(etcd: EtcdServer) -> None:
    (block,) = blocks("python")
    exec(compile(block.replace("http://127.0.0.1:2379", etcd.endpoint), "README.md", "exec"), {})


def test_every_make_target_shown_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE))
    shown = {word for block in blocks("sh") for word in re.findall(r"make ([a-z]+)", block)}
    assert shown == {"run", "test", "demo", "fleet", "load"}
    assert shown <= targets


def test_every_link_leads_somewhere() -> None:
    for target in re.findall(r"\]\((?!https?://)([^)#]+)\)", README):
        assert (PROJECT / target).exists(), target
