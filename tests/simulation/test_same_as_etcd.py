"""The simulated etcd answers as a real one does, errors included. Whatever a simulation finds rests on this."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import grpc.aio  # type: ignore[import-untyped]
import pytest
from hypothesis import HealthCheck, given, settings

from simulation.etcd import Cluster
from tests.simulation.same_as_etcd import Run, Stubs, perform, runs
from tests.support import driver
from tests.support.etcd import EtcdServer
from tests.support.recent_etcd import recent_etcd
from tests.support.virtual import virtually


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stubs]:
    """An etcd that these tests have for themselves."""
    with EtcdServer(tmp_path_factory.mktemp("same"), program=recent_etcd()) as server:
        channels = driver.run(_connect(server.endpoint.removeprefix("http://")))
        yield Stubs(*channels)
        for channel in channels:
            driver.run(channel.close())


async def _connect(target: str) -> tuple[grpc.aio.Channel, grpc.aio.Channel]:
    return grpc.aio.insecure_channel(target), grpc.aio.insecure_channel(target)


def simulated(run: Run) -> list[str]:
    """What the simulated one answers."""
    return virtually(_simulate(run))


async def _simulate(run: Run) -> list[str]:
    cluster = Cluster(Random(1))
    connect, config = cluster.connect("tests"), cluster.config("")
    endpoint = config.servers()[1]
    return await perform(Stubs(connect(endpoint, config), connect(endpoint, config)), run)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(run=runs)
def test_any_calls_are_answered_alike(real: Stubs, run: Run) -> None:
    """Every answer and every refusal, and all that watches are told."""
    assert simulated(run) == driver.run(perform(real, run))
