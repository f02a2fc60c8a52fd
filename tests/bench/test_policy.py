"""What a policy costs is measured for every variant, in turns, and shown as it was found."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.policy import BEGIN, END, KINDS, WAYS, main, markdown
from tests.bench.programs import need_wrk
from tests.bench.test_smoke import running_in
from tests.support.instances import PROJECT

DOCUMENT = PROJECT / "docs" / "performance.md"


@pytest.mark.alone
@pytest.mark.timeout(300)
def test_every_kind_and_every_way_is_measured(tmp_path: Path) -> None:
    """As a user measures them, very briefly. Nothing is left but the tables in the document that was named."""
    need_wrk()
    document = tmp_path / "document.md"
    document.write_text(f"{BEGIN}\n{END}\n")
    command = [sys.executable, "-m", "bench.policy", "--quick", "--instances", "2", "--document", str(document)]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    written = document.read_text()
    for kind in KINDS:
        assert f"| 2 | {kind} | " in written
    for way in WAYS:
        (row,) = (line for line in written.splitlines() if line.startswith(f"| {way.name} |"))
        sent, _, stay = (float(cell.replace(",", "")) for cell in row.split("|")[5:8])
        assert (sent > 2_000) is (way.keep > 0), "a record is a second copy"
        assert (stay > 2_000) is (way.keep > 0)
        assert 1_000 < stay < 1_500 * (way.keep + 1)
    assert running_in(tmp_path) == []
    assert list((tmp_path / "instance").iterdir()) == []


def test_a_row_says_how_many_times_a_put_it_takes() -> None:
    fleet = {8: {"PUT": {"p50": 2.0, "p99": 4.0}, "guarded": {"p50": 5.0, "p99": 9.0}}}
    shown = markdown(fleet, {}, "a machine")
    assert "| 8 | PUT | 2.0 | 4.0 | 1.0 |\n| 8 | guarded | 5.0 | 9.0 | 2.5 |" in shown


def test_the_document_has_every_row() -> None:
    """A row that was changed has to be measured again."""
    shown = DOCUMENT.read_text().partition(BEGIN)[2].partition(END)[0]
    for row in (*(f"| {size} | {kind} | " for size in (1, 8) for kind in KINDS), *(f"| {way.name} | " for way in WAYS)):
        assert row in shown


@pytest.mark.parametrize("given", ["0", "65", "8,", "many"])
def test_a_fleet_that_can_not_be_is_refused(given: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--instances", given])
    assert "expected numbers from 1 to 64" in capsys.readouterr().err
