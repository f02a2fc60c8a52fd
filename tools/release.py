"""Prepares a release: `make release VERSION=0.2.0`. Commits, signs and uploads nothing.

Owns two files of the checkout for a moment, and the section of the changelog; what it builds lies in `instance/dist`.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path

PROJECT = Path(__file__).parent.parent
BUILT = Path("instance") / "dist"

_VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")
_UNRELEASED = "## Unreleased\n"
_IN_PROJECT = re.compile(r'^version = "[^"\n]*"$', re.MULTILINE)
_IN_DESCRIPTION = re.compile(r'^  version: "[^"\n]*"$', re.MULTILINE)
_IN_IMAGE = re.compile(r"^ARG VERSION=.*$", re.MULTILINE)
_IN_DEPLOYMENT = re.compile(r"^          image: config-service:.*$", re.MULTILINE)


class Refused(Exception):
    """There can't be such a release. The message: what was found, what was expected."""


def numbers(version: str) -> tuple[int, ...]:
    """Such as (0, 2, 0). Raises Refused."""
    found = _VERSION.fullmatch(version)
    if not found:
        raise Refused(f"VERSION is {version!r}, expected three numbers, for example VERSION=0.2.0")
    return tuple(map(int, found.groups()))


def with_section(changelog: str, version: str, day: datetime.date) -> str:
    """The changelog, in which what was unreleased is that version's. Raises Refused when there is nothing."""
    before, found, after = changelog.partition(_UNRELEASED)
    news = re.split(r"^## ", after, maxsplit=1, flags=re.MULTILINE)[0]
    if not found or not re.search(r"^- ", news, re.MULTILINE):
        raise Refused("CHANGELOG.md has nothing under Unreleased; expected a line for each change that users notice")
    return f"{before}{_UNRELEASED}\n## {version} - {day.isoformat()}\n{after}"


def with_version(text: str, version: str, place: re.Pattern[str], line: str) -> str:
    """The text, whose one line that says the version says this one. Raises Refused when there is not one such line."""
    changed, found = place.subn(line.format(version), text)
    if found != 1:
        raise Refused(f"{found} lines look like {line.format('…')!r}, expected one")
    return changed


def prepare(project: Path, version: str, day: datetime.date) -> None:
    """Writes version and section. Raises Refused, and then has changed nothing."""
    present = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    released = re.findall(
        r"^## (\d+\.\d+\.\d+) - ", (project / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    if numbers(version) < numbers(present) or version in released:
        raise Refused(f"VERSION is {version}, and {present} is what there is; expected a newer one")
    places: dict[str, Callable[[str], str]] = {
        "CHANGELOG.md": lambda text: with_section(text, version, day),
        "pyproject.toml": lambda text: with_version(text, version, _IN_PROJECT, 'version = "{}"'),
        "service/site/openapi.yaml": lambda text: with_version(text, version, _IN_DESCRIPTION, '  version: "{}"'),
    }
    places["deploy/container/Dockerfile"] = lambda text: with_version(text, version, _IN_IMAGE, "ARG VERSION={}")
    places["deploy/kubernetes/base/deployment.yaml"] = lambda text: with_version(
        text, version, _IN_DEPLOYMENT, "          image: config-service:{}"
    )
    texts = {name: change((project / name).read_text(encoding="utf-8")) for name, change in places.items()}
    for name, text in texts.items():
        (project / name).write_text(text, encoding="utf-8")


def build(project: Path, version: str) -> list[Path]:
    """Source archive and wheel, looked into. Raises Refused, and CalledProcessError when they can't be built."""
    target = project / BUILT / version
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(target), str(project)]
    subprocess.run(command, check=True)
    made = sorted(target.iterdir())
    expected = [f"config_service-{version}-py3-none-any.whl", f"config_service-{version}.tar.gz"]
    if [file.name for file in made] != expected:
        raise Refused(f"{target} holds {', '.join(file.name for file in made)}; expected {', '.join(expected)}")
    held = set(zipfile.ZipFile(made[0]).namelist())
    for name in (
        "service/__main__.py",
        "service/site/openapi.yaml",
        "service/site/page/index.html",
        "docs/operations.md",
    ):
        if f"config_service/app/{name}" not in held:
            raise Refused(f"the wheel has no {name}")
    return made


def main() -> int:
    """The exit code: 0 prepared, 1 refused."""
    parser = argparse.ArgumentParser(prog="python -m tools.release", description="Prepares a release.")
    parser.add_argument("version", help="for example 0.2.0")
    version = parser.parse_args().version
    try:
        if subprocess.check_output(["git", "status", "--porcelain"], cwd=PROJECT, text=True):
            raise Refused("the checkout has changes that are not committed; commit or drop them first")
        prepare(PROJECT, version, datetime.datetime.now(datetime.UTC).date())
        for file in build(PROJECT, version):
            _tell(f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.relative_to(PROJECT)}")
    except Refused as refused:
        _tell(f"no release: {refused}")
        return 1
    _tell(f"read `git diff`, commit it, and tag it v{version}; nothing was committed, signed or uploaded")
    return 0


def _tell(line: str) -> None:
    print(line, flush=True)  # noqa: T201  # a program for terminals


if __name__ == "__main__":
    sys.exit(main())
