"""Programs that these tests need and that Python can't install."""

from __future__ import annotations

from tests.support.unavailable import unavailable
from tools import haproxy


def need_haproxy() -> None:
    """Skips the test where HAProxy is not installed."""
    if haproxy.find() is None:
        unavailable("haproxy is not installed: apt-get install haproxy, or brew install haproxy")
