"""deploy/container: hadolint finds nothing in the Dockerfile, and it says what the service and the wheel are."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

from metrics.build import version
from tests.support.etcd import free_ports
from tests.support.instances import PROJECT, InstanceProcess
from tools.release import BUILT

FILE = PROJECT / "deploy" / "container" / "Dockerfile"
TEXT = FILE.read_text(encoding="utf-8").replace("\\\n", " ")


def hadolint(file: Path) -> str:
    """What it finds."""
    program = Path(sys.executable).parent / "hadolint"
    done = subprocess.run([program, "--no-color", file], capture_output=True, text=True, timeout=60, check=False)
    return done.stdout + done.stderr


def test_hadolint_finds_nothing() -> None:
    assert hadolint(FILE) == ""


def test_hadolint_would_find_a_base_without_a_version(tmp_path: Path) -> None:
    harmed = tmp_path / "Dockerfile"
    harmed.write_text(FILE.read_text().replace("python:3.13-slim-bookworm", "python"))
    assert "DL3006" in hadolint(harmed)


def test_it_installs_what_is_locked_and_the_wheel_of_this_version() -> None:
    assert re.findall(r"^ARG VERSION=(.*)$", TEXT, re.MULTILINE) == [version()]
    assert "pip install --no-cache-dir --require-hashes -r requirements.txt" in TEXT
    assert f"COPY {BUILT}/${{VERSION}}/*.whl ./" in TEXT
    assert f"--outdir {BUILT}/{version()}" in (PROJECT / "docs" / "container.md").read_text(encoding="utf-8")


def test_it_starts_the_command_that_the_wheel_brings_as_nobody_with_rights() -> None:
    command = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["scripts"]
    assert [json.loads(found) for found in re.findall(r"^(?:ENTRYPOINT|CMD) (.*)$", TEXT, re.MULTILINE)] == [
        [*command],
        ["run"],
    ]
    (user,) = re.findall(r"^USER (\d+):(\d+)$", TEXT, re.MULTILINE)
    assert all(int(number) >= 10_000 for number in user)
    assert TEXT.rindex("\nUSER ") > TEXT.rindex("\nRUN ")


def test_its_health_check_knows_who_is_alive(tmp_path: Path) -> None:
    (found,) = re.findall(r"HEALTHCHECK .*CMD (\[.*\])", TEXT)
    python, *arguments = json.loads(found)
    assert python == "python"

    def alive(port: int) -> bool:
        environment = {**os.environ, "PORT": str(port), "no_proxy": "*"}
        done = subprocess.run(
            [sys.executable, *arguments], env=environment, capture_output=True, timeout=30, check=False
        )
        return done.returncode == 0

    with InstanceProcess(tmp_path) as instance:
        assert alive(instance.port)
    assert not alive(free_ports(1)[0])
