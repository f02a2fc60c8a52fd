"""A fleet over HTTPS: its instances ask each other with verification, and send no token to who can't be verified."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.http.test_nonsense import members
from tests.support.certificates import Authority
from tests.support.etcd import EtcdServer
from tests.support.https import Https
from tests.support.instances import InstanceProcess, within
from tests.support.silence import Peer

pytestmark = pytest.mark.lasting

TOKEN = "anna-0123456789abc"
TOKENS = json.dumps([{"name": "anna", "token": TOKEN, "scopes": ["admin"]}])

Start = Callable[..., InstanceProcess]


@pytest.fixture
def start(etcd: EtcdServer, tmp_path: Path, prefix: str) -> Iterator[Start]:
    """Starts instances of one fleet with tokens; returns when the instance has a slot."""
    with contextlib.ExitStack() as stack:
        number = iter(range(10))

        def started(
            known_as: str = "127.0.0.1", cert: tuple[str, str] | None = None, **settings: str
        ) -> InstanceProcess:
            made = InstanceProcess(
                tmp_path / f"{next(number)}", **etcd.settings(f"/{prefix}"), API_TOKENS=TOKENS, **settings
            )
            stack.callback(made.kill)
            made.token, made.known_as, made.cert = TOKEN, known_as, cert
            made.start().wait_until_ready().wait_for_slot()
            return made

        yield started


def rows(asked: InstanceProcess, count: int = 2) -> list[dict[str, Any]]:
    """How each member is, once there are so many."""
    assert within(5, lambda: len(asked.request("GET", "/members").json()["members"]) == count)
    found: list[dict[str, Any]] = []

    def look() -> bool:
        found[:] = asked.request("GET", "/members/states").json()["members"]
        return len(found) == count

    assert within(5, look)
    return found


def why_not(asked: InstanceProcess) -> str:
    """Why the other one is not shown; "" if it is."""
    (row,) = [row for row in rows(asked) if not row["me"]]
    assert (row["state"] is None) == bool(row["why_not"])
    return str(row["why_not"])


def test_instances_ask_each_other_over_https(start: Start, tmp_path: Path) -> None:
    https = Https.made(tmp_path / "tls")
    one, other = start(**https.settings()), start(**https.settings())
    assert one.put("a", b"1").status_code == 201
    for asked in (one, other):
        assert why_not(asked) == ""
        served = asked.request("GET", "/members/config/a").json()["members"]
        assert [row["value"] for row in served] == ["1", "1"]
    targets = one.request("GET", "/members/targets").json()
    assert {target["labels"]["__scheme__"] for target in targets} == {"https"}
    assert {address for target in targets for address in target["targets"]} == {
        f"127.0.0.1:{one.port}", f"127.0.0.1:{other.port}"
    }  # fmt: skip


def test_who_shows_a_certificate_for_another_name_is_not_asked(start: Start, tmp_path: Path) -> None:
    """Each is told at its start, too, that the others will not trust it."""
    https = Https.made(tmp_path / "tls", "localhost")
    instances = [start("localhost", **https.settings()) for _ in range(2)]
    assert why_not(instances[0]).startswith("its certificate is not trusted: IP address mismatch")
    assert "is not trusted here; see TLS_CA and TLS_PEER_NAME" in instances[0].printed()
    for each in instances:
        assert each.stop() == 0
    named = [start("localhost", **https.settings(), TLS_PEER_NAME="localhost") for _ in range(2)]
    assert why_not(named[0]) == ""
    assert "is not trusted" not in named[0].printed()


def test_who_shows_a_certificate_of_another_authority_is_not_asked(start: Start, tmp_path: Path) -> None:
    one, other = Https.made(tmp_path / "one"), Https.made(tmp_path / "other")
    asked, _ = start(**one.settings()), start(**other.settings())
    assert why_not(asked) == "its certificate is not trusted: unable to get local issuer certificate"


def test_they_show_each_other_their_own_certificate_where_clients_have_to(start: Start, tmp_path: Path) -> None:
    https = Https.made(tmp_path / "tls")
    own = (str(https.directory / "tls.crt"), str(https.directory / "tls.key"))
    client_ca = {"TLS_CLIENT_CA": str(https.directory / "ca.crt")}
    one, _ = (start(cert=own, **https.settings(), **client_ca) for _ in range(2))
    assert why_not(one) == ""


def test_after_a_renewal_by_another_authority_the_others_are_trusted_by_the_new_one(
    start: Start, tmp_path: Path
) -> None:
    https = Https.made(tmp_path / "tls")
    one, other = start(**https.settings()), start(**https.settings())
    assert why_not(one) == ""
    object.__setattr__(https, "authority", Authority())
    https.renew()
    assert within(10, lambda: all("has been renewed" in each.printed() for each in (one, other)))
    assert why_not(one) == ""


def test_an_instance_of_plain_http_asks_one_that_speaks_https_and_is_sent_no_token_by_it(
    start: Start, tmp_path: Path
) -> None:
    """As while a fleet is moved to HTTPS, or when somebody who may write to etcd takes the scheme away."""
    https = Https.made(tmp_path / "tls")
    plain, secured = start(TLS_CA=str(https.directory / "ca.crt")), start(**https.settings())
    assert why_not(plain) == ""
    assert why_not(secured) == "speaks plain HTTP, over which this instance sends no token; not asked"


def test_a_member_that_hides_its_scheme_hears_nothing(
    start: Start, etcd: EtcdServer, tmp_path: Path, prefix: str
) -> None:
    https = Https.made(tmp_path / "tls")
    asked = start(**https.settings())
    with Peer(b"").running() as peer, members(etcd, f"/{prefix}") as put:
        put(7, json.dumps({"address": peer.address}))
        (row,) = [row for row in rows(asked) if not row["me"]]
        assert row["why_not"].startswith("speaks plain HTTP")
        assert peer.connections == []
