"""The load generator's figures are read as they are meant, failures are no figures, and load stays where it may go."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bench import wrk
from bench.documents import reads, write_lines
from bench.measures import refuse_too_few_misses
from tests.bench.programs import need_wrk

REPORT = """\
Running 3s test @ http://127.0.0.1:8080/config/a
  141897 requests in 3.00s, 49.12MB read
Requests/sec:  47282.25
Transfer/sec:     16.37MB
figures: 47282.25 requests/s p50 312 us p99 1380 us p99.9 12040 us
"""


def test_rate_is_per_second_and_percentiles_are_in_milliseconds() -> None:
    assert wrk.read(REPORT) == {"requests/s": 47282.25, "p50": 0.312, "p99": 1.38, "p99.9": 12.04}


@pytest.mark.parametrize(
    "line", ["  Non-2xx or 3xx responses: 5", "  Socket errors: connect 0, read 3, write 0, timeout 0"]
)
def test_report_with_failures_is_refused_by_their_name(line: str) -> None:
    with pytest.raises(wrk.Failed, match=line.strip()):
        wrk.read(REPORT + line + "\n")


def test_a_server_that_hangs_has_no_rate() -> None:
    with pytest.raises(wrk.Failed, match="nothing was answered"):
        wrk.read(REPORT.replace("figures: 47282.25", "figures: 0.00"))


def test_what_is_no_report_is_refused() -> None:
    with pytest.raises(wrk.Failed, match="unable to connect"):
        wrk.read("unable to connect to 127.0.0.1:1 Connection refused\n")


def test_hits_beside_too_few_misses_are_no_figure() -> None:
    """When the documents to miss run out, they are read a second time, and are hits."""
    with pytest.raises(wrk.Failed, match="only 400 misses"):
        refuse_too_few_misses("hits: 9600 misses: 400\n", 20)
    refuse_too_few_misses("hits: 9600 misses: 0\n", 0)
    refuse_too_few_misses("hits: 9500 misses: 500\n", 20)


@pytest.mark.parametrize("host", ["192.0.2.1", "example.org", "[2001:db8::1]", ""])
def test_load_goes_to_the_loopback_or_nowhere(host: str) -> None:
    """Names neither: what they mean is for others to say."""
    asked = wrk.Requests(f"http://{host}:8080/")
    with pytest.raises(ValueError, match=r"loopback|not appear"):
        wrk.run(asked, seconds=1, connections=1)
    with pytest.raises(ValueError, match=r"loopback|not appear"), wrk.busy(asked, at_most=1, connections=1):
        pass


@pytest.mark.parametrize("seconds", [0, wrk.LONGEST + 1])
def test_load_has_an_end(seconds: int) -> None:
    asked = wrk.Requests("http://127.0.0.1:1/")
    with pytest.raises(ValueError, match="expected 1 to"):
        wrk.run(asked, seconds=seconds, connections=1)
    with pytest.raises(ValueError, match="expected 1 to"), wrk.busy(asked, at_most=seconds, connections=1):
        pass


class Http(BaseHTTPRequestHandler):
    """Says which paths were asked for, and takes its time for every EVERY-th answer."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1
    status = 200
    asked: list[str]
    numbers: Iterator[int]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if next(self.numbers) % EVERY == 0:
            time.sleep(TAKES)
        self.send_response(self.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *_: object) -> None:
        """Nothing."""


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """The load ends without taking leave."""


EVERY, TAKES = 50, 0.2
"""Two answers of a hundred take so many seconds."""


@contextmanager
def serving(status: int = 200) -> Iterator[tuple[str, list[str]]]:
    handler = type("Handler", (Http,), {"asked": [], "numbers": itertools.count(1), "status": status})
    with Server(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", handler.asked  # type: ignore[attr-defined]
        finally:
            server.shutdown()
            thread.join()


def test_slow_answers_are_in_the_tail_and_not_in_the_median() -> None:
    """Two of a hundred: p99 and p99.9 are theirs. wrk adds the shorter waits of those it could not send meanwhile."""
    need_wrk()
    with serving() as (url, asked):
        figures, _ = wrk.run(wrk.Requests(f"{url}/a"), seconds=2, connections=1)
    assert set(asked) == {"/a"}
    assert figures["p50"] < TAKES * 1e3 / 2 <= figures["p99"] <= figures["p99.9"]
    assert 1 < figures["requests/s"] < len(asked)


def test_listed_requests_are_sent_in_turn(tmp_path: Path) -> None:
    need_wrk()
    with serving() as (url, asked):
        wrk.run(wrk.listed(url, str(write_lines(tmp_path / "three", reads(3)))), seconds=1, connections=1)
    named = [int(path.rpartition("k")[2]) for path in asked]
    assert len(named) > 6
    assert all((before + 1) % 3 == after for before, after in itertools.pairwise(named))


def test_paced_connections_ask_no_more_often_than_that() -> None:
    """Those who work beside a measurement must leave room for it."""
    need_wrk()
    with serving() as (url, asked):
        wrk.run(wrk.paced(f"{url}/a", 100), seconds=1, connections=2)
    assert 2 <= len(asked) <= 2 * (1_000 / 100 + 2)


def test_busy_connections_are_idle_at_the_end_of_the_block() -> None:
    need_wrk()
    with serving() as (url, asked):
        until = time.monotonic() + 60
        with wrk.busy(wrk.Requests(f"{url}/a"), at_most=60, connections=1):
            while len(asked) < 3 and time.monotonic() < until:
                time.sleep(0.01)
        assert time.monotonic() < until, "it ended by itself, and the block waited for it"
        seen = len(asked)
        assert seen >= 3
        time.sleep(0.3)
        assert len(asked) <= seen + 1


def test_server_that_refuses_everything_has_no_rate() -> None:
    """Errors are answered faster than anything else."""
    need_wrk()
    with serving(503) as (url, _), pytest.raises(wrk.Failed, match="Non-2xx"):
        wrk.run(wrk.Requests(f"{url}/a"), seconds=1, connections=2)
