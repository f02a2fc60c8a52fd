"""docs/changing-safely.md: its morning is lived through, and what it claims of the policy is so."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from service.policy import questions, reading, trials
from service.policy.faults import MOST_TOLD
from tests.support.console import Shell, sessions
from tests.support.etcd import EtcdServer
from tests.support.instances import PROJECT, InstanceProcess

pytestmark = pytest.mark.lasting

DOCUMENT = (PROJECT / "docs" / "changing-safely.md").read_text(encoding="utf-8")


def test_the_morning_goes_as_it_is_told(tmp_path: Path) -> None:
    """On an instance and an etcd of its own."""
    (policy,) = re.findall(r"^```json\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)
    work = tmp_path / "work"
    work.mkdir()
    (work / "policy.json").write_text(policy)
    with (
        EtcdServer(tmp_path / "etcd") as etcd,
        InstanceProcess(tmp_path / "instance", ETCD_ENDPOINTS=etcd.endpoint) as instance,
        Shell(work, instance.port) as shell,
    ):
        instance.wait_for_slot()
        variables = {"CONFIG_URL": instance.url, "PYTHONPATH": PROJECT / "client", "NO_PROXY": "*"}
        for name, value in {**variables, "XDG_CONFIG_HOME": "none"}.items():
            shell.run(f"export {name}='{value}'")
        shell.run(f'configctl() {{ {sys.executable} -m config_client.ctl "$@"; }}')
        for session in sessions(DOCUMENT):
            for step in session:
                shell.follow(step)


def test_its_bounds_are_those_of_the_code() -> None:
    text = " ".join(DOCUMENT.split())
    assert f"at most {reading.MAX_BYTES // 1024} KiB, and each list {reading.MOST} prefixes" in text
    assert f"{questions.LIMIT:g} s of processor time and {questions.MEMORY // 1024**2} MiB" in text
    assert f"up to {MOST_TOLD} places" in text
    assert f"up to {trials.LOOKED_AT} of the documents" in text


def test_every_member_of_a_policy_is_in_its_table() -> None:
    assert set(re.findall(r"^\| `(\w+)` \|", DOCUMENT, re.MULTILINE)) == set(reading.MEMBERS)
