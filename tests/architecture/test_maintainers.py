"""What maintainers rely on: files for tools that are not here say what the checkout says, and commands exist."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from metrics.build import version
from tests.support.instances import PROJECT

MAKEFILE = (PROJECT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
DOCUMENTS = ("CONTRIBUTING.md", "SECURITY.md", "docs/compatibility.md", "docs/installing.md")
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)


def read(name: str) -> str:
    return (PROJECT / name).read_text(encoding="utf-8")


def parsed(name: str) -> Any:
    return yaml.safe_load(read(name))


def test_ci_calls_ci_run_with_each_python_that_is_promised() -> None:
    """And with a whole clone: an earlier version is taken out of its history."""
    job = parsed(".github/workflows/ci.yml")["jobs"]["ci"]
    pythons = job["strategy"]["matrix"]["python"]
    newest_first = [each for each in re.findall(r"python(3\.\d+)", MAKEFILE.partition("VENV :=")[0]) if each in pythons]
    assert list(dict.fromkeys(newest_first)) == list(reversed(pythons))
    lowest = tomllib.loads(read("pyproject.toml"))["project"]["requires-python"]
    assert lowest == f">={pythons[0]}"
    checkout, run = job["steps"]
    assert checkout["with"]["fetch-depth"] == 0
    assert run == {"run": "bash .ci/run"}
    assert job["env"] == {"PYTHON": "python${{ matrix.python }}"}
    assert "PYTHON ?=" in MAKEFILE


def test_the_hooks_are_the_linters_of_make_lint() -> None:
    hooks = [hook["entry"] for repo in parsed(".pre-commit-config.yaml")["repos"] for hook in repo["hooks"]]
    lint = MAKEFILE.partition("\nlint:")[2].partition("\n\n")[0]
    assert hooks == [line.replace("$(BIN)", ".venv/bin") for line in re.findall(r"^\t(.+)$", lint, re.MULTILINE)]


def test_who_reviews_is_said_of_files_that_are_there() -> None:
    patterns = [line.split()[0] for line in read(".github/CODEOWNERS").splitlines() if line and line[0] != "#"]
    assert patterns[0] == "*"
    assert [each for each in patterns[1:] if not (PROJECT / each.strip("/")).exists()] == []


def test_updates_are_proposed_for_every_list_of_packages() -> None:
    asked = {(each["package-ecosystem"], each["directory"]) for each in parsed(".github/dependabot.yml")["updates"]}
    lists = {
        "pip": ("requirements*.txt", "pyproject.toml", "*/requirements*.txt", "*/pyproject.toml"),
        "docker": ("deploy/*/Dockerfile",),
        "github-actions": (".github",),
    }
    found = {
        (kind, f"/{file.parent.relative_to(PROJECT)}".rstrip("."))
        for kind, patterns in lists.items()
        for pattern in patterns
        for file in PROJECT.glob(pattern)
        if SKIPPED.isdisjoint(file.relative_to(PROJECT).parts)
    }
    assert asked == found


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_link_and_every_target_is_there(name: str) -> None:
    text = read(name)
    for target, _, heading in (link.partition("#") for link in re.findall(r"\]\((?!https?:)([^)]+)\)", text)):
        file = (PROJECT / name).parent / target if target else PROJECT / name
        assert file.exists(), target
        if heading:
            titles = [
                re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in HEADING.findall(file.read_text())
            ]
            assert heading in titles, f"{target}#{heading}"
    assert set(re.findall(r"`make ([a-z-]+)|^make ([a-z-]+)", text, re.MULTILINE)) <= {
        pair for each in TARGETS for pair in ((each, ""), ("", each))
    }
    for file in re.findall(r"`((?:tests|tools|service|docs|mutants|\.ci)/[\w/.-]*)`", text):
        assert (PROJECT / file).exists(), file


def test_the_description_of_the_api_has_the_version_of_the_project() -> None:
    assert parsed("service/site/openapi.yaml")["info"]["version"] == version()


SKIPPED = {
    ".venv",
    ".git",
    "__pycache__",
    "instance",
    "dist",
    ".mypy_cache",
    ".ruff_cache",
    ".pytest_cache",
    ".hypothesis",
}
ENDS = {".py", ".md", ".yml", ".yaml", ".toml", ".css", ".js", ".html", ".json", ".lock", ".txt"}


def files() -> list[Path]:
    """What people write, by the ends of its names."""
    found = []
    for folder, names, inside in os.walk(PROJECT):
        names[:] = [each for each in names if each not in SKIPPED]
        found += [Path(folder) / each for each in inside if Path(each).suffix in ENDS]
    return found


def test_files_are_as_editorconfig_says() -> None:
    """Spaces, one line feed at the end, none of what editors leave behind."""
    assert [file for file in files() if not is_tidy(file.read_bytes(), python=file.suffix == ".py")] == []


def is_tidy(text: bytes, *, python: bool) -> bool:
    if b"\r\n" in text or (text and not text.endswith(b"\n")):
        return False
    return not python or not (re.search(rb"[ \t]+$", text, re.MULTILINE) or b"\n\t" in text)


@pytest.mark.parametrize("text", [b"a\r\n", b"a", b"a \n", b"a\n\tb\n"])
def test_what_is_untidy_is_found(text: bytes) -> None:
    assert not is_tidy(text, python=True)
