"""The clock of the freshness window: local seconds that go on while the machine sleeps.

CLOCK_MONOTONIC stops during a suspend on Linux; a proof would outlive it. CLOCK_BOOTTIME doesn't stop (rule 4).
"""

from __future__ import annotations

import time
from functools import partial

boottime = partial(time.clock_gettime, time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic
"""Seconds since the machine started, suspended time included. (macOS has no other: its `monotonic` goes on in sleep.)

Called at each hit, so it is no function of ours.
"""
