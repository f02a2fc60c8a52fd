"""Tells whoever started a run without locust's page how it goes: what it does, for how long, and how far it is."""

from __future__ import annotations

import gevent  # type: ignore[import-untyped]  # it has no types
from locust.env import Environment

EVERY = 10.0
"""Seconds between two lines."""


def say(line: str) -> None:
    """At once, whatever is between us and the terminal."""
    print(line, flush=True)  # noqa: T201  # for whoever started the run


def begin(environment: Environment, host: str) -> None:
    """A run has started. Says nothing where locust's page shows it all."""
    options = environment.parsed_options
    if environment.web_ui is not None or options is None:
        return
    lasts = f"for {options.run_time} s" if options.run_time else "until Ctrl-C"
    say(f"{options.num_users} users {lasts} at {host}: they check each answer. The table comes at the end.")
    gevent.spawn(_tell, environment)


def _tell(environment: Environment) -> None:
    seconds = 0.0
    while True:
        gevent.sleep(EVERY)
        seconds += EVERY
        if environment.runner is None or environment.runner.state not in ("spawning", "running"):
            return
        total = environment.stats.total
        say(f"{seconds:4.0f} s: {total.num_requests:,} requests, {total.num_failures:,} failures")
