"""A fleet that is renewed, instance by instance, behind HAProxy."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from pathlib import Path

from tests.support.balancer import Balancer
from tests.support.instances import InstanceProcess
from torture.world import quiet_ports


@contextlib.contextmanager
def running(directory: Path, size: int, **settings: str) -> Iterator[list[InstanceProcess]]:
    """Instances that hold slots, on ports that nobody takes while they are away."""
    ports = itertools.islice(quiet_ports(), size)
    fleet = [InstanceProcess(directory, PORT=str(port), **settings) for port in ports]
    try:
        for instance in fleet:
            instance.start()
        for instance in fleet:
            instance.wait_until_ready().wait_for_slot()
        yield fleet
    finally:
        for instance in fleet:
            instance.kill()


@contextlib.contextmanager
def balanced(directory: Path, fleet: list[InstanceProcess]) -> Iterator[Balancer]:
    """The balancer in front of them."""
    port, statistics_port = itertools.islice(quiet_ports(), 2)
    with Balancer(directory, port, statistics_port, [instance.port for instance in fleet]) as balancer:
        yield balancer
