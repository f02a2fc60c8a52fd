"""What a fleet costs is counted for every design, and what holds by construction shows in the counts.

Very little work at one instance: it says nothing about cost, but exactly one load is exactly one load.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench.scale.__main__ import main
from bench.scale.counts import Counts, Part, Results
from bench.scale.fleet import NAMES, Fleet
from bench.scale.report import TITLES, draw, markdown
from bench.scale.work import SMOKE, Amount, Work
from tests.bench.test_smoke import running_in
from tests.support.etcd import EtcdServer

PROJECT = Path(__file__).parents[2]
pytestmark = [
    pytest.mark.timeout(300),  # seconds; for all designs, on a machine that is busy
    pytest.mark.alone,
]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Every design, as a user counts them."""
    directory = tmp_path_factory.mktemp("scale")
    done = subprocess.run(
        [sys.executable, "-m", "bench.scale", "--smoke", "--instances", "1", "--json", "scale.json"],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert [each.name for each in directory.iterdir()] == ["scale.json"]
    assert running_in(directory) == []
    return Results.load(directory / "scale.json")


def parts(results: Results, name: str) -> Mapping[str, Part]:
    return results.designs[name][1]


def test_hits_cost_no_loads_beside_the_proofs(results: Results) -> None:
    """Rules 3 and 4: what etcd is asked for during a hundred reads has no document in it."""
    reading = parts(results, "ours")["reading"]
    assert reading.reads > 0
    assert reading.loads == 0
    assert reading.counts.watched == 0


def test_each_write_of_a_key_that_is_read_costs_an_instance_exactly_one_load(results: Results) -> None:
    """Rules 2 and 5, and one message of the watch."""
    hot = parts(results, "ours")["hot"]
    assert hot.writes > 1
    assert (hot.loads, hot.counts.watched) == (hot.writes, hot.writes)


def test_writes_of_keys_that_nobody_reads_cost_no_loads(results: Results) -> None:
    """Rule 2: the event names the key, and nobody asks for it."""
    cold = parts(results, "ours")["cold"]
    assert cold.writes > 1
    assert (cold.loads, cold.counts.watched) == (0, cold.writes)


def test_a_write_that_many_streams_are_told_of_costs_an_instance_one_load(results: Results) -> None:
    """Rule 18: the value is loaded once for all of them. RPCs, with those of idle work: some two a second."""
    told = parts(results, "ours")["told"]
    assert told.writes > 0
    assert told.counts.watched == told.writes
    assert told.counts.rpcs < 2 * told.writes + 3 * told.seconds + 3 < SMOKE.streams


def test_the_other_designs_cost_what_they_are_built_to_cost(results: Results) -> None:
    """Else the comparison would flatter us, or them."""
    none, pushed, version, timed = (parts(results, name) for name in NAMES[1:])
    assert none["reading"].loads == none["reading"].reads
    for what in ("hot", "cold"):
        assert (pushed[what].loads, pushed[what].counts.watched) == (0, pushed[what].writes)
    assert pushed["reading"].counts.operations == pushed["idle"].counts.operations == 0
    assert version["hot"].loads == version["hot"].writes
    assert version["cold"].loads == timed["cold"].loads == 0
    assert timed["hot"].loads == timed["hot"].writes
    assert timed["idle"].counts.operations == none["idle"].counts.operations == 0


def test_version_without_names_validates_every_key_that_is_read(tmp_path: Path, etcd: EtcdServer) -> None:
    """Ours asks for the one that changed."""
    asked = {}
    for name in ("ours", "version-key"):
        with Fleet(name, etcd.endpoint, tmp_path) as fleet:
            fleet.grow_to(1)
            with Work(fleet, Amount(few=1)) as work:
                asked[name] = work.keys(8).loads
    assert asked == {"ours": 1, "version-key": 8}


def test_tables_and_plots_show_every_design(results: Results, tmp_path: Path) -> None:
    table = markdown(results)
    assert [title for title in TITLES.values() if f"| {title} |" not in table] == []
    for plot in draw(results, tmp_path):
        assert TITLES["ours"] in "".join(ElementTree.fromstring(plot.read_bytes()).itertext())


def test_what_a_fleet_costs_while_idle_is_not_charged_to_its_clients() -> None:
    idle = Part(Counts(rpcs=20, sent=100), seconds=10, reads=0, writes=0, loads=0)
    busy = Part(Counts(rpcs=15, sent=50), seconds=5, reads=0, writes=5, loads=5)
    assert busy.beyond(idle) == Counts(rpcs=5, sent=0)


def test_results_are_kept_as_they_were_counted(results: Results, tmp_path: Path) -> None:
    """Twice the same file makes the same pictures, byte for byte."""
    first, again = (draw(results, tmp_path / each) for each in ("first", "again"))
    assert [each.read_bytes() for each in first] == [each.read_bytes() for each in again]
    assert json.dumps(results.amount)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (["--etcd", "http://127.0.0.1:2379"], "--etcd is for one design"),
        (["--instances", "65"], "expected numbers from 1 to 64"),
        (["memcached"], "no such design: memcached"),
    ],
)
def test_what_can_not_be_counted_is_refused(given: list[str], why: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(given)
    assert why in capsys.readouterr().err
