"""What the doctor says of how far back clients can be told of changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.doctor import Level
from tests.doctor.conftest import Examine
from tests.support.etcd import EtcdServer


@pytest.mark.parametrize("written", [2, 3, 40])
def test_it_says_since_which_revision_changes_are_told(tmp_path: Path, examined: Examine, written: int) -> None:
    """All of them, until etcd is compacted; then from exactly there on."""
    with EtcdServer(tmp_path / "etcd") as etcd:
        for number in range(written):
            etcd.etcdctl("put", "/elsewhere", str(number))
        told = examined(ETCD_ENDPOINTS=etcd.endpoint).one("changes")
        assert (told.level, told.found.partition(";")[0]) == (
            Level.OK,
            "clients that were away are told of each change",
        )
        etcd.etcdctl("compact", str(written))
        told = examined(ETCD_ENDPOINTS=etcd.endpoint).one("changes")
        assert told.level is Level.OK
        assert f"since revision {written:,}, " in told.found
        assert "is compacted" in told.found
