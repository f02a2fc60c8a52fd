"""The mutants still apply, and the document says of each of them who notices it."""

from __future__ import annotations

import ast
import builtins
import subprocess
import sys
from pathlib import Path

import pytest

from mutants import __main__ as program
from mutants.__main__ import COPIED, PROJECT, TESTS, Unsound, copied, everything, search
from mutants.catalogue import IMPOSSIBLE, MUTANTS, Mutant
from mutants.table import DOCUMENT, document, killers


def names_in(source: str) -> set[str]:
    """Of variables, attributes, and all that is defined or imported."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name) | ast.alias(name=name):
                found.add(name)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                found.add(name)
    return found


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.title.replace(" ", "_"))
def test_a_mutant_applies(mutant: Mutant) -> None:
    """A break of source text that is no longer there would break nothing."""
    text = (PROJECT / mutant.file).read_text()
    assert mutant.old in text
    assert mutant.old != mutant.new
    compile(text.replace(mutant.old, mutant.new, 1), mutant.file, "exec")


def imported_by(file: Path) -> set[Path]:
    """The project's modules that a file imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{each.name}" for each in node.names)}
    paths = (PROJECT / name.replace(".", "/") for name in names)
    return {each for path in paths for each in (path.with_suffix(".py"), path / "__init__.py") if each.exists()}


def test_a_copy_has_all_that_its_tests_import() -> None:
    """One that lacks a part of the project fails every test, and so tells nothing of a mutant."""
    needed: set[Path] = set()
    found = {file for room in TESTS for file in (PROJECT / room).rglob("*.py")}
    while found:
        needed |= found
        found = {each for file in found for each in imported_by(file)} - needed
    there = tuple(str(PROJECT / each) for each in COPIED)
    assert sorted(str(file) for file in needed if not str(file).startswith(there)) == []


def test_a_copy_has_all_that_its_tests_ask_for() -> None:
    """Fixtures, too: one that is missing is told when it is asked for, and not before."""
    with copied() as copy:
        pytest_ = [sys.executable, "-m", "pytest", "--setup-plan", "-q", "-p", "no:cacheprovider"]
        planned = [*pytest_, *(f"tests/{test}" for test in everything())]
        done = subprocess.run(planned, cwd=copy, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout[-2000:]


NAMES = {name for file in (PROJECT / "consistency").rglob("*.py") for name in names_in(file.read_text())}
BUILT_IN = {name for kind in (builtins, dict, list, set, str, bytes) for name in dir(kind)}


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.title.replace(" ", "_"))
def test_a_mutant_names_only_what_there_is(mutant: Mutant) -> None:
    """One that ends in a NameError or an AttributeError is noticed by any test, and shows nothing of its rule."""
    broken = (PROJECT / mutant.file).read_text().replace(mutant.old, mutant.new, 1)
    assert names_in(broken) <= NAMES | BUILT_IN


def test_every_rule_has_a_mutant() -> None:
    assert {mutant.rule for mutant in MUTANTS} == set(range(1, 20))


def test_a_title_tells_a_mutant_from_all_others() -> None:
    assert len({mutant.title for mutant in MUTANTS}) == len(MUTANTS)
    assert {each.nearest for each in IMPOSSIBLE} <= {mutant.title for mutant in MUTANTS}


def test_the_document_is_what_the_runner_would_write() -> None:
    """Every mutant, and no other, with a test that noticed it: `make mutants` writes it."""
    text = DOCUMENT.read_text()
    known = killers(text)
    assert set(known) == {mutant.title for mutant in MUTANTS}
    assert text == document(MUTANTS, known)


@pytest.mark.parametrize("test", sorted(set(killers(DOCUMENT.read_text()).values())))
def test_a_test_that_the_document_names_exists(test: str) -> None:
    path, *names = test.split("::")
    assert f"tests/{path}".startswith(TESTS), "only these are copied"
    body = ast.parse((PROJECT / "tests" / path).read_text()).body
    for name in names[:-1]:
        body = next(node for node in body if isinstance(node, ast.ClassDef) and node.name == name).body
    assert names[-1] in {node.name for node in body if isinstance(node, ast.FunctionDef)}


def lucky(number: int) -> str:
    """A test that fails, but for when it is run again."""
    return f"""
from pathlib import Path

def test_{number}():
    ran = Path("ran-{number}")
    if not ran.exists():
        ran.touch()
        assert False
"""


def searched(monkeypatch: pytest.MonkeyPatch, copy: Path, *tests: str) -> str:
    (copy / "tests").mkdir()
    names = [f"test_{number}.py" for number in range(len(tests))]
    for name, test in zip(names, tests, strict=True):
        (copy / "tests" / name).write_text(test)
    monkeypatch.setattr(program, "everything", lambda: names)
    return search(copy, MUTANTS[0])


def test_a_test_that_fails_by_chance_notices_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The search goes on without it."""
    sure = "def test_sure(): assert False"
    assert searched(monkeypatch, tmp_path, lucky(0), lucky(1), sure) == "test_2.py::test_sure"


def test_a_break_that_only_chance_has_noticed_is_not_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert searched(monkeypatch, tmp_path, "def test_fine(): pass", lucky(1)) == ""


def test_a_search_that_finds_nothing_but_chance_tells_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        Unsound, match=r"test_0\.py::test_0, test_1\.py::test_1, test_2\.py::test_2 failed, and did not"
    ):
        searched(monkeypatch, tmp_path, *map(lucky, range(3)))
