"""Programs that these tests need and that Python can't install."""

from __future__ import annotations

import os

import pytest

from deploy import haproxy


def need_haproxy() -> None:
    """Skips the test where HAProxy is not installed; in CI it has to be there."""
    if haproxy.find() is None:
        reason = "haproxy is not installed: apt-get install haproxy, or brew install haproxy"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
