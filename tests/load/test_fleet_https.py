"""A fleet that speaks HTTPS: the balancer does to its clients, and to the instances, with verification."""

from __future__ import annotations

import stat
from pathlib import Path

import httpx

from tests.load.requirements import need_haproxy
from tests.load.running_fleet import RunningFleet
from tests.support.https import Https


def test_a_fleet_speaks_https_on_both_sides_of_the_balancer(tmp_path: Path) -> None:
    need_haproxy()
    https = Https.made(tmp_path / "tls")
    fleet = RunningFleet(tmp_path, 2, **https.settings())
    try:
        fleet.wait_until("is its page")
        assert f"https://127.0.0.1:{fleet.port}/ is its page" in fleet.printed
        with httpx.Client(http2=True, verify=https.context(), trust_env=False, base_url=fleet.address) as client:
            written = client.put("/config/a", content=b"1")
            assert (written.status_code, written.http_version) == (201, "HTTP/2")
            assert client.get("/config/a").content == b"1"
            rows = client.get("/members/states").json()["members"]
            assert [row["why_not"] for row in rows] == ["", ""]
        key = tmp_path / "instance" / "haproxy.pem"
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
    finally:
        code, _ = fleet.stop()
    assert code == 0, fleet.printed


def test_a_fleet_that_would_ask_its_own_balancer_for_a_certificate_does_not_start(tmp_path: Path) -> None:
    https = Https.made(tmp_path / "tls")
    fleet = RunningFleet(tmp_path, 1, **https.settings(), TLS_CLIENT_CA=str(https.directory / "ca.crt"))
    assert fleet.process.wait(30) == 1
    assert "TLS_CLIENT_CA is set, but nobody here has a client's certificate to show" in fleet.printed
