"""`make demo`: a fleet, its page, load and a writer; one Ctrl-C ends all of it."""

from __future__ import annotations

import signal
from pathlib import Path

import requests

from tests.load.requirements import need_haproxy
from tests.load.running_fleet import RunningFleet, running, running_fleet, sample
from tests.support.etcd import free_ports
from tests.support.instances import within


def changes(fleet: RunningFleet) -> int:
    """How often the writer has changed a document."""
    answer = requests.get(f"{fleet.address}/config/demo/limits", timeout=5)
    return int(answer.json()["change"]) if answer.ok else 0


def test_there_is_something_to_see_until_ctrl_c(tmp_path: Path) -> None:
    need_haproxy()
    (load_port,) = free_ports(1)
    with running_fleet(tmp_path, 4, ("-m", "deploy.demo", "--load-port", str(load_port))) as fleet:
        assert requests.get(fleet.address, timeout=5).headers["Content-Type"] == "text/html; charset=utf-8"
        assert within(20, lambda: changes(fleet) > 3)
        hits = "config_cache_reads_total"
        assert within(20, lambda: all(sample(each, hits, source="hit") > 0 for each in fleet.instances()))
        stats = requests.get(f"http://127.0.0.1:{load_port}/stats/requests", timeout=5).json()
        assert (stats["state"], stats["user_count"] > 0, stats["errors"]) == ("running", True, [])
        everyone = [pid for _, pid in fleet.rows().values()]
        assert len(everyone) == 8  # etcd, four instances, the balancer, load, the writer
        code, _ = fleet.stop(signal.SIGINT)
    assert code == 0, fleet.printed
    assert [pid for pid in everyone if running(pid)] == []
