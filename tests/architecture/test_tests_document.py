"""tests/README.md: every folder, every marker and every command is there, and nothing that isn't."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib

import pytest

from tests.support.instances import PROJECT

TESTS = PROJECT / "tests"
DOCUMENT = (TESTS / "README.md").read_text(encoding="utf-8")
MAKEFILE = (PROJECT / "Makefile").read_text(encoding="utf-8")
MARKERS = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]["markers"]
NAMES = [re.split(r"[(:]", marker)[0] for marker in MARKERS]


def rows(title: str) -> list[str]:
    """What stands first in each row of a section's table."""
    section = DOCUMENT.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    return re.findall(r"^\| `(\w+)`", section, re.MULTILINE)


def test_every_folder_is_described_and_nothing_else() -> None:
    """In the order of the alphabet. What holds no tests has a sentence of its own."""
    folders = {file.parent.name for file in TESTS.glob("*/test_*.py")}
    assert rows("What each folder tests") == sorted(folders)
    others = {file.parent.name for file in TESTS.glob("*/*.py")} - folders
    assert others == set(re.findall(r"^`(\w+)` holds no tests", DOCUMENT, re.MULTILINE))


def test_every_marker_is_described_and_nothing_else() -> None:
    assert sorted(rows("What the markers mean")) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_marker_has_tests_and_somebody_who_asks_for_it(name: str) -> None:
    """A misspelt marker selects nothing and says nothing; one in the Makefile that is no marker would do the same."""
    marks = re.compile(rf"pytest\.mark\.{name}\b")
    assert any(marks.search(file.read_text()) for file in TESTS.glob("*/*.py")), f"nothing is {name}"
    assert re.search(rf"-m [^\n]*\b{name}\b", MAKEFILE), f"nobody asks for what is {name}"


def test_what_the_makefile_asks_for_is_a_marker() -> None:
    asked = re.findall(r'python -m pytest[^\n]* -m (?:"([^"]+)"|(\w+))', MAKEFILE)
    words = {word for quoted, bare in asked for word in re.findall(r"[a-z]+", re.sub(r"\$?\(.*\)", "", quoted or bare))}
    assert words - {"not", "and", "or"} == set(NAMES)


def test_a_marker_that_is_not_registered_is_an_error(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("import pytest\n\n\n@pytest.mark.lastign\ndef test_it() -> None: ...")
    ours = f"-c{PROJECT / 'pyproject.toml'}"
    run = [sys.executable, "-m", "pytest", ours, "--rootdir=.", "-q", str(pytester.path)]
    done = subprocess.run(run, cwd=pytester.path, capture_output=True, text=True, timeout=60, check=False)
    assert "'lastign' not found in `markers`" in done.stdout
    assert done.returncode == 2


@pytest.mark.parametrize(
    ("test", "ci", "outcome"),
    [
        ("need('no-such-program')", "", {"skipped": 1}),
        ("need('no-such-program')", "true", {"failed": 1}),
        ("pytest.skip('not here')", "true", {"failed": 1}),
        ("need('sh')", "true", {"passed": 1}),
    ],
)
def test_what_misses_its_program_is_skipped_and_in_ci_nothing_is(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, test: str, ci: str, outcome: dict[str, int]
) -> None:
    monkeypatch.setenv("CI", ci)
    pytester.makepyfile(f"import pytest\nfrom tests.support.unavailable import need\n\ndef test_it():\n    {test}")
    result = pytester.runpytest_inprocess("-p", "tests.support.skips", "-rfs")
    result.assert_outcomes(**outcome)
    if "no-such" in test:
        result.stdout.fnmatch_lines("*no-such-program is not installed: apt-get install no-such-program*")


def test_every_command_and_file_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z-]+)", DOCUMENT)) <= targets
    named = re.findall(r"\b(?:tests|service|\.ci)/[\w./-]*\w", DOCUMENT)
    assert [name for name in named if not (PROJECT / name).exists()] == []


def test_what_drives_a_loop_is_run_on_both_kinds() -> None:
    """Of three files: one drives by itself, one by its hand, and one only looks on from its thread."""
    files = [f"tests/instance/test_{name}.py" for name in ("broadcast", "races", "library")]
    collect = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *files]
    told = subprocess.run(collect, cwd=PROJECT, capture_output=True, text=True, timeout=60, check=True).stdout
    kinds = {file: re.findall(rf"^{file}::.*\b(uvloop|asyncio)\b", told, re.MULTILINE) for file in files}
    by_itself, by_hand, from_a_thread = kinds.values()
    assert by_itself.count("uvloop") == by_itself.count("asyncio") > 0
    assert by_hand.count("uvloop") == by_hand.count("asyncio") > 0
    assert from_a_thread == []
