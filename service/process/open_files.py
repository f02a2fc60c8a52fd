"""How many clients may be connected at once, as far as files are concerned: each is one."""

from __future__ import annotations

import resource

LEAST = 64
"""Clients that are let in, whatever the limit says."""

RESERVED_FILES = 256
"""File descriptors for everything but clients."""


def connections_allowed(most: int) -> int:
    """Of so many connections, those that the limit on open files leaves, which is raised as far as needed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = most + RESERVED_FILES
    unlimited = hard == resource.RLIM_INFINITY
    allowed = wanted if unlimited else min(hard, wanted)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    return max(LEAST, allowed - RESERVED_FILES)
