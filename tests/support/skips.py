"""A pytest plugin: with CI=true a test that is skipped, for whatever reason, has failed. All is installed there."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Looks at each report, and changes those of skipped tests."""
    report = yield
    if report.skipped and os.environ.get("CI") == "true":
        report.outcome = "failed"
        report.longrepr = f"skipped, which no test is in CI: {report.longreprtext}"
    return report
