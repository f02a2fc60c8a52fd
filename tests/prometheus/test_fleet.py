"""A real Prometheus with the deployed files, over three real instances: found, counted, drawn, alerted on.

One Prometheus and one fleet for all tests here; only the place of the service and the intervals are not the deployed
ones. Whatever is waited for is asked of Prometheus.
"""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.prometheus import deployed
from tests.support.etcd import EtcdServer, wait_for
from tests.support.instances import InstanceProcess
from tests.support.meanwhile import meanwhile
from tests.support.prometheus import PrometheusProcess

pytestmark = pytest.mark.lasting

ALERT = "ConfigProofsMissing"
LOST, HALVED, MISSING = "ConfigInstancesLost", "ConfigFleetHalved", "ConfigInstancesMissing"
PREFIX = "/prometheus"
SOON = 30.0


class Observed(NamedTuple):
    """The fleet and who looks at it."""

    etcd: EtcdServer
    instances: list[InstanceProcess]
    prometheus: PrometheusProcess

    def addresses(self) -> set[str]:
        """Of the instances, as Prometheus calls them."""
        return {address(instance) for instance in self.instances}


def address(instance: InstanceProcess) -> str:
    """host:port."""
    return f"127.0.0.1:{instance.port}"


@pytest.fixture(scope="module")
def observed(new_etcd: type[EtcdServer], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Observed]:
    here = tmp_path_factory.mktemp("prometheus")
    with ExitStack() as stack:
        etcd = stack.enter_context(new_etcd(here / "etcd"))
        instances = [InstanceProcess(here / str(number), **etcd.settings(PREFIX)).start() for number in range(3)]
        for instance in instances:
            stack.callback(instance.kill)
        for instance in instances:
            instance.wait_until_ready().wait_for_slot()
        configuration = deployed.copy_to(here / "deployed", instances[0].url)
        deployed.shorten(configuration, ALERT)
        prometheus = stack.enter_context(PrometheusProcess(configuration, here / "storage"))
        yield Observed(etcd, instances, prometheus)


def test_every_instance_is_found_and_scraped(
    observed: Observed, record_property: Callable[[str, object], None]
) -> None:
    """By discovery: the configuration names one URL and no instance."""
    prometheus = observed.prometheus
    wait_for(lambda: set(prometheus.up()) == observed.addresses(), SOON, "all targets are up")
    targets = prometheus.up()
    assert [set(labels) for labels in targets.values()] == [{"job", "instance", "slot"}] * 3
    slots = {address(instance): f"{instance.wait_for_slot():02}" for instance in observed.instances}
    assert {target: labels["slot"] for target, labels in targets.items()} == slots
    record_property("targets", json.dumps(targets, indent=1))
    print(json.dumps(targets, indent=1))  # noqa: T201  # for the record: pytest -s


def test_hits_and_misses_arrive_at_the_instance_that_had_them(observed: Observed) -> None:
    reader, idle, _ = observed.instances
    prometheus = observed.prometheus
    reader.put("counted", b"1")

    def reads(instance: InstanceProcess, source: str) -> float:
        return prometheus.value(f'config_cache_reads_total{{instance="{address(instance)}",source="{source}"}}')

    wait_for(lambda: {address(reader), address(idle)} <= set(prometheus.up()), SOON, "both are scraped")
    before = {source: reads(reader, source) for source in ("hit", "miss", "bypass")}
    elsewhere = reads(idle, "hit")
    answers = [reader.get("counted") for _ in range(20)]
    answers += [reader.get("counted", params={"use_cache": "false"}) for _ in range(3)]
    told = Counter(answer.headers["X-Cache"].lower() for answer in answers)
    assert told["hit"] >= 15
    assert told["bypass"] == 3
    expected = {source: count + told[source] for source, count in before.items()}
    wait_for(lambda: {source: reads(reader, source) for source in expected} == expected, SOON, str(expected))
    assert reads(idle, "hit") == elsewhere


def test_every_query_of_rules_and_dashboard_gives_numbers(observed: Observed) -> None:
    """Under some load of all kinds. What counts failures gives 0, not nothing."""
    instances, prometheus = observed.instances, observed.prometheus
    turns = itertools.count()

    def use() -> None:
        instance = instances[next(turns) % len(instances)]
        instance.put("k", b"1", params={"sync": "true"})
        instance.get("k")
        instance.get("k")
        instance.delete("k")

    wanted = [*deployed.queries(), *(rule["record"] for rule in deployed.rules() if "record" in rule)]
    assert len(wanted) > 35
    with meanwhile([use], pause=0.05):
        for expression in wanted:
            wait_for(lambda e=expression: has_numbers(prometheus, e), SOON, expression)  # type: ignore[misc]
    for alert in deployed.alerts():
        prometheus.query(alert["expr"])  # fails if there is anything wrong with it
    assert {rule["health"] for rule in prometheus.rules()} == {"ok"}


def has_numbers(prometheus: PrometheusProcess, expression: str) -> bool:
    """Whether it gives at least one series with a number."""
    return any(each["value"][1] != "NaN" for each in prometheus.query(expression))


def test_an_instance_that_comes_is_found_and_one_that_goes_is_forgotten(observed: Observed, tmp_path: Path) -> None:
    prometheus = observed.prometheus
    with InstanceProcess(tmp_path, **observed.etcd.settings(PREFIX)) as fourth:
        wait_for(lambda: address(fourth) in prometheus.up(), SOON, "the fourth is found")
        assert prometheus.up()[address(fourth)]["slot"] == f"{fourth.wait_for_slot():02}"
        wait_for(lambda: prometheus.query("max(config_members)")[0]["value"][1] == "4", SOON, "all see it")
        fourth.stop()
        wait_for(lambda: set(prometheus.targets()) == observed.addresses(), SOON, "it is forgotten")


@pytest.mark.fault("3 of 4 instances killed")
def test_of_those_who_are_killed_the_others_tell_and_of_those_who_stop_nobody(
    observed: Observed, tmp_path: Path
) -> None:
    """By the time the alert comes, the targets of the killed are forgotten."""
    settings = {**observed.etcd.settings("/prometheus-losses"), "LEASE_TTL": "2", "EXPECTED_INSTANCES": "4"}
    with ExitStack() as stack:
        fleet = [stack.enter_context(InstanceProcess(tmp_path / str(number), **settings)) for number in range(4)]
        for instance in fleet:
            instance.wait_for_slot()
        configuration = deployed.copy_to(tmp_path / "deployed", fleet[0].url)
        for name in (LOST, HALVED, MISSING):
            deployed.shorten(configuration, name)
        with PrometheusProcess(configuration, tmp_path / "storage") as prometheus:
            wait_for(lambda: set(prometheus.up()) == set(map(address, fleet)), SOON, "all are scraped")
            wait_for(lambda: prometheus.query("max(config_fleet_instances)")[0]["value"][1] == "4", SOON, "as a fleet")
            assert fleet[3].stop() == 0
            wait_for(lambda: bool(prometheus.firing(MISSING)), SOON, "three of four")
            assert prometheus.query('max(config_fleet_departed{how="left"})')[0]["value"][1] == "1"
            assert (prometheus.firing(LOST), prometheus.firing(HALVED)) == ([], [])

            for instance in fleet[1:3]:
                instance.kill()
            wait_for(lambda: set(prometheus.targets()) == {address(fleet[0])}, SOON, "the killed are forgotten")
            wait_for(lambda: bool(prometheus.firing(LOST) and prometheus.firing(HALVED)), SOON, "and told of")
            (alert,) = prometheus.firing(LOST)
            assert alert["annotations"]["description"].startswith("2 within the last hour: killed, hung, or cut off")
            assert set(prometheus.targets()) == {address(fleet[0])}


def test_an_alert_comes_when_etcd_hangs_and_goes_when_it_is_back(observed: Observed) -> None:
    """And no target is lost meanwhile, though the instance that tells of them starts anew and knows of none."""
    etcd, (teller, *others), prometheus = observed
    wait_for(lambda: set(prometheus.up()) == observed.addresses(), SOON, "all targets are up")
    assert prometheus.firing(ALERT) == []
    etcd.pause()
    try:
        wait_for(lambda: alerted(prometheus) == observed.addresses(), SOON, "the alert for each instance")
        [alert, *_] = prometheus.firing(ALERT)
        assert alert["annotations"]["summary"] == f"{alert['labels']['instance']} can't prove that its cache is fresh"
        assert re.match(r"The last proof is \d+(\.\d+)?s old, ", alert["annotations"]["description"])
        listed = teller.request("GET", "/members/targets").json()
        assert {target for entry in listed for target in entry["targets"]} == observed.addresses()

        teller.kill()
        teller.start()
        wait_for(lambda: teller.answers(503, "/members/targets"), SOON, "it answers, and knows nobody")
        failures = prometheus.counter("prometheus_sd_http_failures_total")
        wait_for(lambda: prometheus.counter("prometheus_sd_http_failures_total") > failures, SOON, "it was asked")
        wait_for(lambda: set(prometheus.up()) == observed.addresses(), SOON, "all targets are up, as before")
        assert alerted(prometheus) == {address(instance) for instance in others}
    finally:
        etcd.resume()
    wait_for(lambda: prometheus.firing(ALERT) == [], SOON, "the alert ends")
    wait_for(lambda: prometheus.query("sum(config_ready)")[0]["value"][1] == "3", SOON, "all are ready")
    assert set(prometheus.targets()) == observed.addresses()


def alerted(prometheus: PrometheusProcess) -> set[str]:
    """The instances that the alert is about."""
    return {alert["labels"]["instance"] for alert in prometheus.firing(ALERT)}


def test_with_a_token_to_observe_the_fleet_is_found_and_scraped(observed: Observed, tmp_path: Path) -> None:
    """With the lines of the configuration that are comments where there are no tokens."""
    token = "observe-0123456789-abcdef"
    tokens = json.dumps([{"name": "prometheus", "token": token, "scopes": ["observe"]}])
    instance = InstanceProcess(tmp_path / "0", **observed.etcd.settings("/prometheus-tokens"), API_TOKENS=tokens)
    with instance:
        configuration = deployed.copy_to(tmp_path / "deployed", instance.url, with_tokens=True)
        file = configuration.parent / "config-service.token"
        file.write_text("not-the-token-0123456789\n")
        with PrometheusProcess(configuration, tmp_path / "storage") as prometheus:
            wait_for(lambda: prometheus.counter("prometheus_sd_http_failures_total") > 0, SOON, "it is refused")
            assert prometheus.targets() == {}
            file.write_text(f"{token}\n")
            wait_for(lambda: set(prometheus.up()) == {address(instance)}, SOON, "it is let in")
            wait_for(lambda: has_numbers(prometheus, "config_ready == 1"), SOON, "and told something")
