"""What Prometheus gets to see: names it accepts, gauges that agree, labels that no client can multiply."""

from __future__ import annotations

import re
import subprocess
import time
from dataclasses import replace

from prometheus_client import CollectorRegistry

from consistency.core.events import ReadServed
from consistency.core.model import Source, Status
from metrics import Instruments
from metrics.build import version
from tests.metrics.sample import BOUND, EXPECTED, STATUS, exercised
from tests.support.holds import RUNS, most
from tests.support.prometheus import program


def lint(exposition: bytes) -> tuple[int, str]:
    """promtool's verdict and all it had to say."""
    checked = subprocess.run(
        [program("promtool"), "check", "metrics"], input=exposition, capture_output=True, timeout=30, check=False
    )
    return checked.returncode, (checked.stdout + checked.stderr).decode()


def test_promtool_has_nothing_to_say() -> None:
    """Names, types and help texts follow Prometheus' conventions, with every metric exposed."""
    body, _ = exercised()[0].exposition()
    assert lint(body) == (0, "")


def test_a_scrape_takes_the_interpreter_from_the_loop_for_less_than_5_ms() -> None:
    """Made on another thread; but while Python works there, the loop waits. Every metric exposed, of processor time."""
    instruments = exercised()[0]
    found = []
    for _ in range(RUNS):
        started = time.thread_time()
        body, _ = instruments.exposition()
        found.append(time.thread_time() - started)
    assert len(body) > 10_000
    assert min(found) < most()


def test_promtool_would_say_something() -> None:
    """The check above can fail: a counter without `_total` is reported."""
    status, said = lint(b"# HELP config_bad Bad.\n# TYPE config_bad counter\nconfig_bad 1\n")
    assert status != 0
    assert "_total" in said


def test_help_texts_are_full_sentences() -> None:
    """A capital at the start, a full stop at the end, for everything of ours."""
    body, content_type = exercised()[0].exposition()
    helps = re.findall(r"^# HELP (config_\w+) (.*)$", body.decode(), re.MULTILINE)
    assert len(helps) > 20
    assert [name for name, text in helps if not (text[0].isupper() and text.endswith("."))] == []
    assert content_type.startswith("text/plain; version=0.0.4")


def test_gauges_are_read_at_scrape_from_one_status() -> None:
    """Nothing asks for a status until Prometheus does; then once for all gauges."""
    asked: list[Status] = []

    def status() -> Status:
        asked.append(STATUS)
        return STATUS

    registry = CollectorRegistry(auto_describe=True)  # the kind that asks at once, if it can't ask otherwise
    instruments = Instruments(registry)
    instruments.track(status, BOUND, EXPECTED)
    assert asked == []
    body = instruments.exposition()[0].decode()
    assert len(asked) == 1
    for line in (
        "config_ready 1.0",
        "config_cache_fresh 1.0",
        "config_cache_entries 3.0",
        "config_cache_bytes 1024.0",
        "config_cache_horizon_revision 42.0",
        "config_cache_proof_age_seconds 0.25",
        "config_cache_staleness_bound_seconds 0.5",
        "config_watch_up 1.0",
        "config_members 2.0",
        "config_fleet_instances 2.0",
        "config_fleet_expected_instances 4.0",
        'config_fleet_departed{how="lost"} 2.0',
        'config_fleet_departed{how="left"} 1.0',
        'config_fleet_departed{how="back"} 0.0',
        "config_member_slot 7.0",
    ):
        assert f"\n{line}\n" in body


def test_instance_without_slot_and_proof_shows_minus_one_and_no_age() -> None:
    """Rule 9: it serves uncached and says so. An age that does not exist is not invented."""
    instruments = Instruments()
    nothing_works = replace(
        STATUS, slot=None, proof_age=None, fresh=False, watch_up=False, why_not_ready="etcd is away"
    )
    instruments.track(lambda: nothing_works, BOUND)
    body = instruments.exposition()[0].decode()
    assert "\nconfig_member_slot -1.0\n" in body
    assert "config_cache_proof_age_seconds" not in body
    for name in ("config_ready", "config_cache_fresh", "config_watch_up"):
        assert f"\n{name} 0.0\n" in body


def test_http_request_is_counted_by_method_route_and_status() -> None:
    """The second request of a kind takes the short way and counts the same."""
    registry = CollectorRegistry()
    instruments = Instruments(registry)
    for _ in range(2):
        instruments.http("PUT", "/config/<key>", 201, 0.25)
    route = {"method": "PUT", "route": "/config/<key>"}
    assert registry.get_sample_value("config_http_requests_total", {**route, "status": "201"}) == 2
    assert registry.get_sample_value("config_http_request_duration_seconds_count", route) == 2
    assert registry.get_sample_value("config_http_request_duration_seconds_sum", route) == 0.5


def test_statuses_of_one_route_are_counted_apart() -> None:
    """A failure after a success is not taken for another success."""
    registry = CollectorRegistry()
    instruments = Instruments(registry)
    for status in (200, 503, 503):
        instruments.http("GET", "/config/<key>", status, 0.001)
    labels = {"method": "GET", "route": "/config/<key>"}
    counted = [registry.get_sample_value("config_http_requests_total", {**labels, "status": s}) for s in ("200", "503")]
    assert counted == [1, 2]


def test_client_cannot_make_series_with_invented_methods() -> None:
    """A scanner sends a thousand methods; they share one series."""
    instruments = Instruments()
    for number in range(1000):
        instruments.http(f"BREW{number}", "/config/<key>", 405, 0.001)
    body = instruments.exposition()[0].decode()
    assert 'config_http_requests_total{method="other",route="/config/<key>",status="405"} 1000.0' in body
    assert "BREW" not in body


def test_build_tells_the_version_of_the_project() -> None:
    """The version is written once, in pyproject.toml."""
    assert re.fullmatch(r"\d+\.\d+\.\d+", version())
    assert f'config_build_info{{version="{version()}"}} 1.0' in Instruments().exposition()[0].decode()


def test_two_instances_in_one_process_count_apart() -> None:
    """The registry is injected: nothing is registered in the client's global one."""
    first, second = Instruments(), Instruments()
    first.observe(ReadServed(Source.HIT))
    assert b'config_cache_reads_total{source="hit"} 1.0' in first.exposition()[0]
    assert b'config_cache_reads_total{source="hit"} 0.0' in second.exposition()[0]
