"""The names of a certificate, and which of them stand for a token."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from metrics import Instruments
from service.auth import token_lists
from service.auth.keyring import Keyring
from service.auth.token_lists import TokensError
from service.auth.token_sources import TokenSource
from service.auth.tokens import Bearers
from service.http.door import Door
from service.http.hosts import hosts_of
from service.http.problems import Refused
from service.tls.client_certificates import SHOWN, ClientCertificate, certificate_of, names_for

END = "Jan  1 00:00:00 2030 GMT"
CN = (("countryName", "DE"),), (("commonName", "Old Client"),)


@pytest.mark.parametrize(
    ("alternative", "names"),
    [
        ((), ("cn:Old Client",)),
        ((("DNS", "CI.Example"), ("URI", "spiffe://a/B")), ("dns:ci.example", "uri:spiffe://a/B")),
        ((("IP Address", "10.0.0.1"), ("email", "a@b.c")), ("cn:Old Client",)),
        ((("DNS", "a"),), ("dns:a",)),
    ],
)
def test_each_name_is_of_its_kind_and_a_common_name_counts_alone(
    alternative: tuple[tuple[str, str], ...], names: tuple[str, ...]
) -> None:
    shown = certificate_of({"subject": CN, "subjectAltName": alternative, "notAfter": END})
    assert shown.names == names
    assert shown.expires == 1_893_456_000


def test_a_certificate_without_names_has_none() -> None:
    assert certificate_of({"subject": (), "notAfter": END}).names == ()


def entry(name: str, certificate: str = "", **more: Any) -> dict[str, Any]:
    return {"name": name, "scopes": ["read"], **({"certificate": certificate} if certificate else {}), **more}


TEXT = some.text(some.characters(min_codepoint=33, max_codepoint=126, exclude_characters="*"), min_size=1, max_size=20)


@given(TEXT, TEXT, some.sampled_from(["DNS", "URI", "CN"]))
def test_a_name_stands_for_a_token_only_if_it_is_the_same_and_of_its_kind(wanted: str, has: str, kind: str) -> None:
    (token,) = token_lists.from_list([entry("a", wanted)])
    subject = ((("commonName", has),),) if kind == "CN" else ()
    alternative = () if kind == "CN" else ((kind, has),)
    found = Bearers([token]).certified(
        certificate_of({"subject": subject, "subjectAltName": alternative, "notAfter": END}).names
    )
    same = wanted.lower() == has.lower() if kind == "DNS" else wanted == has
    assert (found is token) == (same and (kind == "URI") == ("://" in wanted))


def test_the_first_name_that_stands_for_one_decides() -> None:
    bearers = Bearers(token_lists.from_list([entry("a", "a.example"), entry("b", "b.example")]))
    found = bearers.certified(("dns:x", "dns:b.example", "dns:a.example"))
    assert found is not None
    assert found.name == "b"
    assert bearers.certified(()) is None


def test_a_token_that_is_a_name_alone_can_not_be_sent() -> None:
    """Nor proven: whoever knows that there is no hash knows the hash."""
    bearers = Bearers(token_lists.from_list([entry("a", "a.example"), entry("b", token="b" * 20)]))
    assert bearers.named("a") is None
    assert bearers.named("b") is not None
    assert bearers.find("Bearer ") is None


def test_a_token_without_a_name_is_nobodys() -> None:
    assert names_for("") == ()


@pytest.mark.parametrize(
    ("found", "why"),
    [
        ([entry("a")], "token 1 (a): expected either sha256 or token; or neither of them, and certificate"),
        ([entry("a", "*.example")], "token 1 (a): certificate: expected one name of a certificate, without *"),
        ([entry("a", "a\nb")], "token 1 (a): certificate: expected one name"),
        ([entry("a", "é")], "token 1 (a): certificate: expected one name"),
        ([entry("a", "x" * 256)], "token 1 (a): certificate: expected one name"),
        ([entry("a", "A.example"), entry("b", "a.Example")], "tokens 1 and 2 have the same certificate"),
    ],
)
def test_names_that_can_not_be_one_are_refused(found: list[dict[str, Any]], why: str) -> None:
    with pytest.raises(TokensError) as refused:
        token_lists.from_list(found)
    assert str(refused.value).startswith(why)


def door(*entries: dict[str, Any]) -> tuple[Door, Keyring]:
    keyring = Keyring(TokenSource("a test", token_lists.from_list([*entries]), certificates=True))
    return Door(hosts_of("127.0.0.1", (), "here", ""), keyring, Instruments()), keyring


def request(names: tuple[str, ...], ends_in: float = 100.0) -> dict[str, Any]:
    shown = ClientCertificate(names, time.time() + ends_in)
    return {"REQUEST_METHOD": "GET", "PATH_INFO": "/config/a", "HTTP_HOST": "localhost", SHOWN: shown}


def test_a_certificate_that_has_ended_since_it_was_shown_gives_no_right() -> None:
    at, _ = door(entry("a", "a.example"))
    at.admit(request(("dns:a.example",)))
    with pytest.raises(Refused) as refused:
        at.admit(request(("dns:a.example",), ends_in=-1.0))
    assert refused.value.problem.kind.status == 401


def test_a_stream_ends_when_the_name_of_its_client_stands_for_nothing_any_more() -> None:
    """Its request keeps what is asked for again, and nothing else."""
    at, keyring = door(entry("a", "a.example"))
    stream = request(("dns:a.example",))
    at.admit(stream)
    at.keep_rights(stream)
    at.admit_again(stream)
    keyring.bearers = Bearers(token_lists.from_list([entry("a", "b.example")]))
    with pytest.raises(Refused):
        at.admit_again(stream)
