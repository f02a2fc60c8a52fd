"""HAProxy in front of a fleet: where to find it, and its configuration. Starts nothing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from string import Template
from typing import NamedTuple

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
    # A body is read here, whole, before an instance hears of the request: slow senders take no room there.
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
    # What the balancer itself answers is a problem document, as all that the instances answer; but to what isn't HTTP.
$problems

frontend config
    bind $address$bound
    # Who is ready is preferred. If nobody is, since etcd is away, all that are alive are asked: each can still give
    # what was last known to who allows that (stale_if_error), say honestly that nothing was done, and show its page.
    use_backend alive if { nbsrv(instances) eq 0 }
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

backend alive
    balance roundrobin
    # Off only while an instance starts, or is told to stop.
    option httpchk GET /readyz?for=routing
    http-check expect status 200
    timeout check 1s
    default-server check inter 500ms fastinter 200ms fall 2 rise 1
$servers
""")


class Problem(NamedTuple):
    """What the balancer answers by itself. `retry_after`: seconds; 0: the same request would fail in the same way."""

    status: int
    slug: str
    title: str
    detail: str
    outcome: str
    retry_after: int = 0

    def directive(self) -> str:
        """In HAProxy's words. Nothing in it needs to be escaped in JSON, or between HAProxy's single quotes."""
        told = f'"type":"urn:problem-type:config-service:{self.slug}","title":"{self.title}","status":{self.status}'
        document = f'{{{told},"detail":"{self.detail}","outcome":"{self.outcome}"}}'
        retry = f" hdr Retry-After {self.retry_after}" if self.retry_after else ""
        return (
            f"    http-error status {self.status} content-type application/problem+json string '{document}'"
            f" hdr Cache-Control no-store{retry}"
        )


PROBLEMS = (
    Problem(500, "balancer-error", "Internal Server Error", "The balancer failed.", "unknown"),
    Problem(502, "no-answer", "Bad Gateway", "The instance ended the connection without an answer.", "unknown"),
    Problem(503, "no-instance", "Service Unavailable", "No instance can be reached; nothing was done.", "not done", 1),
    Problem(504, "no-answer-in-time", "Gateway Timeout", "The instance did not answer in time.", "unknown"),
)


def find() -> str | None:
    """The program, or None when it is not installed. Debian keeps it where ordinary users don't look."""
    return shutil.which("haproxy", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"]))


class Https(NamedTuple):
    """certificate: a file with what the balancer shows, its key included. authorities: a file of who vouches for the
    instances, which are on this machine, so that their names play no part; "" for whom the machine trusts."""

    certificate: str
    authorities: str = ""


def configuration(address: str, instances: Sequence[str], *, drain: int, https: Https | None = None) -> str:
    """The text of haproxy.cfg: listens on `address` and spreads over `instances`, all `host:port`; drains `drain` s.

    https: of both sides; without it plain HTTP is spoken.
    """
    bound = f" ssl crt {https.certificate} alpn h2,http/1.1" if https else ""
    verified = f" ssl verify required ca-file {https.authorities or '@system-ca'}" if https else ""
    servers = "\n".join(f"    server instance-{number} {where}{verified}" for number, where in enumerate(instances))
    problems = "\n".join(problem.directive() for problem in PROBLEMS)
    return _CONFIG.substitute(address=address, bound=bound, servers=servers, drain=drain, problems=problems)
