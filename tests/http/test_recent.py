"""The last minutes of an instance, as they are kept and told."""

from __future__ import annotations

from dataclasses import replace

from metrics import Totals
from service.fleet.recent import KEPT, Recent
from tests.http.conftest import StartGateway
from tests.metrics.sample import STATUS


class Life:
    """An instance whose counts and clock are set by hand."""

    def __init__(self) -> None:
        self.now = 100.0
        self.totals = Totals({"hit": 0, "miss": 0}, requests=0, errors=0)
        self.proof_age: float | None = None
        self.recent = Recent(lambda: replace(STATUS, proof_age=self.proof_age), lambda: self.totals, lambda: self.now)


def test_samples_are_told_with_how_long_ago_they_were() -> None:
    life = Life()
    life.recent.take()
    life.now, life.proof_age = 105.0, 0.25
    life.totals = Totals({"hit": 7, "miss": 3}, requests=12, errors=0)
    life.recent.take()
    life.now = 106.5
    assert life.recent.ago() == [(6.5, 0, 0, 0, None), (1.5, 12, 10, 7, 0.25)]


def test_no_more_are_kept_than_are_shown() -> None:
    life = Life()
    for _ in range(3 * KEPT):
        life.now += 5.0
        life.recent.take()
    kept = life.recent.ago()
    assert len(kept) == KEPT
    assert (kept[0][0], kept[-1][0]) == (5.0 * (KEPT - 1), 0.0)


def test_they_are_told_only_if_asked_for(gateways: StartGateway) -> None:
    gateway = gateways()
    for path in ("/members/me", "/members/states"):
        assert "recent" not in gateway.ask("GET", path).text
        assert "recent" in gateway.ask("GET", f"{path}?recent=true").text
        assert gateway.ask("GET", f"{path}?recent=perhaps").status_code == 400
        assert gateway.ask("GET", f"{path}?other=true").status_code == 400
