"""Examinations of real etcds, in this process."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from service.doctor import Finding, Level, Report, examine

PREFIX = "/config-service"


class Examined:
    """A report, and what a test asks of it."""

    def __init__(self, report: Report) -> None:
        self.report = report

    def of(self, check: str) -> list[Finding]:
        """The findings of one check."""
        return [finding for finding in self.report.findings if finding.check == check]

    def one(self, check: str) -> Finding:
        """The only finding of one check."""
        (finding,) = self.of(check)
        return finding

    def not_ok(self) -> dict[str, Level]:
        """What is not well, but for the release of the etcd that tests have."""
        return {
            each.check: each.level
            for each in self.report.findings
            if each.level is not Level.OK and each.check != "version"
        }


Examine = Callable[..., Examined]


@pytest.fixture
def examined(tmp_path: Path) -> Examine:
    """`examined(ETCD_ENDPOINTS=…)`, in an empty directory, of a service that others can't reach.

    A test that fails shows the whole report. An etcd that is held for seconds is no finding, unless a test says so.
    """

    def examined(**environ: str) -> Examined:
        settings = {"HOST": "127.0.0.1", "ETCD_TIMEOUT": "20", **environ}
        report = examine(settings, tmp_path / "instance")
        sys.stdout.write(report.text())
        return Examined(report)

    return examined
