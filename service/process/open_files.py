"""How many clients may be connected at once, as far as files are concerned: each is one."""

from __future__ import annotations

import resource

LEAST = 64
"""Clients that are let in, whatever the limit says."""

RESERVED_FILES = 256
"""File descriptors for everything but clients."""

HANDSHAKES = 4096
"""More of them over HTTPS, for clients that have connected and said nothing yet: the server does not count those."""

RELAYED = 3
"""Of one connection that is relayed: to the client, and both ends of that to the server."""


def connections_allowed(most: int, *, https: bool = False, relayed: bool = False) -> int:
    """Return how many of so many connections the limit on open files allows. The limit is raised as far as needed.

    HTTPS halves the number: while a certificate is renewed there are two servers, and each counts its own. A relayed
    connection takes as much memory as two.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = RELAYED * most // 2 if relayed else most
    wanted = files + RESERVED_FILES + (HANDSHAKES if https else 0)
    unlimited = hard == resource.RLIM_INFINITY
    allowed = wanted if unlimited else min(hard, wanted)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    left = allowed - RESERVED_FILES
    return max(LEAST, (left - min(HANDSHAKES, left // 3)) // (RELAYED if relayed else 2) if https else left)
