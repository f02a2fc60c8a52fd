"""The matrix is complete: each row is shown by a test or says why not, and the document says the same."""

from __future__ import annotations

import dataclasses

import pytest

from tests.fault_matrix.markers import marked
from tests.fault_matrix.report import Recorder
from tests.fault_matrix.rows import ROWS
from tests.fault_matrix.table import DOCUMENT, PASSED, document, result

ROW = dataclasses.replace(ROWS[0], fault="rain", note="", reason="")


def test_every_row_has_a_test_or_a_reason() -> None:
    """And not both: a reason beside a test would say that it shows nothing."""
    shown = marked()
    assert [row.fault for row in ROWS if bool(row.reason) == bool(shown.get(row.fault))] == []


def test_every_marker_names_a_row() -> None:
    assert set(marked()) <= {row.fault for row in ROWS}


def test_a_row_is_told_from_all_others_and_promises_something_in_each_column() -> None:
    assert len({row.fault for row in ROWS}) == len(ROWS)
    for row in ROWS:
        assert all((row.default, row.uncached, row.write, row.health, row.membership)), row.fault


def test_the_document_lists_these_rows_and_these_tests_and_they_passed() -> None:
    """`make faults` writes it, from what it has seen; here it is compared with what there is."""
    passed = {fault: dict.fromkeys(tests, PASSED) for fault, tests in marked().items()}
    assert DOCUMENT.read_text() == document(ROWS, passed), "run `make faults`"


@pytest.mark.parametrize(
    ("tests", "told"),
    [
        ({}, "**not run**"),
        ({"a": PASSED}, "passed, 1 test"),
        ({"a": PASSED, "b": PASSED}, "passed, 2 tests"),
        ({"a": PASSED, "b": "failed"}, "**1 of 2 did not pass**"),
        ({"a": "skipped"}, "**1 of 1 did not pass**"),
        ({"a": "not run"}, "**1 of 1 did not pass**"),
    ],
)
def test_only_what_has_passed_is_said_to_have_passed(tests: dict[str, str], told: str) -> None:
    assert result(ROW, tests) == told


def test_the_report_tells_what_happened(pytester: pytest.Pytester) -> None:
    """A failed case, a failed tear-down, a skipped test: none of them is lost behind what went well."""
    pytester.makepyfile(
        """
        import pytest

        @pytest.fixture
        def leaks():
            yield
            raise OSError

        @pytest.mark.fault("one")
        @pytest.mark.parametrize("number", [1, 2, 3])
        def test_cases(number):
            assert number != 2

        @pytest.mark.fault("two", "three")
        def test_whole():
            pass

        @pytest.mark.fault("two")
        def test_leaky(leaks):
            pass

        @pytest.mark.fault("three")
        @pytest.mark.skip
        def test_skipped():
            pass
        """
    )
    recorder = Recorder(pytester.path / "faults.md")
    pytester.inline_run("-p", "no:cacheprovider", plugins=[recorder])
    file = "test_the_report_tells_what_happened.py"
    assert recorder.results() == {
        "one": {f"{file}::test_cases": "failed"},
        "two": {f"{file}::test_whole": PASSED, f"{file}::test_leaky": "failed"},
        "three": {f"{file}::test_whole": PASSED, f"{file}::test_skipped": "skipped"},
    }
    assert (pytester.path / "faults.md").read_text() == document(ROWS, {})
