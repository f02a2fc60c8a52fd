"""Stands in for an image `python:X.Y-slim-CODENAME` with packages of Debian, and a Python. Needs root, and mmdebstrap.

Owns the archives that it keeps, so that the packages are fetched once. The Python is this machine's X.Y where it has
one outside of /usr; else that of Debian, in a virtual environment at /usr/local, whose version may be another one.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tools.image.steps import NotUnderstood
from tools.image.trees import run_within

# As the image has them: its own three, and the libraries that its Python is linked with.
PACKAGES = (
    "ca-certificates", "netbase", "tzdata", "libbz2-1.0", "libdb5.3", "libexpat1", "libffi8", "libgdbm6", "liblzma5",
    "libncursesw6", "libreadline8", "libsqlite3-0", "libssl3", "libuuid1", "zlib1g",
)  # fmt: skip
DEBIANS_PYTHON = ("python3", "python3-venv")

_IMAGE = re.compile(r"python:(\d+\.\d+)-slim-([a-z]+)")
_MODULES = "import bz2, ctypes, lzma, readline, sqlite3, ssl, uuid, zlib, zoneinfo"


def environment(image: str) -> Mapping[str, str]:
    """What the image sets. Raises NotUnderstood for other images."""
    _parts(image)
    return {"PATH": "/usr/local/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}


def _parts(image: str) -> tuple[str, str]:
    found = _IMAGE.fullmatch(image)
    if not found:
        raise NotUnderstood(f"{image} is none of the images python:X.Y-slim-CODENAME, which are stood in for")
    return found[1], found[2]


def tree(image: str, kept: Path, into: Path) -> str:
    """Lays the files of the stand-in into the directory; says what they are. kept: where the archives are.

    Raises NotUnderstood, and CalledProcessError when packages can't be had.
    """
    version, codename = _parts(image)
    prefix = _python(version)
    packages = PACKAGES if prefix else PACKAGES + DEBIANS_PYTHON
    archive = _archive(codename, packages, kept)
    subprocess.run(["tar", "--extract", "--same-permissions", "--file", archive, "--directory", into], check=True)
    if prefix:
        _copied(prefix, version, into)
        steps = ["ldconfig", "python -m ensurepip --upgrade"]
    else:
        steps = ["python3 -m venv /usr/local", "python -m pip uninstall -y setuptools"]
    for step in (*steps, f'python -c "{_MODULES}"'):
        run_within(into, ("/bin/sh", "-c", step), environment(image))
    told = run_within(into, ("python", "--version"), environment(image)).strip()
    return f"Debian {codename} of {len(packages)} packages and their own, {told} of {prefix or 'Debian'}"


def _archive(codename: str, packages: tuple[str, ...], kept: Path) -> Path:
    known = hashlib.sha256(" ".join(packages).encode()).hexdigest()[:8]
    archive = kept / f"{codename}-{known}.tar"
    if not archive.exists():
        kept.mkdir(parents=True, exist_ok=True)
        unfinished = archive.with_suffix(".part.tar")
        command = ["mmdebstrap", "--mode=root", "--variant=minbase", f"--include={','.join(packages)}"]
        subprocess.run([*command, codename, unfinished], check=True, timeout=1800)
        unfinished.rename(archive)
    return archive


def _python(version: str) -> Path | None:
    """Where this machine has it, apart from what its packages bring."""
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates: list[str | Path | None] = [
        shutil.which(f"python{version}"),
        *versions.glob(f"{version}.*/bin/python{version}"),
    ]
    for candidate in filter(None, candidates):
        command = [str(candidate), "-c", "import sys; print(sys.base_prefix)"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        if done.returncode == 0 and done.stdout.strip() not in ("", "/usr"):
            return Path(done.stdout.strip())
    return None


def _copied(prefix: Path, version: str, into: Path) -> None:
    """Interpreter, library and headers, without what has been installed into it."""
    local = into / "usr" / "local"
    ignored = shutil.ignore_patterns("site-packages", "test", "__pycache__")
    shutil.copytree(
        prefix / "lib" / f"python{version}", local / "lib" / f"python{version}", symlinks=True, ignore=ignored
    )
    (local / "lib" / f"python{version}" / "site-packages").mkdir()
    for library in prefix.glob("lib/libpython*"):
        shutil.copy2(library, local / "lib" / library.name, follow_symlinks=False)
    shutil.copytree(prefix / "include", local / "include", symlinks=True, dirs_exist_ok=True)
    shutil.copy2(prefix / "bin" / f"python{version}", local / "bin" / f"python{version}")
    for name in ("python", "python3"):
        (local / "bin" / name).symlink_to(f"python{version}")
