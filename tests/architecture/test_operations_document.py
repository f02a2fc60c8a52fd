"""docs/operations.md: something to do for each alert; the checks and the logger that there are; links that lead on."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from service.http.requests import LOGGER
from tests.prometheus.deployed import alerts
from tests.support.instances import PROJECT

DOCUMENT = (PROJECT / "docs" / "operations.md").read_text(encoding="utf-8")
PAGES = [*sorted((PROJECT / "docs").glob("*.md")), PROJECT / "README.md", PROJECT / "PROTOCOL.md"]


def section(title: str) -> str:
    return DOCUMENT.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def test_there_is_something_to_do_for_each_alert() -> None:
    """In the order of the rules, and for no other."""
    told = re.findall(r"^#### (\w+)\n\n(?!#)\S", section("Metrics and alerts"), re.MULTILINE)
    assert told == [alert["alert"] for alert in alerts()]


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
