"""The README's commands, copied verbatim, do what it says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.console import Shell, sessions
from tests.support.etcd import EtcdServer
from tests.support.instances import InstanceProcess

PROJECT = Path(__file__).parents[2]
README = (PROJECT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


@pytest.fixture
def etcd(tmp_path: Path) -> Iterator[EtcdServer]:
    with EtcdServer(tmp_path / "etcd") as server:
        yield server


def test_the_session_is_what_a_fresh_service_answers(etcd: EtcdServer, tmp_path: Path) -> None:
    """Each answer, in order, with the revisions of an etcd in which nothing was written before.

    `age` is a whole number of seconds, rounded up: 0 for what has just been loaded, 1 for a hit, with B = 1.
    """
    (session,) = sessions(README)
    with InstanceProcess(tmp_path / "instance", ETCD_ENDPOINTS=etcd.endpoint) as instance:
        instance.wait_for_slot()
        with Shell(tmp_path, instance.port) as shell:
            for step in session:
                assert step.shown, f"{step.command}: what is answered?"
                shell.follow(step)


def test_the_python_example_runs(etcd: EtcdServer) -> None:
    (block,) = blocks("python")
    exec(compile(block.replace("http://127.0.0.1:2379", etcd.endpoint), "README.md", "exec"), {})


def test_every_make_target_shown_exists() -> None:
    """In blocks and in sentences; those of the blocks, .ci/readme runs."""
    targets = set(re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE))
    in_blocks = {word for block in blocks("sh") for word in re.findall(r"make ([a-z-]+)", block)}
    assert in_blocks == {"run", "demo", "fleet", "load"}
    assert all(
        re.search(rf"^make {word}\b", (PROJECT / ".ci" / "readme").read_text(), re.MULTILINE) for word in in_blocks
    )
    assert in_blocks | set(re.findall(r"`make ([a-z-]+)", README)) <= targets


def test_every_link_leads_somewhere() -> None:
    for target in re.findall(r"\]\((?!https?://)([^)#]+)\)", README):
        assert (PROJECT / target).exists(), target
