"""deploy/prometheus and deploy/grafana as they stand, and a copy of them to run against instances of a test.

The copy differs in where the service is and in how often Prometheus looks, and in nothing else.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import yaml

from tests.support.instances import PROJECT

HERE = PROJECT / "deploy" / "prometheus"
CONFIGURATION = HERE / "prometheus.yml"
RULES = [HERE / "recording.yml", HERE / "alerts.yml"]
CASES = sorted((HERE / "tests").glob("*.yml"))
DASHBOARD = PROJECT / "deploy" / "grafana" / "dashboard.json"

EVERY = "500ms"
DISCOVERED_EVERY = "1s"
JOB = "config-service"


def rules() -> list[dict[str, Any]]:
    """All of them, recording rules and alerts."""
    groups = [group for file in RULES for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]]
    return [rule for group in groups for rule in group["rules"]]


def alerts() -> list[dict[str, Any]]:
    """The rules that alert."""
    return [rule for rule in rules() if "alert" in rule]


def dashboard() -> dict[str, Any]:
    """As Grafana imports it."""
    board: dict[str, Any] = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    return board


def queries() -> list[str]:
    """Of all panels, with the variables at what Grafana puts in for them at first: everything."""
    found = [target["expr"] for panel in dashboard()["panels"] for target in panel.get("targets", ())]
    return [resolve(query) for query in found]


def resolve(query: str) -> str:
    """The query without variables. Raises AssertionError when there is one that nobody defines."""
    for name, value in (("__rate_interval", "1m"), ("job", JOB), ("instance", ".*")):
        query = query.replace(f"${name}", value)
    assert "$" not in query, query
    return query


def names_in(expression: str) -> set[str]:
    """The metrics, and the series that rules record, that an expression asks for."""
    bare = re.sub(r'"(?:[^"\\]|\\.)*"', "", expression)
    return set(re.findall(r"\b(?:\w+:[\w:]+|(?:config|process|python)_\w+|up\b(?!\())", bare))


def copy_to(directory: Path, url: str, *, with_tokens: bool = False) -> Path:
    """A copy for the service at `url`; the configuration in it. with_tokens: with the lines that are comments."""
    directory.mkdir(parents=True)
    for file in RULES:
        shutil.copy(file, directory)
    text = CONFIGURATION.read_text(encoding="utf-8").replace("http://localhost:8080/", f"{url}/")
    assert url in text
    text = re.sub(r"(scrape_interval|scrape_timeout|evaluation_interval): \d+s", rf"\1: {EVERY}", text)
    text = re.sub(r"refresh_interval: \d+s", f"refresh_interval: {DISCOVERED_EVERY}", text)
    if with_tokens:
        text, lines = re.subn(r"# (authorization:|  type:|  credentials_file:)", r"\1", text)
        assert lines == 5
    copy = directory / CONFIGURATION.name
    copy.write_text(text, encoding="utf-8")
    return copy


def shorten(configuration: Path, alert: str) -> None:
    """In a copy: an alert that lasts need not last."""
    file = configuration.parent / "alerts.yml"
    text, found = re.subn(
        rf"(- alert: {alert}\n(?:        .*\n)*?        for: )\d+[smh]", r"\g<1>0s", file.read_text(encoding="utf-8")
    )
    assert found == 1
    file.write_text(text, encoding="utf-8")
