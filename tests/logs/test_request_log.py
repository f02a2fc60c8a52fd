"""The lines on requests: one for each write and each 5xx, none for a read, and nothing of a client's as it came."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from service.http import requests
from service.http.requests import legible
from service.process import logs
from tests.http.conftest import Gateway, start_gateway
from tests.support.etcd import EtcdServer


class Lines:
    """What was written since it was last asked for."""

    def __init__(self, stream: io.StringIO) -> None:
        self._stream = stream

    def take(self) -> list[dict[str, Any]]:
        found = [json.loads(line) for line in self._stream.getvalue().splitlines()]
        self._stream.seek(0)
        self._stream.truncate()
        return found


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lines]:
    """Of the logger of requests alone, as they are written where no terminal is."""
    logger = logging.getLogger(requests.LOGGER)
    handler = logging.StreamHandler(io.StringIO())
    handler.setFormatter(logs.RequestLines(logs._renderer(False)))
    monkeypatch.setattr(logger, "handlers", [handler])
    monkeypatch.setattr(logger, "propagate", False)
    logger.setLevel(logging.INFO)
    yield Lines(handler.stream)
    logger.setLevel(logging.NOTSET)


@pytest.fixture(scope="module")
def gateway(etcd: EtcdServer) -> Iterator[Gateway]:
    with ExitStack() as stack:
        yield start_gateway(stack, etcd, "/request-log")


@pytest.fixture
def without_etcd(tmp_path: Path) -> Iterator[Gateway]:
    """One that nobody answers."""
    with ExitStack() as stack:
        never_started = EtcdServer(tmp_path)
        yield start_gateway(stack, never_started, "/request-log", wait=False, etcd_timeout=0.3)


def told(line: dict[str, Any]) -> dict[str, Any]:
    """A line without what differs each time, which has to be there all the same."""
    assert line.pop("ms") >= 0
    assert line.pop("time").endswith("Z")
    assert line.pop("logger") == "config.requests"
    return line


def test_a_write_is_a_line(gateway: Gateway, lines: Lines) -> None:
    """Method, key, status, outcome, revision, duration, id; the value never."""
    answer = gateway.ask("PUT", "/config/team/app", b'{"password": "hunter2"}', X_Request_Id="mine")
    (line,) = lines.take()
    assert told(line) == {
        "event": "write", "method": "PUT", "key": "team/app", "status": 201, "outcome": "done",
        "revision": int(answer.headers["X-Config-Revision"]), "request_id": "mine", "level": "info",
    }  # fmt: skip


def test_the_id_in_the_line_is_that_of_the_answer(gateway: Gateway, lines: Lines) -> None:
    answer = gateway.ask("DELETE", "/config/team/app")
    (line,) = lines.take()
    assert (line["request_id"], line["status"]) == (answer.headers["X-Request-Id"], 204)


@pytest.mark.parametrize(
    ("path", "body", "headers", "status", "problem"),
    [
        ("/config/a", b"[1]", {"If_Match": '"99999"'}, 412, "precondition-failed"),
        ("/config/a", b"{", {}, 400, "invalid-json"),
        ("/config/a?sync=perhaps", b"1", {}, 400, "invalid-parameter"),
        ("/config/a", b"1", {"Transfer_Encoding": "chunked"}, 411, "length-required"),
    ],
)
def test_a_refused_write_is_a_line(
    gateway: Gateway, lines: Lines, path: str, body: bytes, headers: dict[str, str], status: int, problem: str
) -> None:
    """By whichever way it was refused."""
    assert gateway.ask("PUT", path, body, **headers).status_code == status
    (line,) = lines.take()
    assert (line["key"], line["status"], line["outcome"], line["level"]) == ("a", status, "not done", "info")
    assert line["problem"] == problem
    assert "revision" not in line


def test_with_tokens_a_line_says_whose_it_was(etcd: EtcdServer, lines: Lines) -> None:
    """By the token's name; and a write that the door refuses is a line as well, with an id to complain with."""
    tokens = [{"name": "deployer", "token": "deployer-0123456789", "scopes": ["write"], "prefix": "a/"}]
    bearer = "Bearer deployer-0123456789"
    with ExitStack() as stack:
        gateway = start_gateway(stack, etcd, "/request-log-tokens", tokens=tokens)
        gateway.ask("PUT", "/config/a/x", b"1", Authorization=bearer)
        gateway.ask("POST", "/config/", b'{"operations": [{"op": "delete", "key": "a/x"}]}', Authorization=bearer)
        gateway.ask("PUT", "/config/b", b"2", Authorization=bearer)
        gateway.ask("GET", "/config/b", Authorization=bearer)
        stranger = gateway.ask("PUT", "/config/b", b"2", Authorization="Bearer stranger-0123456789")
    written = lines.take()
    assert [(line["status"], line.get("bearer"), line.get("problem")) for line in written] == [
        (201, "deployer", None),
        (200, "deployer", None),
        (403, "deployer", "insufficient-scope"),
        (401, None, "invalid-token"),
    ]
    assert written[-1]["request_id"] == stranger.headers["X-Request-Id"]
    assert "0123456789" not in json.dumps(written)


def test_a_line_says_why_if_the_write_did(gateway: Gateway, lines: Lines) -> None:
    gateway.ask("PUT", "/config/a", b"1", X_Change_Reason="twice the load since M%C3%A4rz%E2%80%8F")
    gateway.ask("PUT", "/config/a", b"2")
    assert [line.get("why") for line in lines.take()] == ["twice the load since März\\u200f", None]


def test_a_batch_is_a_line_that_names_the_first_keys(gateway: Gateway, lines: Lines) -> None:
    operations = [{"op": "put", "key": f"k{number}", "value": "hunter2"} for number in range(30)]
    gateway.ask("POST", "/config/", json.dumps({"operations": operations}).encode())
    (line,) = lines.take()
    assert (line["path"], line["operations"], line["outcome"]) == ("/config/", 30, "done")
    assert line["keys"] == [f"k{number}" for number in range(10)]
    assert "hunter2" not in json.dumps(line)


def test_a_read_that_goes_well_or_finds_nothing_is_no_line(gateway: Gateway, lines: Lines) -> None:
    gateway.ask("PUT", "/config/a", b"1")
    lines.take()
    for path in ("/config/a", "/config/a", "/config/a?use_cache=false", "/config/absent", "/config/a?x=y", "/config/",
                 "/readyz", "/metrics"):  # fmt: skip
        gateway.ask("GET", path, X_Request_Id="mine")
    assert lines.take() == []


def test_a_5xx_is_a_line_with_the_reason(without_etcd: Gateway, lines: Lines) -> None:
    """A read's as well, and the answer bears the id that the client may complain with."""
    answer = without_etcd.ask("GET", "/config/a")
    (line,) = lines.take()
    assert answer.status_code == 503
    assert line["request_id"] == answer.headers["X-Request-Id"]
    assert (line["event"], line["level"], line["problem"]) == ("failed", "warning", "unavailable")
    assert "connection refused" in line["detail"]
    without_etcd.ask("PUT", "/config/a", b"1")
    (line,) = lines.take()
    assert (line["event"], line["status"], line["outcome"]) == ("write", 503, "not done")


@pytest.mark.parametrize("way", ["short", "flask"])
def test_a_write_whose_outcome_nobody_knows_is_a_line_that_says_so(
    tmp_path_factory: pytest.TempPathFactory, lines: Lines, way: str
) -> None:
    with EtcdServer(tmp_path_factory.mktemp("paused")) as server, ExitStack() as stack:
        gateway = start_gateway(stack, server, "/paused", etcd_timeout=0.5)
        gateway.ask("PUT", "/config/a", b"1")
        server.pause()
        body = b'{"operations": [{"op": "delete", "key": "a"}]}'
        answer = gateway.ask("PUT", "/config/a", b"2") if way == "short" else gateway.ask("POST", "/config/", body)
        server.resume()
    line = lines.take()[-1]
    assert (answer.status_code, line["status"], line["outcome"]) == (504, 504, "unknown")
    assert "it may or may not have happened" in line["detail"]


def test_a_fault_of_our_own_is_an_error_with_unknown_outcome(
    gateway: Gateway, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise KeyError("hunter2")

    monkeypatch.setattr(gateway.cache.asynchronous, "put", fail)
    assert gateway.ask("PUT", "/config/a", b"1").status_code == 500
    (line,) = lines.take()
    assert (line["level"], line["outcome"], line["problem"]) == ("error", "unknown", "internal")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("team/app", "team/app"),
        ("größe", "größe"),
        ("a\x1b[31mb", "a\\x1b[31mb"),
        ("a\r\nb\x85\u2028", "a\\r\\nb\\x85\\u2028"),
        ("a\u202eb", "a\\u202eb"),
        ("x" * 513, "x" * 512 + "…"),
    ],
)
def test_nothing_that_moves_a_terminal_is_logged(text: str, shown: str) -> None:
    assert legible(text) == shown


@pytest.mark.parametrize(("path", "key"), [(b"/config/caf\xc3\xa9", "café"), (b"/config/\xff\x1b[2J", "\\xff\\x1b[2J")])
def test_a_key_is_logged_as_people_write_it(gateway: Gateway, lines: Lines, path: bytes, key: str) -> None:
    """Also one that is refused because it is no text."""
    gateway.ask_raw("PUT", path, b"1")
    (line,) = lines.take()
    assert line["key"] == key


def test_lines_below_the_level_cost_nothing_and_are_not_there(gateway: Gateway, lines: Lines) -> None:
    """LOG_LEVEL=WARNING: only the 5xx are left."""
    logging.getLogger(requests.LOGGER).setLevel(logging.WARNING)
    assert "X-Request-Id" in gateway.ask("PUT", "/config/a", b"1").headers
    assert lines.take() == []
