"""A pytest plugin: writes down what became of the tests that show faults. `pytest -m fault --faults-report=FILE`.

Owns the outcomes of one run. A test with parameters passes when all of its cases do; its id is that of the function.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fault_matrix.rows import ROWS
from tests.fault_matrix.table import PASSED, document


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option that asks for the document."""
    parser.addoption("--faults-report", type=Path, default=None, help="write the fault matrix with its results here")


def pytest_configure(config: pytest.Config) -> None:
    """Without the option nothing is recorded."""
    if path := config.getoption("--faults-report"):
        config.pluginmanager.register(Recorder(path), "faults-report")


class Recorder:
    """What pytest tells, kept until the end of the session."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rows: dict[str, tuple[str, ...]] = {}  # by node id
        self._outcomes: dict[str, str] = {}  # by node id

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """What is going to run."""
        for item in session.items:
            self._rows[item.nodeid] = tuple(row for mark in item.iter_markers("fault") for row in mark.args)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Set-up, call and tear-down: the first that went wrong decides."""
        if report.outcome != PASSED or report.when == "call":
            self._outcomes.setdefault(report.nodeid, report.outcome)
        if report.outcome == "failed":
            self._outcomes[report.nodeid] = report.outcome

    def pytest_sessionfinish(self) -> None:
        """Writes the document."""
        self._path.write_text(document(ROWS, self.results()))

    def results(self) -> dict[str, dict[str, str]]:
        """By fault and test function."""
        found: dict[str, dict[str, str]] = {}
        for node, rows in self._rows.items():
            outcome, test = self._outcomes.get(node, "not run"), node.partition("[")[0]
            for row in rows:
                tests = found.setdefault(row, {})
                if tests.get(test, PASSED) == PASSED:
                    tests[test] = outcome
        return found
