"""docs/operations.md: its alerts are rules that Prometheus takes, on metrics that exist, each with something to do."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.request_log import LOGGER
from tests.metrics.test_documentation import documented
from tests.metrics.test_exposition import promtool
from tests.support.instances import PROJECT

DOCUMENT = (PROJECT / "docs" / "operations.md").read_text(encoding="utf-8")
PAGES = [*sorted((PROJECT / "docs").glob("*.md")), PROJECT / "README.md", PROJECT / "PROTOCOL.md"]


def rules() -> str:
    (block,) = re.findall(r"^```yaml\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)
    return str(block)


def alerts() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load(rules())["groups"][0]["rules"]
    return found


def section(title: str) -> str:
    return DOCUMENT.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def test_prometheus_takes_the_rules(tmp_path: Path) -> None:
    file = tmp_path / "rules.yml"
    file.write_text(rules())
    done = subprocess.run([promtool(), "check", "rules", file], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_rules_are_about_metrics_that_exist() -> None:
    """A metric that is renamed would make its alert fall silent."""
    used = {name for alert in alerts() for name in re.findall(r"\b(?:config|process)_\w+", alert["expr"])}
    assert {name.removesuffix("_bucket") for name in used} <= set(documented())


@pytest.mark.parametrize("label", ["source", "cause", "outcome"])
def test_the_rules_use_values_that_labels_have(label: str) -> None:
    metrics = (PROJECT / "docs" / "metrics.md").read_text() + (PROJECT / "consistency" / "store.py").read_text()
    for value in re.findall(rf'\b{label}="([^"]+)"', rules()):
        as_class = value.title().replace("_", "")  # the outcome of a call is the name of an error
        assert f"`{value}`" in metrics or f"class {as_class}(" in metrics, value


def test_there_is_something_to_do_for_each_alert() -> None:
    table = section("Metrics and alerts").partition("| alert |")[2]
    named = re.findall(r"`(Config\w+)`", "".join(line.split("|")[1] for line in table.splitlines()[2:] if "|" in line))
    assert sorted(named) == sorted(alert["alert"] for alert in alerts())


def test_every_check_of_the_doctor_is_described() -> None:
    sources = "".join(file.read_text() for file in (PROJECT / "service" / "doctor").glob("*.py"))
    checks = set(re.findall(r'\b(?:ok|warning|wrong|blame)\(\s*"(\w+)"', sources))
    assert len(checks) > 10
    rows = [line.split("|")[1] for line in section("The doctor").splitlines() if line.startswith("| `")]
    assert set(re.findall(r"`(\w+)`", "".join(rows))) == checks


def test_the_logger_of_requests_is_described() -> None:
    assert f"`{LOGGER}`" in section("Logs")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target, heading in re.findall(r"\]\((?!https?://)([^)#]*)#?([^)]*)\)", text):
        file = (page.parent / target).resolve() if target else page
        assert file.exists(), target
        if heading:
            titles = re.findall(r"^#+ (.*)", file.read_text(encoding="utf-8"), re.MULTILINE)
            assert heading in [re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles], heading
