"""deploy/systemd: systemd takes the unit, and the service does what the unit rests upon, confined as the unit says."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from service.process.stopping import END_WITHIN
from service.settings.model import Settings
from tests.deployment import confined
from tests.packaging.installed import Installed, build
from tests.support.instances import PROJECT, InstanceProcess, free_run, within

FOLDER = PROJECT / "deploy" / "systemd"
UNIT = FOLDER / "config-service.service"
FOUND = confined.read(UNIT)
DOCUMENT = (PROJECT / "docs" / "systemd.md").read_text(encoding="utf-8")

EXPOSURE = 15
"""Tenths: what `systemd-analyze security` may find at most; a unit without any hardening has 96."""


@pytest.fixture(scope="module", autouse=True)
def _systemd() -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not here: apt-get install systemd")


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, timeout=60, check=False)


def unit(directory: Path, *changes: tuple[str, str]) -> Path:
    """The unit, with a program that is here."""
    text = UNIT.read_text(encoding="utf-8").replace("/opt/config-service/bin/config-service", "/bin/true")
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    file = directory / UNIT.name
    file.write_text(text, encoding="utf-8")
    return file


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    done = analyze("verify", "--man=no", str(unit(tmp_path)))
    assert (done.returncode, done.stderr) == (0, "")


def test_systemd_complains_of_a_name_that_it_does_not_know(tmp_path: Path) -> None:
    done = analyze("verify", "--man=no", str(unit(tmp_path, ("WatchdogSec=", "WatchdogSecs="))))
    assert "WatchdogSecs" in done.stderr


def exposed(file: Path) -> int:
    return analyze("security", "--offline=true", "--no-pager", f"--threshold={EXPOSURE}", str(file)).returncode


def test_the_unit_is_exposed_little(tmp_path: Path) -> None:
    assert exposed(unit(tmp_path)) == 0
    assert exposed(unit(tmp_path, ("CapabilityBoundingSet=\n", ""), ("NoNewPrivileges=yes\n", ""))) != 0


def test_systemd_waits_longer_than_the_service_takes() -> None:
    assert int(FOUND["TimeoutStopSec"][0]) > END_WITHIN
    assert FOUND["Type"] == ["notify"]  # tests/process/test_notify.py shows what is told
    assert int(FOUND["WatchdogSec"][0]) >= 5
    assert FOUND["KillMode"] == ["mixed"]  # the service stops its etcd itself, after the last answer


def test_what_the_unit_sets_are_settings() -> None:
    known = {doc.name for doc in Settings.describe()}
    lines = [*FOUND["Environment"], *re.findall(r"^[A-Z_]+=.*$", (FOLDER / "environment").read_text(), re.MULTILINE)]
    assert {line.partition("=")[0] for line in lines} <= known
    credential = FOUND["LoadCredential"][0].partition(":")[0]
    assert FOUND["Environment"] == [f"API_TOKENS_FILE=%d/{credential}"]


def test_its_example_of_an_environment_is_one_that_the_service_takes() -> None:
    lines = re.findall(r"^([A-Z_]+)=(.*)$", (FOLDER / "environment").read_text(), re.MULTILINE)
    settings = dict(lines)
    assert Path(settings.pop("ETCD_CA_CERT")).is_absolute()  # a file that is not here
    assert len(Settings.load(settings).etcd_endpoints) == 3


def test_its_user_can_be_made(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    command = ["systemd-sysusers", f"--root={tmp_path}", str(FOLDER / "sysusers.conf")]
    subprocess.run(command, capture_output=True, timeout=60, check=True)
    assert re.search(
        r"^config-service:x:\d+:\d+:Configuration service:", (tmp_path / "etc/passwd").read_text(), re.MULTILINE
    )
    assert FOUND["User"] == FOUND["Group"] == ["config-service"]


@pytest.fixture
def installed(tmp_path: Path) -> Installed:
    return Installed(tmp_path / "venv", build(tmp_path / "dist"))


def test_it_serves_confined_as_the_unit_says_with_its_embedded_etcd(
    tmp_path: Path, installed: Installed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without capabilities, with the unit's filter of system calls, and no memory to write and run. So do workers."""
    home = tmp_path / "state"
    home.mkdir()
    for workers in ("1", "2"):
        serve_confined(home, installed, monkeypatch, workers)


def serve_confined(home: Path, installed: Installed, monkeypatch: pytest.MonkeyPatch, workers: str) -> None:
    monkeypatch.setattr("tests.support.instances.environment", lambda **more: installed.environment(home, **more))
    instance = InstanceProcess(home, PYTHONUNBUFFERED="1", PORT=str(free_run(2 + 1)), WORKERS=workers)
    instance.around = lambda *_: [
        sys.executable, str(Path(confined.__file__)), str(UNIT), str(installed.command), "run", f"--data-dir={home}",
    ]  # fmt: skip
    with instance:
        assert within(15, lambda: workers == "1" or '"serving": 2' in instance.printed()), instance.printed()
        assert instance.put("a", workers.encode()).ok
        assert instance.get("a", params={"use_cache": "false"}).text == workers
        status = dict(re.findall(r"^(\w+):\s+(.*)$", Path(f"/proc/{instance.pid}/status").read_text(), re.MULTILINE))
        assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
        assert {int(status[name], 16) for name in ("CapBnd", "CapEff", "CapPrm")} == {0} or os.geteuid() != 0
        assert [file for file in (home / "etcd").rglob("*") if file.stat().st_mode & 0o077] == []
        assert instance.stop() == 0
    assert "Operation not permitted" not in instance.printed()


def test_a_call_that_the_unit_forbids_is_refused(tmp_path: Path) -> None:
    """So the filter is one: this process could not have been confined otherwise."""
    program = "import os\ntry:\n    os.sched_setaffinity(0, {0})\nexcept PermissionError:\n    print('refused')"
    command = [sys.executable, str(Path(confined.__file__)), str(UNIT), sys.executable, "-c", program]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "refused\n", done.stderr


def test_the_document_shows_every_file_and_where_it_goes() -> None:
    names = [file.name for file in FOLDER.iterdir()]
    assert all(f"deploy/systemd/{name}" in DOCUMENT for name in names)
    for line in re.findall(r"^install .*$", DOCUMENT, re.MULTILINE):
        assert (PROJECT / line.split()[-2]).exists(), line
