"""The documents of the client: their examples run as they stand, and their tables are complete."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from config_client.ctl import exits
from config_client.ctl.__main__ import COMMANDS
from tests.client.real_service import CLIENT, environ
from tests.support.console import Shell, sessions
from tests.support.etcd import EtcdServer
from tests.support.instances import PROJECT, InstanceProcess

pytestmark = pytest.mark.lasting

README = (CLIENT / "README.md").read_text(encoding="utf-8")
GUIDE = PROJECT / "docs" / "client.md"
CONFIGCTL = (PROJECT / "docs" / "configctl.md").read_text(encoding="utf-8")


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[InstanceProcess]:
    """With an etcd of its own, in which nothing was written before: documents show revisions."""
    with (
        EtcdServer(tmp_path / "etcd") as etcd,
        InstanceProcess(tmp_path / "instance", ETCD_ENDPOINTS=etcd.endpoint) as started,
    ):
        started.wait_for_slot()
        yield started


def test_the_examples_of_the_library_run(instance: InstanceProcess, tmp_path: Path) -> None:
    instance.put("team/app/limits", b'{"rate": 10}', params={"sync": "true"})
    lines = printed(README, instance, tmp_path)
    assert lines[:3] == ["{'rate': 10}", "rate=10 burst=10", "7"]
    assert re.fullmatch(r"Fresh\(age=\d\.\d+, invalid=\(\)\)", lines[3])
    assert lines[4:6] == ["limits {'rate': 20} {'rate': 10}", "kept"]
    assert lines[7] == "{'rate': 30}", "waited for"
    starts = ["{'rate': N}", "{'rate': N}", "limits=Limits(rate=N, burst=10) debug=False", "{'rate': N}"]
    started = [re.sub(r"\b[123]0\b", "N", line, count=1) for line in (lines[6], *lines[8:])]
    assert started == starts, "a start may be as old as the bound"


def test_the_example_of_the_guide_runs(instance: InstanceProcess, tmp_path: Path) -> None:
    instance.put("team/app/limits", b'{"rate": 10}', params={"sync": "true"})
    lines = printed(GUIDE.read_text(), instance, tmp_path, logged="last known good")
    assert lines[:3] == ["{'rate': 10}", "Fresh", "{'rate': 20}"]
    assert lines[3] in ("{'rate': 10} Lost", "{'rate': 20} Lost"), "a start may be as old as the bound"
    assert lines[4:] == ["2"]


def printed(document: str, instance: InstanceProcess, directory: Path, logged: str = "") -> list[str]:
    """What its examples print, run as one program. logged: what the library has to warn of; nothing else may be."""
    blocks = re.findall(r"^```python\n(.*?)^```", document, re.MULTILINE | re.DOTALL)
    program = "\n".join(blocks).replace("http://127.0.0.1:8080", instance.url)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=directory, env=environ(), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    assert logged in done.stderr if logged else done.stderr == ""
    return done.stdout.splitlines()


def test_the_session_of_the_command_line_is_what_comes(instance: InstanceProcess, tmp_path: Path) -> None:
    (session,) = sessions(CONFIGCTL)
    work = tmp_path / "work"
    work.mkdir()
    with Shell(work, instance.port) as shell:
        variables = {"CONFIG_URL": instance.url, "PYTHONPATH": str(CLIENT), "NO_PROXY": "*", "XDG_CONFIG_HOME": "none"}
        for name, value in variables.items():
            shell.run(f"export {name}='{value}'")
        shell.run(f'configctl() {{ {sys.executable} -m config_client.ctl "$@" 2>> {tmp_path}/errors; }}')
        for step in session:
            shell.follow(step)
    assert "Traceback" not in (tmp_path / "errors").read_text()


def test_exit_codes_are_documented() -> None:
    documented = {int(code) for code in re.findall(r"^\| (\d+) \|", CONFIGCTL, re.MULTILINE)}
    assert documented == {value for name, value in vars(exits).items() if name.isupper() and isinstance(value, int)}


@pytest.mark.parametrize("command", [each.name for each in COMMANDS])
def test_commands_are_documented(command: str) -> None:
    assert re.search(rf"`{command}\b|configctl (?:-o \w+ )?{command}\b", CONFIGCTL)


@pytest.mark.parametrize(
    "file", [CLIENT / "README.md", GUIDE, PROJECT / "docs" / "configctl.md"], ids=lambda file: file.name
)
def test_every_link_leads_somewhere(file: Path) -> None:
    for target in re.findall(r"\]\((?!https?://)([^)#]+)\)", file.read_text()):
        assert (file.parent / target).exists(), target
