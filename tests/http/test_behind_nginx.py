"""`/changes` through nginx as Debian ships it, which buffers what it passes on unless it is told not to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.etcd import EtcdServer, free_ports, wait_for
from tests.support.followers import Crowd, crowd
from tests.support.instances import InstanceProcess
from tests.support.nginx import nginx

PROMPT = 5.0
"""Seconds: half of the time after which a stream says something anyway. A buffer would be full after hours."""


@pytest.fixture
def followers() -> Iterator[Crowd]:
    with crowd() as followers:
        yield followers


@pytest.fixture
def instance(etcd: EtcdServer, prefix: str, tmp_path: Path) -> Iterator[InstanceProcess]:
    with InstanceProcess(tmp_path / "instance", **etcd.settings(prefix), STREAM_LIFETIME="8") as instance:
        instance.wait_for_slot()
        yield instance


def test_changes_are_told_at_once_and_a_stream_ends_in_order(
    instance: InstanceProcess, followers: Crowd, tmp_path: Path
) -> None:
    (port,) = free_ports(1)
    with nginx(tmp_path / "nginx", port, instance.port):
        instance.put("a", b"1")
        followers.join(port, ["prefix="])
        (follower,) = followers.all
        wait_for(lambda: bool(follower.synced), PROMPT, "the scope is told")
        for document in ("2", "3"):
            instance.put("a", document.encode())
            wait_for(lambda: follower.synced[-1][1] == (("a", document),), PROMPT, "a change is told")  # noqa: B023
        wait_for(lambda: bool(follower.goodbyes), what="the end of the stream")
        assert follower.goodbyes[0][0] == "lifetime"
        instance.put("a", b"4")
        wait_for(lambda: follower.synced[-1][1] == (("a", "4"),), what="it has come back, and goes on")
        assert follower.wrong == []
        assert {cause for cause, _, _ in follower.resets} <= {"asked", "everything"}
