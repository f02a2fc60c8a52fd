"""What is measured is as its users start it, whatever is set where the bench is started."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from bench.processes import Processes
from service.settings.model import Settings


def test_no_setting_of_the_service_reaches_what_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tokens that the service wants would have every request refused."""
    names = {doc.name for doc in Settings.describe()}
    assert "API_TOKENS" in names
    for name in names:
        monkeypatch.setenv(name, "set elsewhere")
    processes = Processes(tmp_path)
    child = processes.start("env", ["env"], PORT="1")
    assert child.wait(time.monotonic() + 10.0)
    given = dict(line.split("=", 1) for line in child.log.read_text().splitlines())
    processes.close()
    assert names & given.keys() == {"PORT"}
    assert given["PORT"] == "1"
