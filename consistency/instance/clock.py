"""The clock of the freshness window: local seconds that go on while the machine sleeps.

CLOCK_MONOTONIC stops during a suspend on Linux; a proof would outlive it. CLOCK_BOOTTIME doesn't stop (rule 4).
"""

from __future__ import annotations

import time

if hasattr(time, "CLOCK_BOOTTIME"):

    def boottime() -> float:
        """Seconds since the machine started, suspended time included."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

else:

    def boottime() -> float:
        """Seconds of the monotonic clock: macOS has no other, and its `time.monotonic` goes on during sleep."""
        return time.monotonic()
