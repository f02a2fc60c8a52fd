"""The load generator's figures are read as they are meant, and failures are no figures."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from bench import wrk
from tests.bench.programs import need

REPORT = """\
Running 3s test @ http://127.0.0.1:8080/config/a
  1 threads and 16 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   363.19us  353.37us   9.57ms   97.99%
    Req/Sec    47.54k     3.75k   51.77k    86.67%
  Latency Distribution
     50%  312.00us
     75%  397.00us
     90%  516.00us
     99%    {p99}
  141897 requests in 3.00s, 49.12MB read
Requests/sec:  47282.25
Transfer/sec:     16.37MB
"""


@pytest.mark.parametrize(
    ("printed", "milliseconds"), [("940.00us", 0.94), ("1.38ms", 1.38), ("1.20s ", 1200.0), ("1.02m ", 61_200.0)]
)
def test_rate_is_per_second_and_p99_in_milliseconds_whatever_the_unit(printed: str, milliseconds: float) -> None:
    load = wrk.read(REPORT.format(p99=printed))
    assert load.rate == 47282.25
    assert load.p99 == pytest.approx(milliseconds)


@pytest.mark.parametrize(
    "line", ["  Non-2xx or 3xx responses: 5", "  Socket errors: connect 0, read 3, write 0, timeout 0"]
)
def test_report_with_failures_is_refused_by_their_name(line: str) -> None:
    with pytest.raises(wrk.Failed, match=line.strip()):
        wrk.read(REPORT.format(p99="1.38ms") + line + "\n")


def test_a_server_that_hangs_has_no_rate() -> None:
    with pytest.raises(wrk.Failed, match="nothing was answered"):
        wrk.read(REPORT.format(p99="0.00us").replace("47282.25", "0.00"))


def test_what_is_no_report_is_refused() -> None:
    with pytest.raises(wrk.Failed, match="unable to connect"):
        wrk.read("unable to connect to 127.0.0.1:1 Connection refused\n")


class Refusing(BaseHTTPRequestHandler):
    """Quick at answering 503."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(503)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *_: object) -> None:
        """Nothing."""


@contextmanager
def refusing() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


def test_server_that_refuses_everything_has_no_rate() -> None:
    """Errors are answered faster than anything else."""
    need("wrk")
    with refusing() as url, pytest.raises(wrk.Failed, match="Non-2xx"):
        wrk.run(url, seconds=1, connections=2)
