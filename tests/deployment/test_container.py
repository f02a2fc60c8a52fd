"""deploy/container: hadolint finds nothing in the Dockerfile, and it says what the service and the wheel are."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

from metrics.build import version
from tests.support.etcd import EtcdServer, free_ports
from tests.support.https import Https
from tests.support.instances import PROJECT, InstanceProcess, environment
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
    """Over HTTPS, too, also where clients have to show a certificate of their own."""
    (found,) = re.findall(r"HEALTHCHECK .*CMD (\[.*\])", TEXT)
    program, *arguments = json.loads(found)
    assert program == "config-service"

    def alive(port: int, **settings: str) -> tuple[int, str]:
        settings = environment() | settings | {"PORT": str(port)}
        command = [sys.executable, "-m", "service", *arguments]
        done = subprocess.run(
            command, cwd=PROJECT, env=settings, capture_output=True, text=True, timeout=30, check=False
        )
        return done.returncode, done.stdout

    made = Https.made(tmp_path / "tls")
    https = {**made.settings(), "TLS_CLIENT_CA": str(made.directory / "ca.crt")}
    with EtcdServer(tmp_path / "etcd") as etcd:
        for name, settings in {"plain": dict[str, str](), "https": https}.items():
            instance = InstanceProcess(tmp_path / name, ETCD_ENDPOINTS=etcd.endpoint, **settings)
            if settings:
                instance.cert = (settings["TLS_CERT"], settings["TLS_KEY"])
            with instance:
                assert alive(instance.port, **settings) == (0, ""), name
    code, said = alive(free_ports(1)[0])
    assert code == 1
    assert "Connection refused" in said
