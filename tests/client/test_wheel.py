"""The distribution: what `pip install ./client` brings. Built and installed without a network."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import venv
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.client.real_service import CLIENT, environ

pytestmark = pytest.mark.lasting

PROJECT = tomllib.loads((CLIENT / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", str(target)]
    done = subprocess.run([*pip, str(CLIENT)], capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    (made,) = target.glob("*.whl")
    return made


def test_it_holds_all_modules_and_says_that_they_are_typed(wheel: Path) -> None:
    held = set(ZipFile(wheel).namelist())
    modules = {file.relative_to(CLIENT).as_posix() for file in (CLIENT / "config_client").rglob("*.py")}
    assert modules <= held
    assert "config_client/py.typed" in held
    assert {name.split("/")[0] for name in held} == {"config_client", f"{wheel.name.rsplit('-', 3)[0]}.dist-info"}


def test_it_installs_a_library_a_command_and_a_fixture(wheel: Path, tmp_path: Path) -> None:
    """In an environment of its own, over what is installed here."""
    venv.create(tmp_path / "venv", with_pip=False, symlinks=True)
    python = tmp_path / "venv" / "bin" / "python"
    there = Path(
        subprocess.check_output(
            [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True
        ).strip()
    )
    here = subprocess.check_output(
        [sys.executable, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True
    )
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(pip, capture_output=True, timeout=100, check=True)
    (there / "here.pth").write_text(here)  # what it needs itself
    env = {name: value for name, value in environ().items() if name != "PYTHONPATH"}
    helped = subprocess.run(
        [tmp_path / "venv/bin/configctl", "--version"], env=env, capture_output=True, text=True, timeout=60, check=True
    )
    assert helped.stdout == f"configctl, version {PROJECT['version']}\n"
    (tmp_path / "test_it.py").write_text(
        "def test_it(fake_config):\n    fake_config.set(a=1)\n    assert fake_config['a'] == 1\n"
    )
    pytest_ = [
        str(python),
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(tmp_path),
        str(tmp_path / "test_it.py"),
    ]
    tested = subprocess.run(pytest_, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False)
    assert "1 passed" in tested.stdout, tested.stdout + tested.stderr


@pytest.mark.parametrize("module", ["click", "rich", "yaml", "jinja2"])
def test_the_command_without_what_it_needs_says_what_to_install(module: str) -> None:
    program = f"import sys; sys.modules[{module!r}] = None; from config_client.ctl.entry import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program], env=environ(), capture_output=True, text=True, timeout=60, check=False
    )
    said = f"configctl: {module} is not installed; pip install 'config-service-client[cli]'\n"
    assert (done.returncode, done.stderr) == (1, said)


@pytest.mark.parametrize("module", ["click", "rich", "yaml", "jinja2", "pydantic", "pytest", "flask", "openfeature"])
def test_the_library_alone_needs_httpx_and_nothing_else(module: str) -> None:
    program = f"import sys; sys.modules[{module!r}] = None; import config_client, config_client.testing"
    subprocess.run([sys.executable, "-c", program], env=environ(), timeout=60, check=True)
