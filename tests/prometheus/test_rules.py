"""deploy/prometheus by itself: Prometheus takes it, its cases hold, and it speaks of metrics that exist."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from consistency.core.model import SLOTS
from metrics import Instruments
from tests.metrics.sample import exercised
from tests.metrics.test_documentation import documented
from tests.prometheus.deployed import CASES, CONFIGURATION, JOB, RULES, alerts, names_in, queries, rules
from tests.support.instances import PROJECT
from tests.support.prometheus import program

EXPRESSIONS = [rule["expr"] for rule in rules()] + queries()


def promtool(*arguments: str | Path) -> tuple[int, str]:
    """Its exit code, and all that it had to say."""
    done = subprocess.run([program("promtool"), *arguments], capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


def test_prometheus_takes_the_configuration_and_its_rules() -> None:
    code, said = promtool("check", "config", CONFIGURATION)
    assert code == 0, said
    assert f"SUCCESS: {len(RULES)} rule files found" in said


@pytest.mark.lasting
@pytest.mark.parametrize("file", CASES, ids=lambda file: file.stem)
def test_alerts_come_when_they_should(file: Path) -> None:
    code, said = promtool("test", "rules", file)
    assert code == 0, said


def test_a_case_that_does_not_hold_is_noticed(tmp_path: Path) -> None:
    """The check above can fail."""
    text = (CASES[0].parent / "fleet.yml").read_text().replace("../", f"{CASES[0].parent.parent}/")
    (tmp_path / "fleet.yml").write_text(text.replace("64x60 63x10", "63x70"))
    code, said = promtool("test", "rules", tmp_path / "fleet.yml")
    assert code != 0
    assert "ConfigMembersAtLimit" in said


def test_each_alert_has_a_case_for_and_one_against_it() -> None:
    checks = [
        check
        for file in CASES
        for case in yaml.safe_load(file.read_text())["tests"]
        for check in case["alert_rule_test"]
    ]
    for alert in alerts():
        outcomes = {bool(check["exp_alerts"]) for check in checks if check["alertname"] == alert["alert"]}
        assert outcomes == {True, False}, alert["alert"]


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert["alert"])
def test_an_alert_says_what_it_means_how_bad_it_is_and_where_to_read_on(alert: dict[str, Any]) -> None:
    assert alert["labels"] in ({"severity": "critical"}, {"severity": "warning"})
    assert re.fullmatch(r"\d+[smh]", alert["for"])
    assert list(alert["annotations"]) == ["summary", "description", "runbook"]
    file, _, heading = alert["annotations"]["runbook"].partition("#")
    titles = re.findall(r"^#### (\w+)$", (PROJECT / file).read_text(encoding="utf-8"), re.MULTILINE)
    assert heading == alert["alert"].lower()
    assert alert["alert"] in titles


def test_rules_and_dashboard_are_about_series_that_exist() -> None:
    """A metric that is renamed would make its alert fall silent, and its panel empty."""
    _, registry = exercised()
    exposed = {sample.name for family in registry.collect() for sample in family.samples}
    there = exposed | {rule["record"] for rule in rules() if "record" in rule} | {"up"}
    if not any(name.startswith("process_") for name in exposed):
        there |= set(documented())  # away from Linux there are no `process_` metrics
    asked = {name for expression in EXPRESSIONS for name in names_in(expression)}
    assert len(asked) > 30
    assert asked - there == set()


@pytest.mark.parametrize("label", ["source", "cause", "outcome", "kind", "history"])
def test_rules_and_dashboard_ask_for_values_that_labels_have(label: str) -> None:
    """Those that an instance shows from its start; so the first of them counts, whenever it comes.

    rate() and increase() see nothing in a counter that is born with its first failure.
    """
    text = Instruments().exposition()[0].decode()
    asked = {value for expression in EXPRESSIONS for value in re.findall(rf'\b{label}="([^"]+)"', expression)}
    assert {value for value in asked if f'{label}="{value}"' not in text} == set()


def test_every_counter_of_which_one_is_news_is_there_from_the_start() -> None:
    text = Instruments().exposition()[0].decode()
    news = [found for alert in alerts() for found in re.findall(r"increase\((\w+)", alert["expr"])]
    assert len(news) > 5
    assert [name for name in news if not re.search(rf"^{name}\b", text, re.MULTILINE)] == []


def test_the_rules_know_how_many_slots_there_are() -> None:
    (alert,) = (alert for alert in alerts() if alert["alert"] == "ConfigMembersAtLimit")
    assert alert["expr"].endswith(f">= {SLOTS}")


def test_the_page_calls_a_loop_held_when_the_alert_does() -> None:
    (alert,) = (alert for alert in alerts() if alert["alert"] == "ConfigLoopHeld")
    verdict = (PROJECT / "service" / "site" / "page" / "verdict.js").read_text(encoding="utf-8")
    assert alert["expr"].partition(" > ")[2] == re.findall(r"HELD = ([\d.]+);", verdict)[0]


def test_the_rules_are_about_the_job_that_is_configured() -> None:
    (scraped,) = yaml.safe_load(CONFIGURATION.read_text())["scrape_configs"]
    assert scraped["job_name"] == JOB
    asked = {job for rule in rules() for job in re.findall(r'job="([^"]+)"', rule["expr"])}
    assert asked == {JOB}
