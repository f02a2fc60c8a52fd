"""What is refused for framing, headers, Host and origin, before anything else: on every way in, counted and logged."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from werkzeug.test import TestResponse

from tests.http.conftest import Gateway, StartGateway

HERE = "config.example.com"
BATCH = b'{"operations": [{"op": "put", "key": "a", "value": 1}]}'
WRITES = [
    ("PUT", "/config/a", b"1"),
    ("POST", "/config/a", b"1"),
    ("DELETE", "/config/a", None),
    ("POST", "/config/", BATCH),
    ("POST", "/config", BATCH),
]
READS = ["/config/a", "/config/", "/", "/docs", "/healthz", "/readyz", "/members", "/metrics", "/no-such-page"]


def is_refused(answer: TestResponse, status: int, slug: str) -> bool:
    """By a problem document that says that nothing was done."""
    document = answer.get_json(force=True)
    kind = (answer.status_code, document["type"].rpartition(":")[2], document["outcome"])
    return kind == (status, slug, "not done")


@pytest.mark.parametrize(("method", "path", "body"), WRITES)
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": ""},  # not ASCII, as the server hands it over
        {"Origin": f"http://{HERE},"},  # two lines, one of them not ASCII
        {"Origin": f"https://{HERE}:8443"},
        {"Origin": f"http://{HERE}.evil.example"},
        {"Origin": HERE},
        {"Origin": f"ftp://{HERE}"},
        {"Origin": f"http://{HERE}/"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Sec_Fetch_Site": ""},
        {"Sec_Fetch_Site": "same-origin, none"},
        {"Sec_Fetch_Site": "cross-site", "Origin": f"http://{HERE}"},
        {"Sec_Fetch_Site": "same-origin", "Origin": "http://evil.example"},
    ],
)
def test_the_page_of_another_site_writes_nothing(
    gateway: Gateway, method: str, path: str, body: bytes | None, headers: dict[str, str]
) -> None:
    """Neither by a header that says so, nor by one that can't be read."""
    gateway.ask("PUT", "/config/a", b"0")
    answer = gateway.ask(method, path, body, Host=HERE, **headers)
    assert is_refused(answer, 403, "cross-origin")
    assert gateway.ask("GET", "/config/a?use_cache=false").data == b"0"


@pytest.mark.parametrize(("method", "path", "body"), WRITES)
@pytest.mark.parametrize(
    ("host", "headers"),
    [
        (HERE, {}),
        (HERE, {"Origin": f"http://{HERE}"}),
        (HERE, {"Origin": f"https://{HERE}"}),  # TLS ends at a proxy, which passes the Host on
        (f"{HERE}:443", {"Origin": f"https://{HERE}"}),
        (f"{HERE}:8080", {"Origin": f"http://{HERE}:8080"}),
        (HERE.upper(), {"Origin": f"http://{HERE}"}),
        ("[::1]:8080", {"Origin": "http://[::1]:8080"}),
        (HERE, {"Sec_Fetch_Site": "same-origin", "Origin": f"http://{HERE}"}),
        (HERE, {"Sec_Fetch_Site": "none"}),
    ],
)
def test_our_own_pages_and_programs_write(
    gateway: Gateway, method: str, path: str, body: bytes | None, host: str, headers: dict[str, str]
) -> None:
    assert gateway.ask(method, path, body, Host=host, **headers).status_code in (200, 201, 204)


def test_reads_are_answered_whoever_asks(gateway: Gateway) -> None:
    """Browsers keep the answer from the page that asked: there is no CORS header, and that stays so."""
    gateway.ask("PUT", "/config/a", b"1")
    for method in ("GET", "HEAD"):
        for path in ("/config/a", "/", "/healthz"):
            answer = gateway.ask(method, path, Origin="https://evil.example", Sec_Fetch_Site="cross-site")
            assert answer.status_code == 200
            assert not [name for name in answer.headers.keys() if name.startswith("Access-Control")]  # noqa: SIM118
    preflight = gateway.ask("OPTIONS", "/config/a", Origin="https://evil.example", Access_Control_Request_Method="PUT")
    assert preflight.status_code == 405


@pytest.mark.parametrize("path", READS)
def test_a_foreign_name_is_answered_nothing_while_we_listen_on_this_machine_alone(
    gateways: StartGateway, path: str
) -> None:
    """Reads, too: to the browser a rebound name is the page's own site, and it shows the page what it asked for."""
    gateway = gateways(host="127.0.0.1")
    for host in ("evil.example", "evil.example:8080", "localhost.evil.example", "10.0.0.7"):
        assert is_refused(gateway.ask("GET", path, Host=host), 403, "foreign-host")
        assert is_refused(gateway.ask("PUT", "/config/a", b"1", Host=host), 403, "foreign-host")
    for host in ("localhost", "localhost:8080", "127.0.0.1", "127.0.0.9:1", "[::1]:8080"):
        assert gateway.ask("GET", path, Host=host).status_code in (200, 404)


def test_names_that_are_allowed_are_answered_and_no_others(gateways: StartGateway) -> None:
    for listening in ("127.0.0.1", "0.0.0.0"):
        gateway = gateways(host=listening, allowed_hosts=(HERE,))
        assert gateway.ask("PUT", "/config/a", b"1", Host=HERE, Origin=f"https://{HERE}").status_code in (200, 201)
        assert is_refused(gateway.ask("GET", "/config/a", Host="evil.example"), 403, "foreign-host")


@pytest.mark.parametrize("host", ["a,b", "a,", ",a"])
def test_two_hosts_are_refused(gateway: Gateway, host: str) -> None:
    """Hazard: Granian accepts them, joined by a comma; what is not ASCII is empty then."""
    for path in READS:
        assert is_refused(gateway.ask("GET", path, Host=host), 400, "two-hosts")


@pytest.mark.parametrize("host", ["a b", "a/b", "http://a", "a@b", "a:x", "a:65536", "[::1"])
def test_a_host_that_is_none_is_refused(gateway: Gateway, host: str) -> None:
    for path in READS:
        assert is_refused(gateway.ask("GET", path, Host=host), 400, "invalid-host")


def test_only_clients_of_http_1_0_may_leave_the_host_out(gateway: Gateway) -> None:
    """RFC 9112, 3.2. HAProxy's health checks are such clients."""
    for protocol, status in (("HTTP/1.1", 400), ("HTTP/1.0", 200), ("HTTP/1", 200)):
        sent = {"HTTP_HOST": "", "SERVER_PROTOCOL": protocol}
        assert gateway.client.open("/readyz", environ_overrides=sent).status_code == status
    assert gateway.ask("PUT", "/config/a", b"1").status_code == 201
    sent = {"HTTP_HOST": "", "SERVER_PROTOCOL": "HTTP/1.0", "HTTP_ORIGIN": "http://evil.example"}
    assert gateway.client.put("/config/a", data=b"2", environ_overrides=sent).status_code == 403


@pytest.mark.parametrize("framing", ["chunked", "", "gzip, chunked"])
def test_framing_that_a_proxy_may_read_differently_is_refused(gateway: Gateway, framing: str) -> None:
    """Hazard: Granian accepts Content-Length with Transfer-Encoding."""
    for method, path, body in [*WRITES, *(("GET", path, None) for path in READS)]:
        sent = {"HTTP_TRANSFER_ENCODING": framing}
        answer = gateway.client.open(path, method=method, data=body, environ_overrides=sent)
        assert is_refused(answer, 411, "length-required")


@pytest.mark.parametrize(("method", "path", "body"), WRITES)
def test_a_part_of_a_document_is_not_taken_for_the_whole(
    gateway: Gateway, method: str, path: str, body: bytes | None
) -> None:
    """RFC 9110, 14.5."""
    gateway.ask("PUT", "/config/a", b"0")
    for value in ("bytes 0-0/5", "", "x"):
        assert is_refused(gateway.ask(method, path, body, Content_Range=value), 400, "content-range")
    assert gateway.ask("GET", "/config/a?use_cache=false").data == b"0"


def test_a_refusal_is_counted_and_a_refused_write_is_logged(
    gateways: StartGateway, caplog: pytest.LogCaptureFixture
) -> None:
    """As every other: so that somebody can be alerted."""
    gateway = gateways(host="127.0.0.1")
    caplog.set_level(logging.INFO, "config.requests")
    gateway.ask("PUT", "/config/a", b"1", Origin="http://evil.example", X_Request_Id="mine")
    for path in ("/config/a", "/healthz", "/no-such-page"):
        gateway.ask("GET", path, Host="evil.example")
    lines: list[Any] = [record.msg for record in caplog.records if record.name == "config.requests"]
    assert [(line["status"], line["problem"], line["request_id"]) for line in lines] == [(403, "cross-origin", "mine")]
    assert "evil" not in json.dumps(lines)
    text = gateway.ask("GET", "/metrics").text
    for method, route in (("PUT", "/config/<key>"), ("GET", "/config/<key>"), ("GET", "/healthz"), ("GET", "unknown")):
        assert f'config_http_requests_total{{method="{method}",route="{route}",status="403"}} 1.0' in text
