"""What history takes in etcd, as the doctor sees it: by what there is, beside the quota."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from consistency.core.model import Kept
from consistency.etcd.calls import Call, Calls
from consistency.etcd.probe import Weight
from service.doctor import Level, history
from service.doctor.history import judged
from tests.doctor.conftest import Examine
from tests.support.etcd import EtcdServer
from tests.support.instances import InstanceProcess, within


def test_records_are_weighed_and_a_large_part_of_the_quota_is_told_with_what_to_do(
    tmp_path: Path, examined: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Followed to the letter, the remedy leaves less."""
    with EtcdServer(tmp_path / "etcd", arguments=["--quota-backend-bytes=20000000"]) as etcd:
        settings = {"ETCD_ENDPOINTS": etcd.endpoint}
        found = examined(**settings).one("history")
        assert (found.level, "0 records and notes take 0 kB, 0%" in found.found) == (Level.OK, True)
        with InstanceProcess(tmp_path, **settings) as instance:
            instance.wait_for_slot()
            document = json.dumps("x" * 60_000).encode()
            for number in range(90):
                instance.put(f"k{number % 6}", document)
            found = examined(**settings).one("history")
            assert found.level is Level.WARNING
            assert found.found.startswith("the last 20 changes of each key are kept, with documents up to 65,536 bytes")
            assert re.search(r"9[67] records and notes take 5,4\d\d kB, 27% of the quota of 20 MB", found.found)
            assert "Lower history.keep (20)" in found.remedy
            assert "configctl policy edit" in found.remedy
            monkeypatch.setattr(history, "LOOKED_AT", 1_000_000)
            assert "records and notes take about 5," in examined(**settings).one("history").found
            policy = json.dumps({"history": {"keep": 2}}).encode()
            instance.request("PUT", "/policy", data=policy, headers={"If-None-Match": "*"})
            assert within(30, lambda: examined(**settings).one("history").level is Level.OK)


@pytest.mark.parametrize(
    ("kept", "weight", "level", "said"),
    [
        (Kept(0, 1), Weight(0, 0, True), Level.OK, "the policy keeps none"),
        (Kept(0, 1), Weight(7, 70_000, True), Level.OK, "removes what is left: 7 records and notes take 70 kB, 7%"),
        (Kept(20, 100), Weight(7, 249_999, True), Level.OK, "take 250 kB, 25%"),
        (Kept(20, 100), Weight(7, 250_000, False), Level.WARNING, "take about 250 kB, 25%"),
    ],
)
def test_a_quarter_of_the_quota_is_much(kept: Kept, weight: Weight, level: Level, said: str) -> None:
    found = judged(kept, weight, 1_000_000, "the quota", "etcdctl")
    assert (found.level, said in found.found) == (level, True), found


def test_a_compaction_while_they_are_weighed_is_no_fault(
    tmp_path: Path, examined: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1. They are counted at a revision; 2. somebody writes, and etcd compacts that revision; 3. they are read."""
    ask = Calls.ask

    with EtcdServer(tmp_path / "etcd") as etcd:
        etcd.etcdctl("put", "/config-service/past/a", stdin="c")

        async def compacted_before(self: Calls[Any], call: Call, timeout: float) -> Any:
            if call.kind == "weigh":
                etcd.etcdctl("put", "another", stdin="c")
                etcd.etcdctl("compact", str(int(etcd.counter("etcd_debugging_mvcc_current_revision"))))
            return await ask(self, call, timeout)

        monkeypatch.setattr(Calls, "ask", compacted_before)
        found = examined(ETCD_ENDPOINTS=etcd.endpoint).one("history")
    assert (found.level, "1 records and notes" in found.found) == (Level.OK, True), found
