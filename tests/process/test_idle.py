"""What an instance that nobody but machines asks does not load."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support.instances import InstanceProcess, within

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc tells what is loaded")

OF_FLASK = "markupsafe"
"""A library in machine code that Flask needs, and nobody else."""


def test_flask_is_loaded_for_the_first_page_and_for_nothing_that_machines_ask(tmp_path: Path) -> None:
    """By load balancers, Prometheus, other instances, and clients."""
    with InstanceProcess(tmp_path) as instance:
        maps = Path(f"/proc/{instance.process.pid}/maps")
        instance.put("a", b"1")
        assert within(10, lambda: instance.request("GET", "/members/targets").status_code == 200)
        for path in ("/healthz", "/readyz", "/metrics", "/members", "/members/me", "/config/a", "/members/states"):
            assert instance.request("GET", path).status_code == 200, path
        assert OF_FLASK not in maps.read_text()
        assert "text/html" in instance.request("GET", "/").headers["content-type"]
        assert OF_FLASK in maps.read_text()
