"""Which paths name a key. Hazard: `%ff%fe` becomes U+FFFD so that two keys collide; `//a` and `..` lead elsewhere."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.http.problems import Refused
from service.http.requests import check_key, check_prefix, key_from_path, path_of


def wire(path: bytes) -> str:
    """A percent-decoded path as WSGI hands it over."""
    return path.decode("latin-1")


@pytest.mark.parametrize(
    ("path", "key"),
    [
        (b"/config/a", "a"),
        (b"/config/performance_tests/abc", "performance_tests/abc"),
        ("/config/schlüssel/日本".encode(), "schlüssel/日本"),
        (b"/config/a b+c&d?e#f", "a b+c&d?e#f"),
        (b"/config/config/a", "config/a"),
        (b"/config/%2e%2e", "%2e%2e"),  # decoded once: this was %252e%252e
        (b"/config/50%25/%aF", "50%25/%aF"),
        (b"/config/...", "..."),
        (b"/config/.hidden/a..b", ".hidden/a..b"),
        (b"/config/" + b"x" * 512, "x" * 512),
    ],
)
def test_a_path_names_the_key_behind_config(path: bytes, key: str) -> None:
    """The contract: everything after /config/, slashes allowed."""
    assert key_from_path(wire(path)) == key


@pytest.mark.parametrize(
    "path",
    [
        b"/config/",
        b"/config//a",
        b"/config/a//b",
        b"/config/a/",
        b"/config/.",
        b"/config/..",
        b"/config/a/../b",
        b"/config/a/./b",
        b"/config/a/..",
        b"/config/\xff\xfe",
        "/config/a\ufffd".encode(),  # what a lenient decoder makes of the former
        b"/config/%zz",
        b"/config/a%",
        b"/config/a%4",
        b"/config/a%4/b",
        b"/config/%u00e9",
        "/config/%\u0661\u0662".encode(),
        b"/config/\xc0\xaf",  # an overlong slash
        b"/config/\xed\xa0\x80",  # a surrogate
        b"/config/a\x00",
        b"/config/a\nb",
        b"/config/\x7f",
        "/config/\x85".encode(),  # C1: "next line"
        "/config/\x9f".encode(),
        b"/config/" + b"x" * 513,
        b"/config/" + "ü".encode() * 257,  # 514 bytes, 257 characters
    ],
)
def test_a_path_that_readers_would_disagree_about_is_refused(path: bytes) -> None:
    """The contract: control characters, empty, `.` and `..` segments, bad UTF-8, over 512 bytes: 400."""
    with pytest.raises(Refused) as refusal:
        key_from_path(wire(path))
    assert refusal.value.problem.kind.status == 400


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_two_paths_never_name_one_key(one: bytes, other: bytes) -> None:
    """Hazard: a lenient decoder maps every bad byte to U+FFFD."""
    try:
        keys = key_from_path(wire(b"/config/" + one)), key_from_path(wire(b"/config/" + other))
    except Refused:
        return
    assert (keys[0] == keys[1]) == (one == other)


@given(st.text(min_size=1, max_size=60))
def test_the_location_of_a_key_leads_back_to_it(key: str) -> None:
    """201's Location names the key that was created."""
    try:
        check_key(key)
    except (Refused, UnicodeEncodeError):
        return
    assert key_from_path(wire(unquote_to_bytes(path_of(key)))) == key


@pytest.mark.parametrize("prefix", ["", "a", "a/", "a/b", "a/.", "a/..", ".", "a b/", "ü", "a%25", "a%", "a%4"])
def test_a_prefix_may_end_anywhere(prefix: str) -> None:
    """A listing's prefix is empty, whole segments, or a part of one: `..` may go on as `..a`."""
    assert check_prefix(prefix) == prefix


@pytest.mark.parametrize(
    "prefix", ["/", "//", "a//", "../", "a/../", "./a", "a\x00", "x" * 513, "%zz", "a%/", "%4g", "\ufffd"]
)
def test_a_prefix_that_no_key_can_have_is_refused(prefix: str) -> None:
    """Nothing could be found beneath it: a mistake, so it is said."""
    with pytest.raises(Refused):
        check_prefix(prefix)
