"""Reading one's own writes on every instance (rule 10): the cookie, and `min_revision` for clients without."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.http.answers import UNKNOWN_SESSION, cookie_of, remember_session, seen_in
from tests.http.conftest import Gateway, StartGateway, start_gateway
from tests.support.etcd import EtcdServer

KEY = "/config/a"
FLEET = "0123456789abcdef"
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
        session = gateway.session(answer.headers["X-Config-Revision"])
        assert answer.headers["Set-Cookie"] == f"{session}; Path=/config; HttpOnly; SameSite=Lax"


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
    browser.set_cookie(cookie_of(gateway.cache.fleet_id()), str(NEVER_REACHED), path="/config")
    path = f"{KEY}?use_cache={use_cache}"
    refused = browser.get(path)
    assert (refused.status_code, refused.headers["Content-Type"]) == (410, "application/problem+json")
    assert browser.get(path).data == b"1"


@pytest.mark.parametrize("use_cache", ["true", "false"])
def test_a_parameter_that_is_wrong_ends_no_session(gateway: Gateway, use_cache: str) -> None:
    """The cookie says what this client has seen; a link with somebody else's revision in it says nothing of that."""
    written = gateway.ask("PUT", KEY, b"1").headers["X-Config-Revision"]
    query = f"{KEY}?use_cache={use_cache}&min_revision={NEVER_REACHED}"
    for cookie in (gateway.session(written), "x=y", "config_revision=7", gateway.session("x")):
        refused = gateway.ask("GET", query, Cookie=cookie)
        assert refused.status_code == 410
        assert "Set-Cookie" not in refused.headers
    both = gateway.ask("GET", query, Cookie=gateway.session(NEVER_REACHED - 1))
    assert both.headers["Set-Cookie"].startswith(f"{gateway.session('')}; Max-Age=0;")


def test_two_fleets_on_one_host_leave_each_others_sessions_alone(etcd: EtcdServer) -> None:
    """A browser sends the cookies of a host to all of its ports; the fleets' revisions have nothing in common."""
    with ExitStack() as stack:
        one, other = (start_gateway(stack, etcd, f"/two-fleets/{name}") for name in ("one", "other"))
        assert one.cache.fleet_id() != other.cache.fleet_id()
        other.ask("PUT", KEY, b"2")
        both = f"{one.session(NEVER_REACHED)}; {other.session(1)}"
        told = other.ask("GET", KEY, Cookie=both)
        assert (told.status_code, "Set-Cookie" in told.headers) == (200, False)
        assert other.ask("GET", KEY, Cookie=both).headers["X-Cache"] == "HIT"


def test_all_instances_of_a_fleet_name_their_sessions_alike(gateways: StartGateway) -> None:
    """Whoever came first; and they do so when they are started again."""
    started = [gateways(wait=False) for _ in range(4)]
    assert len({gateway.cache.fleet_id() for gateway in started}) == 1


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
    ahead = gateway.session(NEVER_REACHED)
    assert gateway.ask("GET", f"{KEY}?min_revision=1", Cookie=ahead).status_code == 410
    assert gateway.ask("GET", f"{KEY}?min_revision={NEVER_REACHED}", Cookie=gateway.session(1)).status_code == 410
    assert gateway.ask("GET", f"{KEY}?min_revision=1", Cookie=gateway.session(2)).status_code == 200


UNREADABLE = [
    "",
    " ",
    "a=1;",
    ";a=1",
    "a=1; ;b=2",
    "config_revision=7",  # of before it told of which fleet it is
    "OURS=",
    "OURS",
    "OURS=-7",
    "OURS=7x",
    "OURS=7.0",
    "OURS=\u0667",
    "OURS=9223372036854775808",
    "OURS=" + "9" * 400,
    "OURS=x; OURS=7",
    "OURS=7; OURS=",
    "OURS=7;",
]
"""Lines that are not ASCII, as a server hands them over, and sessions whose revision nobody can tell."""


@pytest.mark.parametrize(
    ("header", "revision"),
    [
        ("OURS=7", 7),
        ('OURS="7"', 7),
        ("a=1; OURS=7;b=2", 7),
        ("a=1;OURS=7", 7),
        ("OURS = 7", 7),
        ("OURS=7; OURS=9; OURS=8", 9),
        ("OURS=9223372036854775807", 2**63 - 1),
        ("a=b", 0),
        ("a", 0),
        ("xOURS=7", 0),
        ("OURSx=7", 0),
        ("config_revision_0000000000000000=7", 0),
        ("config_revision_0000000000000000=x; OURS=7", 7),
        *((header, UNKNOWN_SESSION) for header in UNREADABLE),
    ],
)
def test_a_session_that_cannot_be_understood_is_unknown_and_not_absent(header: str, revision: int) -> None:
    """Rule 10. Its sender didn't write it, and could not put a 400 right."""
    assert seen_in(header.replace("OURS", cookie_of(FLEET)), FLEET) == revision


def test_while_the_fleet_is_not_known_no_session_is(gateway: Gateway) -> None:
    """Nothing can be in memory yet, so an unknown session costs nothing more, and none is taken for absent."""
    assert seen_in(f"{cookie_of(FLEET)}=7", "") == UNKNOWN_SESSION
    assert seen_in("a=b", "") == 0
    seen = gateway.session(gateway.ask("PUT", KEY, b"1").headers["X-Config-Revision"])
    gateway.cache._cache._fleet_id.forget()
    assert gateway.ask("GET", KEY, Cookie="a=b").status_code == 200
    assert gateway.cache.known_fleet_id == ""
    assert gateway.ask("GET", KEY, Cookie=seen).status_code == 200
    assert cookie_of(gateway.cache.known_fleet_id) == seen.partition("=")[0]


@pytest.mark.lasting
@pytest.mark.parametrize("header", UNREADABLE)
@pytest.mark.parametrize("query", ["", "?use_cache=true", "?stale_if_error=60"])
def test_an_unknown_session_is_read_to_linearizably(gateways: StartGateway, header: str, query: str) -> None:
    """Rule 10: it may have seen whatever was acknowledged, though it is not in this instance's memory yet."""
    one, other = gateways(), gateways()
    one.ask("PUT", KEY, b"1")
    other.ask("GET", KEY)
    assert other.ask("GET", KEY).headers["X-Cache"] == "HIT"
    sent = header.replace("OURS", cookie_of(one.cache.fleet_id())).encode().decode("latin-1")
    for count in range(5):
        one.ask("PUT", KEY, b"%d" % count)
        answer = other.client.get(KEY + query, environ_overrides={"HTTP_COOKIE": sent})
        assert (answer.data, answer.headers["X-Cache"] in ("MISS", "REVALIDATED")) == (b"%d" % count, True)
        assert "Set-Cookie" not in answer.headers


@given(st.text(st.characters(codec="latin-1")))
def test_no_cookie_header_is_an_error(header: str) -> None:
    """Cookies of all sorts share the header."""
    assert seen_in(header, FLEET) >= UNKNOWN_SESSION
    assert seen_in(f"{cookie_of(FLEET)}={header}", FLEET) >= UNKNOWN_SESSION


@given(st.integers(1, 2**63 - 1))
def test_what_is_remembered_is_found_again(revision: int) -> None:
    """As a browser would send it."""
    assert seen_in(remember_session(FLEET, revision)[1].partition(";")[0], FLEET) == revision
