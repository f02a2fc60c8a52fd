"""`.ci/again` excuses a test that fails by chance, and no other."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.instances import PROJECT

COUNTED = """
from pathlib import Path
import pytest

@pytest.mark.parametrize("each", range({many}))
def test_counted(each):
    runs = Path(f"runs.{{each}}")
    runs.write_text(runs.read_text() + "x" if runs.exists() else "x")
    assert len(runs.read_text()) not in {bad}

def test_other():
    Path("others").open("a").write("x")
"""


QUICKLY = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}


def again(folder: Path, bad: set[int], many: int = 1) -> tuple[int, str]:
    """What it says after a first run, of tests that fail in the runs whose number is in `bad`."""
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "test_by_chance.py").write_text(COUNTED.format(many=many, bad=bad))
    first = subprocess.run([sys.executable, "-m", "pytest", "-q"], cwd=folder, env=QUICKLY, check=False)
    assert first.returncode == (1 if 1 in bad else 0)
    ended = subprocess.run(
        ["bash", PROJECT / ".ci/again", sys.executable],
        cwd=folder,
        env=QUICKLY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (folder / "others").read_text() == "x"
    return ended.returncode, ended.stdout + ended.stderr


def test_one_that_fails_once_is_named_and_passes(tmp_path: Path) -> None:
    code, said = again(tmp_path, {1})
    assert code == 0, said
    assert "failed once, and passed three times: test_by_chance.py::test_counted[0]" in said
    assert len((tmp_path / "runs.0").read_text()) == 4


@pytest.mark.parametrize("run", [2, 4])
def test_one_that_fails_once_more_fails(tmp_path: Path, run: int) -> None:
    code, said = again(tmp_path, {1, run})
    assert code != 0
    assert "passed three times" not in said


def test_many_are_no_chance(tmp_path: Path) -> None:
    assert again(tmp_path, {1}, many=5)[0] == 0
    (other := tmp_path / "other").mkdir()
    code, said = again(other, {1}, many=6)
    assert (code, "6 tests failed, more than 5" in said) == (1, True)


def test_nothing_is_excused_if_nothing_is_known_to_have_failed(tmp_path: Path) -> None:
    code, said = again(tmp_path, set())
    assert (code, "nothing can be run again" in said) == (1, True)
