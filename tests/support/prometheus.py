"""A real Prometheus, as Debian packages it: where its programs are, and one process of it with a configuration.

Owns the process, which dies with the thread that started it. Whatever is waited for is asked of its API.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import requests
from prometheus_client.parser import text_string_to_metric_families

from tests.support.etcd import dying_with_us, free_ports, wait_for
from tests.support.unavailable import unavailable
from tools.processes import listens

START_WITHIN = 20.0
STOP_WITHIN = 5.0

QUICKLY = "--scrape.discovery-reload-interval=1s"
"""A hidden argument, for tests: how long what is discovered may wait to be scraped; 5 s unless told otherwise."""


def program(name: str) -> str:
    """The path of `prometheus` or `promtool`. Skips the test where it is missing."""
    found = shutil.which(name)
    if found is None:
        unavailable(f"{name} is not on PATH: install the package `prometheus`")
    return found


class PrometheusProcess:
    """One Prometheus over a configuration file. As a context manager it starts, and answers when it is entered."""

    def __init__(self, configuration: Path, storage: Path) -> None:
        self._configuration = configuration
        self._storage = storage
        self._log = storage.with_suffix(".log")
        self.port = free_ports(1)[0]
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        command = [
            program("prometheus"),
            f"--config.file={self._configuration}",
            f"--storage.tsdb.path={self._storage}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            QUICKLY,
        ]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                dying_with_us(command), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self._log.parent
            )
        wait_for(self._is_ready, START_WITHIN, "Prometheus is ready")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait(STOP_WITHIN)

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series that it evaluates to, now. Raises AssertionError, with what is wrong with it."""
        vector: list[dict[str, Any]] = self._api("query", query=expression)["result"]
        return vector

    def value(self, expression: str) -> float:
        """Of its only series. Raises AssertionError when there is another number of them."""
        series = self.query(expression)
        assert len(series) == 1, (expression, series)
        return float(series[0]["value"][1])

    def targets(self) -> dict[str, dict[str, Any]]:
        """What is scraped, by the label `instance`."""
        found = self._api("targets", state="active")["activeTargets"]
        return {target["labels"]["instance"]: target for target in found}

    def up(self) -> dict[str, dict[str, str]]:
        """The labels of the targets whose last scrape went well, by the label `instance`."""
        return {name: target["labels"] for name, target in self.targets().items() if target["health"] == "up"}

    def rules(self) -> list[dict[str, Any]]:
        """All of them, with their `health`."""
        return [rule for group in self._api("rules")["groups"] for rule in group["rules"]]

    def counter(self, metric: str) -> float:
        """One of its own."""
        families = text_string_to_metric_families(self._get("/metrics", {}).text)
        return sum(sample.value for family in families for sample in family.samples if sample.name == metric)

    def firing(self, alert: str) -> list[dict[str, Any]]:
        """The alerts of this name that have lasted for long enough."""
        alerts = self._api("alerts")["alerts"]
        return [each for each in alerts if each["labels"]["alertname"] == alert and each["state"] == "firing"]

    def printed(self) -> str:
        """Its log."""
        return self._log.read_text(errors="replace")

    def _api(self, path: str, **parameters: str) -> Any:
        answer = self._get(f"/api/v1/{path}", parameters).json()
        assert answer["status"] == "success", (parameters, answer)
        return answer["data"]

    def _get(self, path: str, parameters: dict[str, str]) -> requests.Response:
        with requests.Session() as session:
            session.trust_env = False
            return session.get(self.url + path, params=parameters, timeout=10)

    def _is_ready(self) -> bool:
        assert self._process.poll() is None, self.printed()
        try:
            return self._get("/-/ready", {}).ok and listens(self._process.pid, self.port)
        except requests.RequestException:
            return False
