"""What is installed is locked: exact versions with hashes, of all that pyproject.toml and the other lists ask for."""

from __future__ import annotations

import re
import tomllib
from importlib import metadata

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.instances import PROJECT
from tools.lock import LOCKS

RENEW = "`make lock` writes it anew"
NAMED = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
LINES = {lock.file: (PROJECT / lock.file).read_text().replace("\\\n", " ").splitlines() for lock in LOCKS}


def locked(file: str) -> dict[str, list[Requirement]]:
    """By name; several where Pythons or systems differ."""
    found: dict[str, list[Requirement]] = {}
    for line in LINES[file]:
        if text := line.partition(" --hash")[0].partition("#")[0].strip():
            requirement = Requirement(text)
            found.setdefault(canonicalize_name(requirement.name), []).append(requirement)
    return found


def asked_for(source: str) -> list[Requirement]:
    """What somebody has written down, in the file and in those that it names."""
    if source == "pyproject.toml":
        return [Requirement(each) for each in [*NAMED["dependencies"], *NAMED["optional-dependencies"]["embedded"]]]
    found = []
    for line in (PROJECT / source).read_text().splitlines():
        text = line.partition("#")[0].strip()
        if text.startswith("-r "):
            found += [] if text == "-r requirements.txt" else asked_for(text.removeprefix("-r "))
        elif text:
            found.append(Requirement(text))
    return found


def version_of(requirement: Requirement) -> str:
    (specifier,) = requirement.specifier
    assert specifier.operator == "==", requirement
    return specifier.version


@pytest.mark.parametrize("file", LINES)
def test_each_line_has_one_version_and_its_hashes(file: str) -> None:
    lines = [line for line in LINES[file] if re.match(r"[\w.-]+[ =]", line)]
    assert len(lines) == sum(map(len, locked(file).values())) >= 1
    for line in lines:
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", line), line
        assert version_of(Requirement(line.partition(" --hash")[0]))


@pytest.mark.parametrize(("file", "source"), [(lock.file, source) for lock in LOCKS for source in lock.sources])
def test_what_is_asked_for_is_locked_as_it_is_asked_for(file: str, source: str) -> None:
    found = locked(file)
    for wanted in asked_for(source):
        versions = [version_of(each) for each in found.get(canonicalize_name(wanted.name), [])]
        assert versions, f"{wanted} is in {source} and not in {file}: {RENEW}"
        assert all(wanted.specifier.contains(version) for version in versions), f"{wanted}, {versions}: {RENEW}"


def test_locks_agree_with_each_other() -> None:
    versions: dict[tuple[str, str], set[str]] = {}
    for file in LINES:
        for name, requirements in locked(file).items():
            for each in requirements:
                versions.setdefault((name, str(each.marker)), set()).add(version_of(each))
    assert {name: found for name, found in versions.items() if len(found) > 1} == {}, RENEW


def test_what_the_tests_run_with_is_what_is_locked() -> None:
    different = {}
    for name, requirements in locked("requirements.txt").items():
        for each in requirements:
            ours = each.marker is None or each.marker.evaluate()
            if ours and (here := metadata.version(name)) != version_of(each):
                different[name] = (here, version_of(each))
    assert different == {}


def test_ranges_have_an_end() -> None:
    """A release that breaks a promise would otherwise be taken by whoever installs the wheel."""
    by_year = {"structlog"}  # whose versions say when, not what
    open_ended = {each.name for each in asked_for("pyproject.toml") if "<" not in str(each.specifier)}
    assert open_ended == by_year
