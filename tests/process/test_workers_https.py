"""Several workers over HTTPS: each port of each shows and asks for the same, whatever becomes of the files."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.process.test_https import RENEWED, STAYS
from tests.process.test_workers import BACK_WITHIN, Workers
from tests.support.certificates import Authority, Pair
from tests.support.https import Https, serial
from tests.support.inside_port import listeners_at
from tests.support.instances import environment, run_service, within

pytestmark = pytest.mark.lasting

ENDS = "a worker is down"


def client(authority: Authority, directory: Path) -> tuple[str, str]:
    """The files of a client for whom it vouches."""
    pair = authority.issue("somebody")
    files = (directory / f"{id(pair)}.crt", directory / f"{id(pair)}.key")
    for file, content in zip(files, (pair.cert, pair.key), strict=True):
        file.write_bytes(content)
    return str(files[0]), str(files[1])


class Secured(Workers):
    """Two workers that let in only clients with a certificate of the same authority."""

    def __init__(self, directory: Path, https: Https) -> None:
        settings = {**https.settings(), "TLS_CLIENT_CA": str(https.directory / "ca.crt"), "ALLOWED_HOSTS": "localhost"}
        super().__init__(directory, 2, **settings)
        self.https = https
        self.cert = client(https.authority, directory.parent)
        self._forgotten = 0

    @property
    def ports(self) -> list[int]:
        """The shared one, and those of the workers."""
        return [self.port, *(self.port + number for number in self.numbers)]

    def ask_worker(self, number: int, path: str, **_: object) -> requests.Response:
        """GET at its own port, with a certificate."""
        return self._get(self.port + number, path, self.cert)

    def lines(self, event: str) -> list[dict[str, Any]]:
        """Of the log, those of one event, or of events that begin so."""
        found = [json.loads(line) for line in self.printed()[self._forgotten :].splitlines() if line.startswith("{")]
        return [line for line in found if line["event"].startswith(event)]

    def _get(self, port: int, path: str, cert: tuple[str, str] | None) -> requests.Response:
        with requests.Session() as session:
            session.trust_env = False
            return session.get(
                f"https://127.0.0.1:{port}{path}", timeout=10, cert=cert, verify=str(self.https.directory / "ca.crt")
            )

    def lets_in(self, port: int, cert: tuple[str, str] | None) -> bool:
        """Whether a client that shows this gets an answer there."""
        try:
            return self._get(port, "/healthz", cert).status_code == 200
        except requests.ConnectionError:
            return False

    def shown(self) -> set[int]:
        """The certificates at all ports, some times over at the shared one."""
        return {self.https.shown(port) for port in self.ports + [self.port] * 6}

    def settled(self) -> set[int]:
        """Waits until each worker has but one server at the shared port, and all ports show what is mounted; that."""
        mounted = {self.https.mounted()}
        assert within(20, lambda: listeners_at(self.port) == self.count), self.printed()
        assert within(20, lambda: self.shown() == mounted), self.printed()
        return mounted

    def metrics(self, name: str) -> list[float]:
        """Of each worker."""
        texts = [self.ask_worker(number, "/metrics").text.splitlines() for number in self.numbers]
        return [float(line.split()[-1]) for text in texts for line in text if line.startswith(f"{name} ")]

    def says(self, event: str, times: int) -> list[int]:
        """Waits until it has said that so many times; by which workers, in their order."""
        assert within(30, lambda: len(self.lines(event)) >= times), self.printed()
        return [line["worker"] for line in self.lines(event)]

    def forget(self) -> Secured:
        """From now on only what is said later counts."""
        self._forgotten = len(self.printed())
        return self


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    directory = tmp_path_factory.mktemp("both")
    with Secured(directory / "workers", Https.made(directory / "tls")) as workers:
        workers.wait_for_all()
        yield workers
        assert workers.stop() == 0


@pytest.fixture
def two(both: Secured) -> Secured:
    """Each test leaves them with a certificate that counts."""
    return both.forget()


def unusable(https: Https) -> Pair:
    """A certificate with another's key."""
    return Pair(https.authority.issue("localhost").cert, https.authority.issue("localhost").key)


def test_each_port_asks_for_a_certificate_and_the_workers_show_each_other_theirs(two: Secured, tmp_path: Path) -> None:
    foreign = client(Authority(), tmp_path)
    for port in two.ports:
        assert [two.lets_in(port, shown) for shown in (two.cert, None, foreign)] == [True, False, False], port
    put = two.put("a", b"1")
    assert put.status_code == 201
    assert [two.ask_worker(number, "/config/a").content for number in two.numbers] == [b"1", b"1"]
    seen = [two.ask_worker(number, "/members/states").json()["members"] for number in two.numbers]
    assert [sorted(each["state"]["slot"] for each in states) for states in seen] == [[0, 1]] * 2


def test_what_can_not_be_used_changes_nothing_in_any_worker_until_a_hangup_finds_it_put_right(two: Secured) -> None:
    before = two.settled()
    two.https.mount(unusable(two.https))
    os.kill(two.pid, signal.SIGHUP)
    assert set(two.says(STAYS, 2)) == {1, 2}
    assert two.shown() == before
    assert two.metrics("config_tls_files_unusable") == [1, 1]
    pair = two.https.renew()
    os.kill(two.pid, signal.SIGHUP)
    assert two.says(RENEWED, 2) == [1, 2], "one after another"
    assert within(5, lambda: two.shown() == {serial(pair)})
    assert two.metrics("config_tls_files_unusable") == [0, 0]
    assert two.pids().keys() == {1, 2}
    assert not two.lines(ENDS)


def test_a_worker_that_dies_while_the_files_can_not_be_used_comes_back_once_they_can(two: Secured) -> None:
    """Its successor has nothing to show, so it can't start; the other one serves with what it has."""
    before = two.settled()
    two.https.mount(unusable(two.https))
    two.says(STAYS, 2)
    os.kill(two.pids()[1], signal.SIGKILL)
    assert within(20, lambda: len(two.lines(ENDS)) >= 2), two.printed()
    assert "it is not the key of the certificate in TLS_CERT" in two.printed()
    assert {two.https.shown(two.port) for _ in range(10)} == before
    assert all(two.lets_in(two.port, two.cert) for _ in range(10))
    pair = two.https.renew()
    assert within(BACK_WITHIN, lambda: two.has_slot(1)), two.printed()
    assert within(10, lambda: two.shown() == {serial(pair)}), two.printed()


def test_a_start_with_what_can_not_be_shown_says_so_once(tmp_path: Path) -> None:
    https = Https.made(tmp_path / "tls")
    https.mount(unusable(https))
    done = run_service(tmp_path, env=environment(HOST="127.0.0.1", WORKERS="2", **https.settings()))
    assert done.returncode == 1
    assert done.stderr.count("it is not the key of the certificate in TLS_CERT") == 1
    assert "Traceback" not in done.stderr
