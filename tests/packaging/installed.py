"""The wheel, and an environment in which it is installed over what is installed here. Built without a network."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

from tests.support.instances import PROJECT, environment

OTHERS = "import sysconfig; print(sysconfig.get_path('purelib'))"


def build(target: Path) -> Path:
    """The wheel, as hatchling makes it of the checkout."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(target)]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    (made,) = target.glob("*.whl")
    return made


class Installed:
    """`directory` is the environment. What the service needs is found where the tests' own Python finds it."""

    def __init__(self, directory: Path, wheel: Path) -> None:
        venv.create(directory, with_pip=False, symlinks=True)
        self.python = directory / "bin" / "python"
        self.command = directory / "bin" / "config-service"
        self.site = Path(subprocess.check_output([self.python, "-c", OTHERS], text=True).strip())
        pip = [
            sys.executable,
            "-m",
            "pip",
            "--python",
            str(self.python),
            "install",
            "--no-deps",
            "--no-index",
            str(wheel),
        ]
        subprocess.run(pip, capture_output=True, timeout=100, check=True)
        (self.site / "here.pth").write_text(subprocess.check_output([sys.executable, "-c", OTHERS], text=True))

    def environment(self, home: Path, **more: str) -> dict[str, str]:
        """Of a user at `home`, who has no checkout."""
        inherited = {name: value for name, value in environment().items() if name != "PYTHONPATH"}
        return {**inherited, "HOME": str(home), "XDG_DATA_HOME": "", **more}

    def run(self, directory: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run the command in `directory`, which is the user's home, too, to its end."""
        return subprocess.run(
            [self.command, *arguments], cwd=directory, env=self.environment(directory, **more), capture_output=True,
            text=True, timeout=60, check=False,
        )  # fmt: skip

    def start(self, directory: Path, *arguments: str, **more: str) -> subprocess.Popen[str]:
        """Start the command, in a process group of its own."""
        return subprocess.Popen(
            [self.command, *arguments], cwd=directory, env=self.environment(directory, **more), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, process_group=0,
        )  # fmt: skip


def files_of(package: str) -> set[str]:
    """Of a package in the checkout, all that is no trace of its having been run."""
    root = PROJECT / package
    return {
        os.fspath(file.relative_to(PROJECT))
        for file in root.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
