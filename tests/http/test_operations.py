"""What operators, load balancers and Prometheus ask: health, readiness, the fleet, metrics."""

from __future__ import annotations

import datetime
import json
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from consistency.core.model import Departure, Member, Status
from consistency.core.store import Unavailable
from service.fleet.departed import departed
from service.fleet.members import fleet, targets
from service.fleet.probes import readiness
from service.fleet.states import mine
from tests.http.conftest import Gateway, StartGateway
from tests.support.etcd import wait_for

READY = Status(
    why_not_ready="", slot=3, horizon=9, proof_age=0.1234, fresh=True, entries=0, bytes=0, watch_up=True, members=()
)


def member(slot: int, description: str) -> Member:
    return Member(slot=slot, lease=255, created=7, description=description)


def test_an_instance_is_alive_and_ready(gateway: Gateway) -> None:
    """Two questions: restart it? send it requests?"""
    wait_for(lambda: len(gateway.cache.status().members) == 1)
    assert gateway.ask("GET", "/healthz").status_code == 200
    ready = gateway.ask("GET", "/readyz")
    assert ready.status_code == 200
    assert ready.get_json() | {"proof_age": 0, "horizon": 0} == {
        "ready": True, "why_not": "", "routed": True, "draining": False, "member": True, "slot": 0, "fresh": True,
        "proof_age": 0, "watch_up": True, "horizon": 0, "instances": 1, "expected": 0, "warning": "",
    }  # fmt: skip


def test_a_draining_instance_is_not_ready_but_goes_on_answering(gateway: Gateway) -> None:
    """Readiness goes off before the drain, so that no request is lost while the balancer notices."""
    gateway.answering.start_draining()
    ready = gateway.ask("GET", "/readyz")
    assert (ready.status_code, ready.headers["Retry-After"]) == (503, "1")
    assert ready.get_json()["draining"] is True
    assert "shutting down" in ready.get_json()["why_not"]
    assert gateway.ask("GET", "/healthz").status_code == 200
    assert gateway.ask("PUT", "/config/a", b"1").status_code == 201


def test_an_instance_without_a_slot_is_ready() -> None:
    """The 65th instance serves everything, uncached, and says so (rule 9)."""
    answer = readiness(replace(READY, slot=None, fresh=False), draining=False)
    document = json.loads(answer.body)
    assert (answer.status, document["member"], document["slot"]) == (200, False, None)


def test_that_others_are_missing_is_told_and_makes_nobody_unready() -> None:
    """To take the last instance out of the balancer because it is the last one would be the end."""
    alone = replace(READY, members=(member(3, "{}"),))
    for expected, warning in ((0, ""), (1, ""), (4, "1 of 4 expected instances are here")):
        answer = readiness(alone, draining=False, expected=expected)
        document = json.loads(answer.body)
        assert (answer.status, document["instances"], document["expected"]) == (200, 1, expected)
        assert document["warning"] == warning
    unsure = readiness(replace(alone, watch_up=False), draining=False, expected=4)
    assert json.loads(unsure.body)["warning"] == ""


@pytest.mark.parametrize(
    ("why_not_ready", "why_not_routed", "draining", "statuses"),
    [
        pytest.param("", "", False, (200, 200), id="well"),
        pytest.param("etcd has not answered for 9 s", "", False, (503, 200), id="etcd is away"),
        pytest.param("etcd has not answered yet", "etcd has not answered yet", False, (503, 503), id="starting"),
        pytest.param("", "", True, (503, 503), id="draining"),
        pytest.param("etcd has not answered for 9 s", "", True, (503, 503), id="draining while etcd is away"),
    ],
)
def test_readiness_is_for_preferring_and_for_routing(
    why_not_ready: str, why_not_routed: str, draining: bool, statuses: tuple[int, int]
) -> None:
    """A balancer that walls off whoever is not ready takes away what such an instance can still answer."""
    status = replace(READY, why_not_ready=why_not_ready, why_not_routed=why_not_routed)
    strict, routing = (readiness(status, draining, routing=asked) for asked in (False, True))
    assert (strict.status, routing.status) == statuses
    assert strict.body == routing.body
    assert json.loads(strict.body)["routed"] == (routing.status == 200)


@pytest.mark.parametrize("query", ["for=", "for=all", "for=routing&for=routing", "for=Routing", "to=routing"])
def test_readiness_for_anything_else_is_refused(gateway: Gateway, query: str) -> None:
    """A check that was misspelt must not pass for another."""
    assert gateway.ask("GET", "/readyz?for=routing").status_code == 200
    assert gateway.ask("GET", f"/readyz?{query}").status_code == 400


def test_an_instance_that_is_not_ready_says_why() -> None:
    """In the words of the status."""
    answer = readiness(replace(READY, why_not_ready="etcd gives no answer", proof_age=None), draining=False)
    assert answer.status == 503
    assert json.loads(answer.body)["why_not"] == "etcd gives no answer"
    assert json.loads(answer.body)["proof_age"] is None


def test_every_instance_lists_the_fleet(gateways: StartGateway) -> None:
    """And which of them is answering."""
    instances = [gateways(), gateways()]
    for slot, gateway in enumerate(instances):
        wait_for(lambda gateway=gateway: len(gateway.cache.status().members) == 2)  # type: ignore[misc]
        found = gateway.ask("GET", "/members").get_json()
        assert (found["slots"], found["me"]) == (64, slot)
        assert [(entry["slot"], entry["me"]) for entry in found["members"]] == [(0, slot == 0), (1, slot == 1)]
        assert all(entry["description"] == {"address": "127.0.0.1:8080"} for entry in found["members"])
        assert all(entry["since_revision"] > 0 for entry in found["members"])


def test_the_fleet_is_told_with_those_who_have_gone(gateways: StartGateway) -> None:
    """How, and since when (rule 9)."""
    stays, leaves = gateways(), gateways()
    wait_for(lambda: len(stays.cache.status().members) == 2)
    leaves.cache.close()
    wait_for(lambda: len(stays.ask("GET", "/members").get_json()["departed"]) == 1)
    (gone,) = stays.ask("GET", "/members").get_json()["departed"]
    assert (gone["slot"], gone["how"], gone["address"]) == (1, "left", "127.0.0.1:8080")
    at = datetime.datetime.fromisoformat(gone["at"])
    assert abs((datetime.datetime.now(datetime.UTC) - at).total_seconds() - gone["seconds_ago"]) < 2


def test_when_somebody_left_is_shown_whatever_clock_wrote_it_down() -> None:
    """One that is ahead of ours must not make a time that is less than nothing."""
    ahead = Departure(0xBEE, None, "lost", 1_000.0, "[]")
    (row,) = departed(replace(READY, departed=(ahead,)), now=900.0)
    assert row == {
        "slot": None, "how": "lost", "at": "1970-01-01T00:16:40+00:00", "seconds_ago": 0, "address": "",
        "lease": "bee", "description": {},
    }  # fmt: skip


def test_the_targets_are_in_the_format_of_prometheus(gateway: Gateway) -> None:
    """HTTP service discovery: a JSON list of targets with labels, all of them strings."""
    answer = gateway.ask("GET", "/members/targets")
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.get_json() == [{"targets": ["127.0.0.1:8080"], "labels": {"slot": "00"}}]


def test_labels_are_what_outlives_a_restart() -> None:
    """A pid among them would make a new series at each start; as a meta label it can still be kept on purpose."""
    about = {"address": "h:1", "guid": "g", "pid": 7, "started": "2026-11-22T22:00:00Z"}
    [target] = targets(replace(READY, members=(member(3, json.dumps(about)),)))
    assert target["labels"] == {
        "slot": "03", "guid": "g", "__meta_config_pid": "7", "__meta_config_started": "2026-11-22T22:00:00Z",
    }  # fmt: skip


def test_a_ghost_is_not_scraped_beside_its_successor() -> None:
    """kill -9, and a new start on the same port: the old slot is held until its lease ends."""
    about = '{"address": "h:1"}'
    slots = (Member(0, 1, 5, about), Member(1, 2, 9, about), Member(2, 3, 7, '{"address": "h:2"}'))
    assert [(target["labels"]["slot"], *target["targets"]) for target in targets(replace(READY, members=slots))] == [
        ("01", "h:1"),
        ("02", "h:2"),
    ]


def test_who_waits_for_a_slot_is_listed_and_scraped_after_all_others() -> None:
    """It has no slot for a label; and each of them knows which one it is itself."""
    waiting = (Member(None, 5, 9, '{"address": "h:3"}'), Member(None, 6, 10, '{"address": "h:4"}'))
    full = replace(READY, slot=None, members=(member(3, '{"address": "h:1"}'),), waiting=waiting, lease=6)
    assert targets(full) == [
        {"targets": ["h:1"], "labels": {"slot": "03"}},
        {"targets": ["h:3"], "labels": {}},
        {"targets": ["h:4"], "labels": {}},
    ]
    told = fleet(full)
    assert [each["me"] for each in told["members"] + told["waiting"]] == [False, False, True]
    assert mine(full, {})["address"] == "h:4"
    assert mine(replace(full, lease=0), {})["address"] == ""  # not seen by the others: itself alone knows it


def test_who_knows_of_no_member_does_not_say_that_there_is_none() -> None:
    """An empty list would take all targets away from Prometheus."""
    with pytest.raises(Unavailable, match="no member"):
        targets(READY)


@pytest.mark.parametrize(
    "description",
    [
        "",
        "not json",
        "[]",
        "null",
        "{}",
        '{"address": 8080}',
        '{"address": ""}',
        '{"address": "host"}',
        '{"address": ":80"}',
        '{"address": "http://h:1"}',
        '{"address": "h:x"}',
        "[" * 100_000,
    ],
)
def test_a_description_nobody_understands_is_left_out(description: str) -> None:
    """Another release wrote it, or a person: the fleet is shown nevertheless."""
    status = replace(READY, members=(member(2, description), member(3, '{"address": "[::1]:80"}')))
    assert [target["targets"] for target in targets(status)] == [["[::1]:80"]]
    shown: list[dict[str, Any]] = fleet(status)["members"]
    assert [entry["slot"] for entry in shown] == [2, 3]


def test_requests_are_counted_by_route_and_never_by_path(gateway: Gateway) -> None:
    """A label's values are bounded: no key, no unknown path and no invented method may become one."""
    gateway.ask("PUT", "/config/secret", b"1")
    gateway.ask("GET", "/config/absent")
    gateway.ask("GET", "/config/")
    gateway.ask("GET", "/secret")
    gateway.ask("BREW", "/config/secret", b"")
    gateway.ask_raw("GET", b"//secret")
    text = gateway.ask("GET", "/metrics").text
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    counted = {
        (sample.labels["method"], sample.labels["route"], sample.labels["status"])
        for sample in samples
        if sample.name == "config_http_requests_total"
    }
    assert counted == {
        ("PUT", "/config/<key>", "201"),
        ("GET", "/config/<key>", "404"),
        ("GET", "/config/", "200"),
        ("GET", "unknown", "404"),
        ("other", "unknown", "405"),
    }
    assert "secret" not in text


def test_nothing_operational_is_kept_by_caches(gateway: Gateway) -> None:
    """A readiness from a minute ago would be a lie."""
    for path in ("/healthz", "/readyz", "/members", "/members/targets", "/members/me", "/members/states", "/metrics"):
        answer = gateway.ask("GET", path)
        assert answer.headers["Cache-Control"] == "no-store"
