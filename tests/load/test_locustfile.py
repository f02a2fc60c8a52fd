"""The load test tells right from wrong: it passes an honest service and fails each kind of lie, saying which."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.load.locust_run import ROOT, run
from tests.load.lying_server import lying


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


def test_reads_are_half_cached_half_not_and_many_for_each_write(tmp_path: Path) -> None:
    """The mix: about as many reads with the cache as without, and fifteen for a write."""
    with lying("") as server:
        result = run(server.address, tmp_path, users=10, seconds=5, pause=0.02)
    rows = {name: row.requests for name, row in result.rows.items()}
    assert abs(rows["GET use_cache=true"] - rows["GET use_cache=false"]) <= 0.2 * rows["GET use_cache=true"]
    assert 8 <= (rows["GET use_cache=true"] + rows["GET use_cache=false"]) / rows["PUT"] <= 16


def test_write_under_way_at_the_end_is_waited_for(tmp_path: Path) -> None:
    """All users are in the middle of their first PUT when time is up; cut off, they would delete too early."""
    with lying("slow") as server:
        result = run(server.address, tmp_path, users=5, seconds=1, pause=0.05)
    assert result.exit_code == 0, result.output
    assert server.documents == {}


@pytest.mark.parametrize(
    ("lie", "said"),
    [
        ("stale", "read your writes: expected the value last written"),
        ("hit", "expected X-Cache: BYPASS without the cache, got HIT"),
        ("broken", "expected 201, got 500"),
        ("undead", "linearizable, without the cache: expected 404, got 200"),
    ],
)
def test_lie_is_a_failure_that_says_what_was_expected(tmp_path: Path, lie: str, said: str) -> None:
    """Exit code 1, and the report names the expectation."""
    with lying(lie) as server:
        result = run(server.address, tmp_path, users=10, seconds=4, pause=0.01)
    assert result.exit_code == 1, result.output
    assert said in result.output


USERS = ("LinearizableUser", "SynchronousUser", "ConditionalUser", "BoundedUser")


@pytest.mark.parametrize("user", USERS)
def test_each_other_user_passes_an_honest_service_and_leaves_nothing(tmp_path: Path, user: str) -> None:
    with lying("") as server:
        result = run(server.address, tmp_path, user, users=5, seconds=2, pause=0.02, LOAD_BOUND="0.3")
    assert result.exit_code == 0, result.output
    assert server.documents == {}
    assert sum(row.requests for row in result.rows.values()) > 50


@pytest.mark.parametrize(
    ("lie", "user", "said"),
    [
        ("lazy", "LinearizableUser", "linearizable: expected the value last written"),
        ("lazy", "SynchronousUser", "synchronous write: expected the value last written"),
        ("deaf", "ConditionalUser", "conditional write: expected 412, got 200"),
        ("lazy", "BoundedUser", "bounded staleness: "),
    ],
)
def test_a_failure_names_the_guarantee_that_broke(tmp_path: Path, lie: str, user: str, said: str) -> None:
    with lying(lie) as server:
        result = run(server.address, tmp_path, user, users=5, seconds=2, pause=0.02, LOAD_BOUND="0.3")
    assert result.exit_code == 1, result.output
    assert said in result.output


def test_the_usual_load_is_that_of_one_user_alone(tmp_path: Path) -> None:
    """The others take part only where they are named."""
    with lying("") as server:
        result = run(server.address, tmp_path, users=10, seconds=2, pause=0.02)
        named = run(server.address, tmp_path, "LinearizableUser", users=2, seconds=1, pause=0.02)
    assert set(result.rows) == {"PUT", "DELETE", "GET use_cache=true", "GET use_cache=false"}
    assert set(named.rows) == {"PUT", "DELETE", "GET ?consistency=linearizable"}


def test_service_that_is_away_is_a_failure(tmp_path: Path) -> None:
    """No answer at all counts, too."""
    with lying("") as server:
        gone = server.address
    result = run(gone, tmp_path, users=2, seconds=1)
    assert result.exit_code == 1
    assert "expected 201, got no answer" in result.output


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
