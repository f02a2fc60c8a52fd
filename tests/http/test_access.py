"""Who may do what, as a table: by method, path and token alone."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

import pytest

from service.auth import access
from service.auth.tokens import Scope, Token
from service.http.problems import Refused

R, W, OBS, A = Scope.READ, Scope.WRITE, Scope.OBSERVE, Scope.ADMIN

PATHS = {
    "": (None, None), "/": (None, None), "/healthz": (None, None), "/readyz": (None, None),
    "/members/proof": (None, None),
    "/docs": (None, None), "/docs/": (None, None), "/docs/x": (None, None), "/openapi.yaml": (None, None),
    "/metrics": (OBS, OBS), "/members": (OBS, OBS), "/members/targets": (OBS, OBS), "/members/tokens": (A, A),
    "/members/me": (OBS, OBS), "/members/states": (OBS, OBS), "/members/config/a": (R, A), "/page/x": (None, None),
    "/config": (R, W), "/config/": (R, W), "/config/a": (R, W), "/config/metrics": (R, W), "/config/healthz": (R, W),
    "/config//a": (R, W), "/config/../metrics": (R, W),
    "//config/a": (A, A), "/CONFIG/a": (A, A), "/configs": (A, A), "/config.": (A, A), "config/a": (A, A),
    "//": (A, A), "//healthz": (A, A), "/healthz/": (A, A), "/healthz/../config/a": (A, A), "/metrics/": (A, A),
    "/members/": (A, A), "/members/config": (A, A), "/members/config/": (A, A), "/page": (A, A),
    "/docsx": (A, A), "/new": (A, A), "*": (A, A), "/healthz\x00": (A, A),
}  # fmt: skip
"""What a read needs, and what anything else does. Whatever is not listed in the service is for admins."""


@pytest.mark.parametrize(("path", "scopes"), PATHS.items())
def test_each_path_needs_a_scope(path: str, scopes: tuple[Scope | None, Scope | None]) -> None:
    read, other = scopes
    assert {access.needed(method, path) for method in ("GET", "HEAD")} == {read}
    assert {access.needed(method, path) for method in ("PUT", "POST", "DELETE", "PATCH", "get", "BREW")} == {other}


def token(*scopes: Scope, prefix: str = "") -> Token:
    return Token("t", b"", frozenset(scopes), prefix)


def verdict(found: Token | None, method: str, path: str, header: str = "Bearer x") -> int:
    """200, or the status of the refusal; always one with a challenge, and the same for any key beneath."""
    scope = access.needed(method, path)
    assert scope is not None
    try:
        prefix = access.check(scope, found, path, header)
    except Refused as refused:
        return int(refused.problem.kind.status)
    assert found is not None
    assert prefix == found.prefix
    return 200


@pytest.mark.parametrize(
    ("found", "allowed"),
    [
        (None, ""),
        (token(R), "r"),
        (token(W), "w"),
        (token(OBS), "o"),
        (token(R, W), "rw"),
        (token(R, OBS), "ro"),
        (token(A), "rwoa"),
        (token(R, W, prefix="a/"), "rw"),
        (token(R, prefix="a/"), "r"),
        (token(W, OBS, prefix="a/"), "wo"),
    ],
)
def test_each_token_may_do_what_its_scopes_say(found: Token | None, allowed: str) -> None:
    asked = {
        "r": ("GET", "/config/a/b"), "w": ("PUT", "/config/a/b"), "o": ("GET", "/metrics"), "a": ("GET", "/other"),
    }  # fmt: skip
    refused = 401 if found is None else 403
    for letter, (method, path) in asked.items():
        assert verdict(found, method, path) == (200 if letter in allowed else refused), (method, path)


NFC, NFD = unicodedata.normalize("NFC", "\u00e9/"), unicodedata.normalize("NFD", "\u00e9/")


def wsgi(text: str) -> str:
    """As a server hands it over: decoded once, a character for each byte."""
    return text.encode().decode("latin-1")


@pytest.mark.parametrize(
    ("prefix", "key", "status"),
    [
        ("team-a/", "team-a/x", 200),
        ("team-a/", "team-a/x/y", 200),
        ("team-a/", "team-a/b/team-b", 200),
        ("team-a/", "team-a", 403),
        ("team-a/", "team-ab", 403),
        ("team-a/", "team-ab/x", 403),
        ("team-a/", "Team-a/x", 403),
        ("team-a/", "x/team-a/x", 403),
        ("team-a/", "team-a%2Fx", 403),  # sent as %252F: decoded once, it is a key with a percent sign
        ("team-a/", "team-a%2f", 403),
        ("team-a/", "team-a\\x", 403),
        ("team-a/", "team-a\u2215x", 403),  # division slash
        ("team-a/", "team-a\uff0fx", 403),  # fullwidth solidus
        ("team-a/", "team-a /x", 403),
        ("team-a/", "\u200bteam-a/x", 403),
        ("team-a/", "team-a/", 400),
        ("team-a/", "team-a//x", 400),
        ("team-a/", "/team-a/x", 400),
        ("team-a/", "team-a/../team-b/x", 400),
        ("team-a/", "./team-a/x", 400),
        ("team-a/", "team-a/\x00", 400),
        (NFC, NFC + "x", 200),
        (NFC, NFD + "x", 403),
        (NFD, NFC + "x", 403),
        ("a/b/", "a/b/c", 200),
        ("a/b/", "a/bc", 403),
        ("a/b/", "a/x", 403),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "POST", "DELETE"])
def test_a_prefix_is_compared_with_the_whole_key_as_it_is(prefix: str, key: str, status: int, method: str) -> None:
    """Decoded once and strictly, and normalised in no way: two keys that look alike are two keys."""
    assert verdict(token(R, W, prefix=prefix), method, wsgi(f"/config/{key}")) == status


def test_bytes_that_are_no_text_are_no_key() -> None:
    assert verdict(token(R, prefix="a/"), "GET", "/config/a/\xff") == 400


@pytest.mark.parametrize(
    ("asked", "prefix", "listed"),
    [
        ("", "", ""),
        ("a", "", "a"),
        ("", "a/", "a/"),
        ("a", "a/", "a/"),
        ("a/", "a/", "a/"),
        ("a/b", "a/", "a/b"),
        ("ab", "a/", None),
        ("b", "a/", None),
        ("A", "a/", None),
    ],
)
def test_a_listing_is_narrowed_to_what_may_be_read(asked: str, prefix: str, listed: str | None) -> None:
    if listed is not None:
        assert access.narrowed(asked, prefix) == listed
        return
    with pytest.raises(Refused) as refused:
        access.narrowed(asked, prefix)
    assert refused.value.problem.kind.status == 403


@pytest.mark.parametrize(
    ("found", "header", "challenge"),
    [
        (None, "", 'Bearer realm="config-service"'),
        (None, "Basic YTpi", 'Bearer realm="config-service"'),
        (None, "Bearerx", 'Bearer realm="config-service"'),
        (None, "Bearer", 'Bearer realm="config-service", error="invalid_token"'),
        (None, "bearer x", 'Bearer realm="config-service", error="invalid_token"'),
        (token(W), "Bearer x", 'Bearer realm="config-service", error="insufficient_scope", scope="read"'),
        (token(R, prefix="b/"), "Bearer x", 'Bearer realm="config-service", error="insufficient_scope", scope="read"'),
    ],
)
def test_refusals_bear_the_challenges_of_rfc_6750(found: Token | None, header: str, challenge: str) -> None:
    """3 and 3.1: no error for whoever sent no bearer token."""
    with pytest.raises(Refused) as refused:
        access.check(R, found, "/config/a", header)
    assert refused.value.problem.headers == (("WWW-Authenticate", challenge),)


def test_the_document_has_a_row_for_each_path_that_is_not_for_admins_only() -> None:
    """docs/security.md: which scope which page needs."""
    text = (Path(__file__).parents[2] / "docs" / "security.md").read_text()
    rows = {path: row for row in text.splitlines() if row.startswith("| `/") for path in re.findall(r"`(/[^`]*)`", row)}
    assert {path for path, row in rows.items() if "| none" in row} == access.OPEN - {""}
    assert {path for path, row in rows.items() if "| `observe` |" in row} == access.OBSERVED
