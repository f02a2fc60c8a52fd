"""deploy/grafana/dashboard.json, as Grafana will read it. What its queries give is asked of a Prometheus elsewhere."""

from __future__ import annotations

import json
import re
from itertools import combinations
from typing import Any

import pytest

from tests.prometheus.deployed import dashboard

COLUMNS = 24
WHAT_GRAFANA_KNOWS = {"__rate_interval"}

PANELS: list[dict[str, Any]] = dashboard()["panels"]
SHOWN = [panel for panel in PANELS if panel["type"] != "row"]


def test_every_panel_has_an_id_of_its_own() -> None:
    assert len({panel["id"] for panel in PANELS}) == len(PANELS) > 15


def test_panels_lie_within_the_columns_and_on_no_other() -> None:
    places = [panel["gridPos"] for panel in PANELS]
    for place in places:
        assert place["x"] >= 0 < place["w"]
        assert place["x"] + place["w"] <= COLUMNS
        assert place["y"] >= 0 < place["h"]
    for one, other in combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        apart = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or apart, (one, other)


@pytest.mark.parametrize("panel", SHOWN, ids=lambda panel: f"{panel['id']}-{panel['title']}")
def test_a_panel_tells_what_it_shows_and_asks_the_chosen_prometheus(panel: dict[str, Any]) -> None:
    assert panel["description"].endswith(".")
    assert panel["targets"]
    assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
    for asker in (panel, *panel["targets"]):
        assert asker["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    for target in panel["targets"]:
        assert "$job" in target["expr"], "another job's series of the same name are not this fleet's"


def test_every_variable_is_defined_and_every_one_defined_is_used() -> None:
    """Each may use those before it."""
    board = dashboard()
    defined: set[str] = set()
    for variable in board["templating"]["list"]:
        assert used_in(variable) <= defined
        defined.add(variable["name"])
    assert used_in(board) == defined | WHAT_GRAFANA_KNOWS


def test_all_instances_are_shown_at_first() -> None:
    """As a regular expression for everything: the queries match by `=~`."""
    (instance,) = (each for each in dashboard()["templating"]["list"] if each["name"] == "instance")
    assert (instance["includeAll"], instance["multi"], instance["allValue"]) == (True, True, ".*")


def used_in(part: dict[str, Any]) -> set[str]:
    """The names of variables in any text of it."""
    return set(re.findall(r"\$\{?(\w+)\}?", json.dumps(part)))
