"""The load test tells right from wrong: it passes an honest service and fails each kind of lie, saying which."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.load.locust_run import ROOT, run
from tests.load.lying_server import lying
from tools import table


@pytest.mark.alone
def test_honest_service_passes_and_is_left_without_a_key(tmp_path: Path) -> None:
    """0 failures, exit code 0; each user has keys of its own, and deletes them at the end, whatever it was doing."""
    with lying("") as server:
        result = run(server.address, tmp_path, users=20, seconds=4, pause=0.05)
    assert result.exit_code == 0, result.output
    assert server.documents == {}
    assert set(result.rows) == {"PUT", "DELETE", "GET use_cache=true", "GET use_cache=false"}
    assert not any(row.failures for row in result.rows.values())
    paths = {line.split()[1].split("?")[0] for line in server.seen}
    assert len(paths) >= 20
    assert all(path.startswith("/config/performance_tests/") for path in paths)
    assert "X-Cache of GET use_cache=true: HIT" in result.output


@pytest.mark.alone
def test_nearly_all_reads_are_cached_and_there_are_many_for_each_write(tmp_path: Path) -> None:
    """The mix: one read in twenty from etcd, one write in LOAD_READS, but for those at the beginning and the end."""
    with lying("") as server:
        result = run(server.address, tmp_path, users=4, seconds=6, pause=0.005, LOAD_READS="100")
    rows = {name: row.requests for name, row in result.rows.items()}
    reads = rows["GET use_cache=true"] + rows["GET use_cache=false"]
    assert 0.9 * reads < rows["GET use_cache=true"] < 0.96 * reads
    writes = rows["PUT"] + rows["DELETE"] - 2 * 4
    assert reads / 140 < writes < reads / 70, rows


@pytest.mark.alone
def test_write_under_way_at_the_end_is_waited_for(tmp_path: Path) -> None:
    """All users are in the middle of their first PUT when time is up; cut off, they would delete too early."""
    with lying("slow") as server:
        result = run(server.address, tmp_path, users=5, seconds=1, pause=0.05)
    assert result.exit_code == 0, result.output
    assert server.documents == {}


@pytest.mark.parametrize(
    ("lie", "said"),
    [
        ("stale", "GET use_cache=true: read-your-writes: expected the value last written"),
        ("uncached", "GET use_cache=false: linearizable: expected the value last written"),
        ("hit", "linearizable: expected X-Cache: BYPASS without the cache, got HIT"),
        ("broken", "PUT: expected 201, got 500"),
        ("undead", "read-your-writes: expected 404, got 200"),
    ],
)
@pytest.mark.lasting
def test_lie_is_a_failure_that_says_what_was_expected(tmp_path: Path, lie: str, said: str) -> None:
    """Exit code 1, and the report names the expectation, and the guarantee if one broke."""
    with lying(lie) as server:
        result = run(server.address, tmp_path, users=10, seconds=2, pause=0.01, LOAD_READS="15")
    assert result.exit_code == 1, result.output
    assert said in result.output


OTHERS = ("ConditionalUser", "FollowingUser", "HotKeyUser", "LinearizableUser", "SynchronousUser")


@pytest.mark.alone
def test_all_others_pass_an_honest_service_and_leave_nothing(tmp_path: Path) -> None:
    """They bear the token, which nobody gets to see, and have rows of their own in the result."""
    with lying("") as server:
        result = run(
            server.address, tmp_path, *OTHERS, users=15, seconds=3, pause=0.02, LOAD_BOUND="0.3", LOAD_TOKEN="s3cret"
        )
    assert result.exit_code == 0, result.output
    assert server.documents == {}
    assert server.tokens == {"Bearer s3cret"}
    assert "s3cret" not in result.output
    assert not result.rows.keys() & {*table.ALWAYS}
    rare = {"DELETE at the end", "PUT hot", "PUT followed"}
    assert all(row.requests > 20 for name, row in result.rows.items() if name not in rare), result.rows


@pytest.mark.parametrize(
    ("lie", "users", "said"),
    [
        (
            "lazy",
            ("HotKeyUser", "LinearizableUser", "SynchronousUser"),
            (
                "GET hot: bounded staleness: ",
                "GET consistency=linearizable: linearizable: expected the value last written",
                "GET after sync=true: synchronous write: expected the value last written",
            ),
        ),
        ("forgetful", ("HotKeyUser",), ("had been read before, got b'", "monotonic reads: revision ")),
        ("lossy", ("FollowingUser",), (r"GET changes: nothing lost: \d+ had been written [\d.]+ s before, \d+ is ",)),
        (
            "elsewhere",
            ("FollowingUser",),
            (r"GET changes: nothing lost: asked what has changed since \d+, told since ",),
        ),
        ("backwards", ("FollowingUser",), (r"GET changes: nothing lost: \d+ had been told before, got \d+",)),
        ("deaf", ("ConditionalUser",), (r"PUT if-match: conditional write: edit \d+ was acknowledged twice",)),
        ("stubborn", ("ConditionalUser",), ("PUT if-match: conditional write: refused, although ",)),
    ],
)
@pytest.mark.lasting
def test_failure_names_the_guarantee_that_broke(
    tmp_path: Path, lie: str, users: tuple[str, ...], said: tuple[str, ...]
) -> None:
    """That one, by the user who is about it, and under the request that showed it."""
    with lying(lie) as server:
        result = run(server.address, tmp_path, *users, users=4 * len(users), seconds=3, pause=0.02, LOAD_BOUND="0.2")
    assert result.exit_code == 1, result.output
    assert [each for each in said if not re.search(each, result.output)] == [], result.output


@pytest.mark.lasting
def test_service_that_is_away_is_a_failure(tmp_path: Path) -> None:
    """No answer at all counts, too."""
    with lying("") as server:
        gone = server.address
    result = run(gone, tmp_path, users=2, seconds=1)
    assert result.exit_code == 1
    assert "expected 201, got no answer" in result.output


@pytest.mark.lasting
def test_host_that_is_no_url_is_refused_at_start() -> None:
    """HOST also is the service's address to listen on: taken by mistake, the message says what is expected."""
    done = subprocess.run(
        [sys.executable, "-m", "locust", "--headless", "-t", "1s"],
        cwd=ROOT,
        env={**os.environ, "HOST": "0.0.0.0"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode != 0
    assert "HOST is '0.0.0.0'; locust expects a URL there, for example HOST=http://127.0.0.1:8080" in done.stderr
    assert "Traceback" not in done.stderr
