"""The table for the README: locust's result, and nobody else's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tools import table


def result(directory: Path, failures: int = 0) -> Path:
    """A result as locust writes it, of one kind of request."""
    entry = {
        "name": "PUT",
        "num_requests": 5,
        "num_failures": failures,
        "total_response_time": 20.4,
        "min_response_time": 1.2,
        "max_response_time": 9.6,
        "response_times": {"1": 2, "3": 2, "10": 1},
    }
    file = directory / "load.json"
    file.write_text(json.dumps([entry]), encoding="utf-8")
    return file


def cells(line: str) -> list[str]:
    """Of one line of a Markdown table."""
    return [cell.strip() for cell in line.split("|")[1:-1]]


def test_a_row_has_counts_and_milliseconds(tmp_path: Path) -> None:
    """Counts, then median, average, least and most; kinds that were not measured show zeros."""
    shown = [cells(line) for line in table.markdown(table.read(result(tmp_path))).splitlines()]
    assert shown[3] == ["PUT", "5", "0", "3", "4", "1", "10"]
    assert shown[2] == ["DELETE", *"000000"]
    assert [row[0] for row in shown[2:]] == [*table.ALWAYS]


def test_what_others_have_measured_comes_last() -> None:
    """The requests of other users: a failure among them has to be seen, too."""
    row = table.Row(7, 1, 2, 3, 1, 9)
    *_, last = table.markdown({"GET hot": row}).splitlines()
    assert cells(last) == ["GET hot", *map(str, row)]


def test_columns_stand_beneath_one_another(tmp_path: Path) -> None:
    """In a terminal, where Markdown is read as it is written."""
    lines = table.markdown(table.read(result(tmp_path))).splitlines()
    assert len({tuple(at for at, character in enumerate(line) if character == "|") for line in lines}) == 1
    assert len(cells(lines[0])) == 7


@pytest.mark.parametrize(("failures", "code"), [(0, 0), (1, 1)])
def test_exit_code_says_whether_there_were_failures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failures: int, code: int
) -> None:
    """Honest to whoever calls it from a script."""
    monkeypatch.setattr("sys.argv", ["table", str(result(tmp_path, failures))])
    assert table.main() == code


def test_missing_file_is_an_error_that_says_how_to_make_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """No traceback for a mistyped name."""
    monkeypatch.setattr("sys.argv", ["table", str(tmp_path / "none.json")])
    assert table.main() == 2
    assert "LOAD_RESULT" in capsys.readouterr().err
