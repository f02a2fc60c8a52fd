"""HAProxy in front of a fleet: where to find it, and its configuration. Starts nothing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from string import Template

_CONFIG = Template("""\
# Round robin without stickiness: the session is in the client's cookie or token, never in the balancer.
global
    log stdout format raw local0 notice
    # After being asked to stop (SIGUSR1): finish what is under way, then go.
    hard-stop-after ${drain}s

defaults
    mode http
    log global
    option dontlognull
    # A body is read here, whole, before an instance hears of the request: slow senders hold no thread there.
    option http-buffer-request
    # An instance that refuses the connection has not seen the request: another one gets it, writes included.
    option redispatch 1
    retries 2
    timeout connect 1s
    timeout queue 2s
    timeout http-request 10s
    timeout http-keep-alive 60s
    timeout client 30s
    # Longer than any answer may take: the instance's own deadline comes first, and says what happened.
    timeout server 75s

frontend config
    bind $address
    default_backend instances

backend instances
    balance roundrobin
    # An instance that is told to stop says 503 here first and is left within 0.7 s; its DRAIN_WAIT has to be longer.
    option httpchk GET /readyz
    http-check expect status 200
    # Slow is not away: when all of them are short of processor time, none would be left.
    timeout check 1s
    default-server check inter 500ms fastinter 200ms fall 2 rise 1
$servers
""")


def find() -> str | None:
    """The program, or None when it is not installed. Debian keeps it where ordinary users don't look."""
    return shutil.which("haproxy", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"]))


def configuration(address: str, instances: Sequence[str], *, drain: int) -> str:
    """The text of haproxy.cfg: listens on `address` and spreads over `instances`, all `host:port`; drains `drain` s."""
    servers = "\n".join(f"    server instance-{number} {where}" for number, where in enumerate(instances))
    return _CONFIG.substitute(address=address, servers=servers, drain=drain)
