"""HAProxy as it is deployed, in front of instances of a test.

Adds nothing to the configuration but a page of statistics on a port of its own: what is shown with this balancer holds
for the one that users start.
"""

from __future__ import annotations

import urllib.request
from collections.abc import Sequence
from pathlib import Path

from tests.support.haproxy_process import HaproxyProcess
from tools import haproxy

DRAIN = 2

_STATISTICS = """
listen statistics
    bind 127.0.0.1:{port}
    stats enable
    stats uri /
"""


class Balancer(HaproxyProcess):
    """The balancer of a fleet."""

    def __init__(self, directory: Path, port: int, statistics_port: int, instances: Sequence[int]) -> None:
        self._statistics = f"http://127.0.0.1:{statistics_port}/;csv"
        backends = [f"127.0.0.1:{each}" for each in instances]
        text = haproxy.configuration(f"127.0.0.1:{port}", backends, drain=DRAIN)
        super().__init__(directory, text + _STATISTICS.format(port=statistics_port), port)

    def sends_to(self, number: int) -> bool:
        """Whether an instance gets requests: it is up, or was until the last check."""
        return self.row(f"instance-{number}")["status"].startswith("UP")

    def served(self, number: int) -> int:
        """How many requests an instance has been sent so far."""
        return int(self.row(f"instance-{number}")["stot"])

    def statistics(self) -> str:
        """By its page."""
        with urllib.request.urlopen(self._statistics, timeout=5) as answer:
            return str(answer.read().decode())
