"""Reading one's own writes on every instance (rule 10): the cookie, and `min_revision` for clients without."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.sessions import forget, remember, revision_in
from tests.http.conftest import Gateway, StartGateway

KEY = "/config/a"
NEVER_REACHED = 2**62


def test_a_client_with_cookies_sees_its_write_on_another_instance(gateways: StartGateway) -> None:
    """With no code at all, although the other instance has the old value in memory, fresh for the next 30 s.

    100 rounds, since without the cookie the watch nearly always wins the race.
    """
    one, other = gateways(), gateways()
    for count in range(100):
        written = one.ask("PUT", KEY, b"%d" % count)
        session = written.headers["Set-Cookie"].partition(";")[0]
        assert other.ask("GET", KEY, Cookie=session).data == b"%d" % count
        assert other.ask("GET", KEY, Cookie=session).headers["X-Cache"] == "HIT"


def test_every_write_gives_the_session_its_revision(gateway: Gateway) -> None:
    """For everything beneath /config, out of reach of scripts and of other sites' forms."""
    for method in ("PUT", "POST", "DELETE", "DELETE"):
        answer = gateway.ask(method, KEY, b"1")
        revision = answer.headers["X-Config-Revision"]
        assert answer.headers["Set-Cookie"] == f"config_revision={revision}; Path=/config; HttpOnly; SameSite=Lax"


def test_a_refused_write_leaves_the_session_alone(gateway: Gateway) -> None:
    """Nothing was written that could be read."""
    gateway.ask("PUT", KEY, b"1")
    for answer in (gateway.ask("PUT", KEY, b"2", If_None_Match="*"), gateway.ask("PUT", KEY, b"no")):
        assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("use_cache", ["true", "false"])
def test_a_session_from_another_history_ends_with_410(gateway: Gateway, use_cache: str) -> None:
    """A revision ahead of all etcd has: told at once, and the cookie goes, so that the next request succeeds."""
    gateway.ask("PUT", KEY, b"1")
    browser = gateway.browser()
    browser.set_cookie("config_revision", str(NEVER_REACHED), path="/config")
    path = f"{KEY}?use_cache={use_cache}"
    refused = browser.get(path)
    assert (refused.status_code, refused.headers["Content-Type"]) == (410, "application/problem+json")
    assert browser.get(path).data == b"1"


def test_a_minimum_revision_does_the_same_without_cookies(gateways: StartGateway) -> None:
    """`X-Config-Revision` of any answer is what to pass on."""
    one, other = gateways(), gateways()
    for count in range(50):
        revision = one.ask("PUT", KEY, b"%d" % count).headers["X-Config-Revision"]
        answer = other.ask("GET", f"{KEY}?min_revision={revision}")
        assert answer.data == b"%d" % count
        assert int(answer.headers["X-Config-Revision"]) >= int(revision)
    assert one.ask("GET", f"{KEY}?min_revision={NEVER_REACHED}").status_code == 410


def test_the_greater_of_cookie_and_parameter_counts(gateway: Gateway) -> None:
    """Either of them is a promise."""
    gateway.ask("PUT", KEY, b"1")
    ahead = f"config_revision={NEVER_REACHED}"
    assert gateway.ask("GET", f"{KEY}?min_revision=1", Cookie=ahead).status_code == 410
    assert gateway.ask("GET", f"{KEY}?min_revision={NEVER_REACHED}", Cookie="config_revision=1").status_code == 410
    assert gateway.ask("GET", f"{KEY}?min_revision=1", Cookie="config_revision=2").status_code == 200


@pytest.mark.parametrize(
    ("header", "revision"),
    [
        ("config_revision=7", 7),
        ('config_revision="7"', 7),
        ("a=1; config_revision=7;b=2", 7),
        ("a=1;config_revision=7", 7),
        ("config_revision=7; config_revision=9; config_revision=8", 9),
        ("config_revision=9223372036854775807", 2**63 - 1),
        ("", 0),
        ("config_revision=", 0),
        ("config_revision=-7", 0),
        ("config_revision=7x", 0),
        ("config_revision=7.0", 0),
        ("xconfig_revision=7", 0),
        ("config_revision=\u0667", 0),
        ("config_revision=9223372036854775808", 0),
        ("config_revision=x; config_revision=7", 7),
    ],
)
def test_a_malformed_cookie_is_no_cookie(header: str, revision: int) -> None:
    """Whoever sends it didn't write it: a 400 could not be put right."""
    assert revision_in(header) == revision


@given(st.text(st.characters(codec="latin-1")))
def test_no_cookie_header_is_an_error(header: str) -> None:
    """Cookies of all sorts share the header."""
    assert revision_in(header) >= 0
    assert revision_in("config_revision=" + header) >= 0


@given(st.integers(1, 2**63 - 1))
def test_what_is_remembered_is_found_again(revision: int) -> None:
    """As a browser would send it."""
    assert revision_in(remember(revision)[1].partition(";")[0]) == revision
    assert revision_in(forget()[1].partition(";")[0]) == 0
