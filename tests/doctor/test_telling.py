"""What the doctor says of how running instances tell their clients of changes."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import pytest
import requests

from consistency.core.model import Member
from service.doctor import Level
from service.doctor.telling import judged
from service.fleet.peers import Heard
from tests.doctor.conftest import PREFIX, Examine
from tests.support.etcd import EtcdServer
from tests.support.instances import InstanceProcess

METRICS = """\
config_change_waiters{{encoding="json"}} 2.0
config_change_waiters{{encoding="stream"}} 1000.0
config_http_requests_total{{route="/changes",method="GET",status="200"}} 9.0
config_http_requests_total{{route="/changes",method="GET",status="429"}} {refused}
config_http_requests_total{{route="/config/{{key}}",method="PUT",status="429"}} 5.0
config_change_lag_seconds_bucket{{le="0.5"}} 1.0
config_change_lag_seconds_bucket{{le="1.0"}} {in_time}
config_change_lag_seconds_bucket{{le="+Inf"}} 1000.0
config_change_lag_seconds_count 1000.0
"""


def heard(refused: float = 0.0, in_time: float = 1000.0, **more: object) -> Heard:
    member = Member(3, 1, 1, json.dumps({"address": "10.0.0.3:8080"}))
    said = {"status": 200, "body": METRICS.format(refused=refused, in_time=in_time).encode()}
    return Heard(member, **{**said, **more})  # type: ignore[arg-type]


def test_how_many_wait_and_that_none_was_refused() -> None:
    (found,) = judged([heard(), heard()])
    assert found.level is Level.OK
    assert found.found == (
        "2,004 clients wait for changes at 2 instances, none was refused; told 2,000 times, 0 of them later than 1 s"
    )


def test_who_was_refused_where_and_how_many_wait_there() -> None:
    (found,) = judged([heard(), heard(refused=7.0)])
    assert found.level is Level.WARNING
    assert found.found.endswith("answered 429: 10.0.0.3:8080 refused 7 (now 1,002 wait)")
    assert "configwaitersrefused" in found.remedy


@pytest.mark.parametrize(("in_time", "late"), [(990.0, False), (989.0, True)])
def test_one_change_of_a_hundred_may_be_told_late(in_time: float, late: bool) -> None:
    (found,) = judged([heard(in_time=in_time)])
    assert found.level is (Level.WARNING if late else Level.OK)
    assert ("10.0.0.3:8080 11 of 1,000" in found.found) is late


@pytest.mark.parametrize(
    ("silent", "words"),
    [
        (heard(status=401, body=b""), "1 want a token"),
        (heard(status=0, body=b"", why_not="nobody listens at its address"), "10.0.0.3:8080: nobody listens"),
        (heard(status=503, body=b""), "10.0.0.3:8080: 503"),
    ],
)
def test_who_can_not_be_asked_is_no_fault(silent: Heard, words: str) -> None:
    (found,) = judged([silent])
    assert found.level is Level.OK
    assert found.found.startswith("no instance could be asked")
    assert words in found.found


@pytest.mark.parametrize("body", [b"", b"<html>", b'config_change_waiters{encoding="json"} many\n'])
def test_other_words_count_as_nothing(body: bytes) -> None:
    (found,) = judged([heard(body=body)])
    assert found.level is Level.OK
    assert found.found.startswith("0 clients wait")


def test_a_fleet_without_instances_is_told_nothing_of() -> None:
    assert judged([]) == []


def test_a_running_instance_is_asked(tmp_path: Path, examined: Examine) -> None:
    """One client waits, and a second one is refused."""
    stream = {"Accept": "text/event-stream"}
    with EtcdServer(tmp_path / "etcd") as etcd:
        settings = etcd.settings(PREFIX)
        with InstanceProcess(tmp_path / "instance", **settings, MAX_WAITERS="1") as instance:
            instance.wait_for_slot()
            told = examined(**settings).one("telling")
            assert (told.level, told.found[:41]) == (Level.OK, "0 clients wait for changes at 1 instance,")
            with requests.get(f"{instance.url}/changes?prefix=", headers=stream, stream=True, timeout=10) as waiting:
                lines = waiting.iter_lines()  # when it goes, so does the connection
                assert next(lines)
                assert instance.request("GET", "/changes?prefix=&wait=1").status_code == 429
                told = examined(**settings).one("telling")
            assert (told.level, told.found.rpartition(": ")[2]) == (
                Level.WARNING,
                f"127.0.0.1:{instance.port} refused 1 (now 1 wait)",
            )


def test_an_instance_that_wants_a_token_is_no_fault(tmp_path: Path, examined: Examine) -> None:
    file = tmp_path / "tokens.json"
    file.write_text(json.dumps([{"name": "ops", "scopes": ["admin"], "sha256": sha256(b"x" * 40).hexdigest()}]))
    with EtcdServer(tmp_path / "etcd") as etcd:
        settings = etcd.settings(PREFIX)
        with InstanceProcess(tmp_path / "instance", **settings, API_TOKENS_FILE=str(file)) as instance:
            instance.token = "x" * 40
            instance.wait_for_slot()
            told = examined(**settings).one("telling")
    assert told.level is Level.OK
    assert "1 want a token" in told.found
