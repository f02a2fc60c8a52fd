"""Locust's own page, as people use it: users are chosen, a run is started, watched and stopped, and another started.

Against a fleet that lets in only who bears a token, through its balancer.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.load.locust_run import ROOT
from tests.load.requirements import need_haproxy
from tests.load.running_fleet import RunningFleet, running_fleet
from tests.support.etcd import free_ports
from tests.support.instances import within

pytestmark = pytest.mark.alone

TOKEN = "load-0123456789-load-0123456789"
TOKENS = json.dumps([{"name": "load", "token": TOKEN, "scopes": ["read", "write"]}])
EVERYBODY = ["ConditionalUser", "ConfigUser", "FollowingUser", "HotKeyUser", "LinearizableUser", "SynchronousUser"]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningFleet]:
    """Two instances with tokens."""
    need_haproxy()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("API_TOKENS", TOKENS)
        with running_fleet(tmp_path_factory.mktemp("fleet"), 2) as running:
            yield running


class Page:
    """What the page in a browser asks of locust."""

    def __init__(self, address: str) -> None:
        self._address = address

    def shows(self, text: str) -> bool:
        """Whether it is there, and says so."""
        try:
            return text in requests.get(self._address, timeout=2).text
        except requests.ConnectionError:
            return False

    def start(self, host: str, users: list[str]) -> dict[str, Any]:
        """Fills in the form and sends it, with every field that the page sends."""
        form = {
            "shape_class": "Default",
            "user_count": "10",
            "spawn_rate": "10",
            "host": host,
            "run_time": "",
            "profile": "",
            "user_classes": users,
        }
        return self._post("swarm", form)

    def rows(self) -> dict[str, int]:
        """How many requests of each kind there were by now. Raises AssertionError if one has failed."""
        told = self._told()
        assert told["errors"] == []
        return {row["name"]: row["num_requests"] for row in told["stats"]}

    def state(self) -> str:
        """Of the run."""
        return str(self._told()["state"])

    def stop(self) -> None:
        """Waits until the last user has gone."""
        assert requests.post(f"{self._address}/stop", timeout=30).json()["success"] is True
        assert within(20, lambda: self.state() == "stopped")

    def _told(self) -> dict[str, Any]:
        told: dict[str, Any] = requests.get(f"{self._address}/stats/requests", timeout=5).json()
        return told

    def _post(self, path: str, form: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = requests.post(f"{self._address}/{path}", data=form, timeout=10).json()
        return answer


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """`locust --class-picker`, on a port of its own. Its log never shows the token."""
    (port,) = free_ports(1)
    log = tmp_path_factory.mktemp("locust") / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "locust", "--class-picker", "--web-host", "127.0.0.1", "--web-port", str(port)],
            cwd=ROOT,
            env={**os.environ, "LOAD_PAUSE": "0.05", "LOAD_TOKEN": TOKEN},
            stdout=output,
            stderr=output,
        )
    try:
        page = Page(f"http://127.0.0.1:{port}")
        assert within(20, lambda: page.shows("ConfigUser")), log.read_text()
        yield page
        process.terminate()
        assert process.wait(20) == 0, log.read_text()
        assert TOKEN not in log.read_text()
    finally:
        process.kill()
        process.wait(5)


@pytest.mark.parametrize(
    ("chosen", "shown"),
    [
        (["ConfigUser"], {"PUT", "GET use_cache=true", "GET use_cache=false"}),
        (["ConditionalUser", "HotKeyUser"], {"GET hot", "PUT if-match"}),
        (["HotKeyUser", "SynchronousUser"], {"GET hot", "PUT sync=true"}),
    ],
)
def test_run_with_chosen_users_is_started_watched_and_stopped(
    page: Page, fleet: RunningFleet, chosen: list[str], shown: set[str]
) -> None:
    """0 failures, nobody else's requests, and nothing left behind, of which the next run would have to know."""
    assert all(page.shows(user) for user in EVERYBODY)
    started = page.start(fleet.address, chosen)
    assert (started["success"], started["host"], started["user_classes"]) == (True, fleet.address, chosen)
    assert within(20, lambda: all(page.rows().get(name, 0) > 5 for name in shown)), page.rows()
    page.stop()
    others = {"PUT if-match", "GET consistency=linearizable", "PUT sync=true", "GET use_cache=true", "GET hot"} - shown
    assert page.rows().keys() & others == set()
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    left = requests.get(f"{fleet.address}/config/?prefix=performance_tests/", headers=bearer, timeout=5).json()
    assert left["keys"] == []
