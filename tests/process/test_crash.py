"""Kill -9: nothing goes on running, nothing answered is lost, the next start works."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from tests.support.etcd import EtcdServer
from tests.support.instances import InstanceProcess, is_running, within


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
def test_kill_9_takes_the_embedded_etcd_along(tmp_path: Path) -> None:
    """Otherwise it would hold its port and its data, ownerless."""
    with InstanceProcess(tmp_path) as instance:
        etcd = instance.embedded_etcd()["pid"]
        instance.kill()
        assert within(5, lambda: not is_running(etcd))


def test_answered_writes_survive_kill_9_of_everything(tmp_path: Path) -> None:
    """A write is answered when it is on disk; what etcd.json still says then is recognised as stale."""
    with InstanceProcess(tmp_path) as instance:
        assert instance.put("a", b'"kept"').status_code == 201
        stale = instance.embedded_etcd()
        os.kill(stale["pid"], signal.SIGKILL)
        instance.kill()
    with InstanceProcess(tmp_path) as successor:
        assert successor.get("a").content == b'"kept"'
        assert successor.embedded_etcd()["owner"] == successor.pid


@pytest.mark.fault("etcd killed for 75 s")
def test_an_instance_that_lost_its_etcd_says_so_and_lives(tmp_path: Path) -> None:
    """Alive is not ready: the difference decides whether it is restarted or only left out."""
    with EtcdServer(tmp_path / "etcd") as etcd, InstanceProcess(tmp_path, ETCD_ENDPOINTS=etcd.endpoint) as instance:
        etcd.kill()
        assert within(10, lambda: instance.answers(503, "/readyz"))
        assert instance.answers(200, "/healthz")
        assert instance.stop() == 0
