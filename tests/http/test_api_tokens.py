"""What a token is, how it is found, and how lists of them are refused: never with a word of what might be one."""

from __future__ import annotations

import gc
import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.auth.token_lists import EXAMPLE, TokensError, from_json, from_list
from service.auth.tokens import MOST_REMEMBERED, Bearers, Scope, Token, digest_of

CANARY = "c4n4ry-0123456789-abcdefghijklm"
OTHER = "an-other-token-0123456789"
HASH = hashlib.sha256(CANARY.encode()).hexdigest()


def entry(**more: Any) -> dict[str, Any]:
    """One that is in order, but for `more`; None takes a field away."""
    fields = {"name": "ci", "token": CANARY, "scopes": ["read"], **more}
    return {name: value for name, value in fields.items() if value is not None}


def refusal(found: object) -> str:
    with pytest.raises(TokensError) as refused:
        from_json(found if isinstance(found, str) else json.dumps(found))
    assert refused.value.__cause__ is None
    return str(refused.value)


# Finding one


@pytest.fixture
def bearers() -> Bearers:
    return Bearers(from_list([entry(), entry(name="other", token=OTHER)]))


@pytest.mark.parametrize(
    "header", [f"Bearer {CANARY}", f"bearer {CANARY}", f"BEARER {CANARY}", f"bEaReR {CANARY}", f"Bearer   {CANARY}"]
)
def test_the_scheme_may_be_written_in_either_case(bearers: Bearers, header: str) -> None:
    """RFC 9110, 11.1; and any number of blanks may follow it."""
    for _ in range(2):  # looked up, then remembered
        found = bearers.find(header)
        assert found is not None
        assert found.name == "ci"


@pytest.mark.parametrize(
    "header",
    [
        "", "Bearer", "Bearer ", CANARY, f"Basic {CANARY}", f"Token {CANARY}", f"Bearer{CANARY}", f"Bearer\t{CANARY}",
        f" Bearer {CANARY}", f"Bearer {CANARY} ", f"Bearer {CANARY}\n", f"Bearer {CANARY},", f"Bearer {CANARY}=",
        f"Bearer {CANARY}, Bearer {CANARY}", f"Bearer {CANARY},Bearer {OTHER}", f"Bearer {CANARY} {OTHER}",
        f'Bearer "{CANARY}"', f"Bearer {CANARY.upper()}", f"Bearer {CANARY[:-1]}", f"Bearer {CANARY}x",
        f"Bearer {HASH}", f"Bearer sha256:{HASH}", "Bearer \u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9",
        "Bearer \udcff", f"Bearer {'x' * 100_000}", f"\u212aearer {CANARY}", f"Bearer \u0131{CANARY}", "Bearer ci",
    ],
)  # fmt: skip
def test_anything_else_finds_none(bearers: Bearers, header: str) -> None:
    """Several tokens in one header are none: a server joins two headers so, and a proxy may have seen only one."""
    assert bearers.find(header) is None
    assert bearers.find(header) is None


@given(st.text(max_size=40))
def test_whatever_is_sent_is_found_only_if_it_is_the_token(text: str) -> None:
    found = Bearers(from_list([entry()])).find(f"Bearer {text}")
    assert (found is not None) == (text.lstrip(" ") == CANARY)


def test_a_token_that_could_be_guessed_does_not_get_in_by_its_hash() -> None:
    """Of a hash nobody can tell how long the token is; of the token that is sent, one can."""
    for token, gets_in in (("x" * 15, False), ("x" * 16, True), ("x" * 512, True), ("x" * 513, False)):
        hashed = hashlib.sha256(token.encode()).hexdigest()
        bearers = Bearers(from_list([entry(token=None, sha256=hashed)]))
        assert (bearers.find(f"Bearer {token}") is not None) == gets_in


def test_of_what_is_sent_only_hashes_are_remembered_and_only_of_those_let_in(bearers: Bearers) -> None:
    """A thousand spellings are not remembered for ever, and wrong tokens not at all."""
    for number in range(2 * MOST_REMEMBERED):
        assert bearers.find(f"Bearer wrong-{number:020}") is None
    assert bearers._known == {}
    for blanks in range(1, MOST_REMEMBERED + 2):
        assert bearers.find("Bearer" + blanks * " " + CANARY)
    assert 1 <= len(bearers._known) <= MOST_REMEMBERED
    assert all(isinstance(key, bytes) and len(key) == 32 for key in bearers._known)


def test_nothing_that_is_kept_says_the_token() -> None:
    """Neither in its representation nor in any object that it holds."""
    bearers = Bearers(from_list([entry(token=OTHER[::-1])]))
    assert bearers.find(f"Bearer {OTHER[::-1]}")
    (token,) = bearers._tokens
    assert "digest" not in repr(token)
    held: list[object] = [bearers.__dict__]
    seen = 0
    while seen < len(held) < 10_000:
        held += [each for each in gc.get_referents(held[seen]) if isinstance(each, dict | tuple | list | str | bytes)]
        seen += 1
    assert not [each for each in held if isinstance(each, str | bytes) and OTHER[::-1] in str(each)]


# Writing them down


def test_a_hash_and_the_token_itself_come_to_the_same() -> None:
    """In either case of letters."""
    kept = Token("ci", digest_of(CANARY), frozenset({Scope.READ}), "")
    for given_as in ({}, {"token": None, "sha256": HASH}, {"token": None, "sha256": HASH.upper()}):
        assert from_list([entry(**given_as)]) == (kept,)


def test_the_example_is_one() -> None:
    (token,) = from_json(EXAMPLE)
    assert (token.name, token.prefix, set(token.scopes)) == ("team-a", "team-a/", {Scope.READ, Scope.WRITE})


@pytest.mark.parametrize(
    ("scopes", "may"),
    [
        (["read"], {"read"}),
        (["write"], {"write"}),
        (["observe"], {"observe"}),
        (["read", "write"], {"read", "write"}),
        (["admin"], {"read", "write", "observe", "admin"}),
    ],
)
def test_a_scope_is_for_itself_and_admin_for_all(scopes: list[str], may: set[str]) -> None:
    """To write is not to read."""
    (token,) = from_list([entry(scopes=scopes)])
    assert {scope.value for scope in Scope if token.may(scope)} == may


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ("", "it is not JSON: Expecting value at line 1, column 1"),
        (f'["{CANARY}"', "it is not JSON: Expecting ',' delimiter"),
        ("[" * 100_000, "nested too deeply"),
        (
            f'[{{"name": "ci", "scopes": ["read"], "{CANARY}": 1, "{CANARY}": 2}}]',
            "a name is given twice in one object",
        ),
        ("{}", "it is an empty object, not a list"),
        (f'"{CANARY}"', "it is a text of 31 characters, not a list"),
        ("[]", "it holds 0 tokens; expected 1 to 1000"),
        ([entry()] * 1001, "it holds 1001 tokens"),
        ([CANARY], "token 1: it should be an object"),
        ([entry(name=None)], "token 1: name is missing"),
        ([entry(name="")], "token 1: name should be 1 to 64 letters, digits and ._-"),
        ([entry(name="a\n")], "token 1: name should be"),
        ([entry(), entry(name="b", scopes=None)], "token 2 (b): scopes is missing"),
        ([entry(scopes=[])], "token 1 (ci): scopes: list should have at least 1 item"),
        ([entry(scopes="read")], "token 1 (ci): scopes: input should be a valid list"),
        ([entry(scopes=["wirte"])], "token 1 (ci): scope 1 is none; expected read, write, observe, admin"),
        ([entry(scopes=["read", "READ"])], "scope 2 is none"),
        ([entry(scopes=[CANARY])], "scope 1 is none"),
        (
            [entry(scope=["read"])],
            "token 1 (ci): it has an unknown member, which is nearly scopes; known are name, sha",
        ),
        ([entry(**{CANARY: "read"})], "it has an unknown member; known are name"),
        ([entry(token=None)], "token 1 (ci): expected either sha256 or token"),
        ([entry(sha256=HASH)], "token 1 (ci): expected either sha256 or token"),
        ([entry(token=None, sha256=HASH[:-1])], "token 1 (ci): sha256: it should be 64 hexadecimal digits"),
        ([entry(token=None, sha256=CANARY)], "it should be 64 hexadecimal digits"),
        ([entry(token="x" * 15)], "token 1 (ci): token: it has 15 characters; expected 16 to 512"),
        ([entry(token="x" * 513)], "it has 513 characters"),
        ([entry(token=CANARY + "\n")], "token: it may have letters, digits and -._~+/ only"),
        ([entry(token=CANARY + " x")], "token: it may have letters"),
        ([entry(token="\u00e9" * 16)], "token: it may have letters"),
        ([entry(token=12345)], "token: input should be a valid string"),
        ([entry(prefix="team-a")], "token 1 (ci): prefix: it should end with a slash"),
        ([entry(prefix="")], "prefix: it should end with a slash"),
        ([entry(prefix="/")], "empty segment"),
        ([entry(prefix="a//")], "empty segment"),
        ([entry(prefix="../")], "'..'"),
        ([entry(prefix="a\u0000/")], "control character"),
        ([entry(prefix=5)], "prefix: input should be a valid string"),
        ([entry(scopes=["admin"], prefix="a/")], "admin is for everything; expected other scopes, or no prefix"),
        ([entry(scopes=["observe"], prefix="a/")], "a prefix limits read and write"),
        ([entry(name=CANARY, token=OTHER, scopes=[])], "token 1: scopes: list should"),  # two values mixed up
        ([entry(name=CANARY), entry(name=CANARY, token=OTHER)], "tokens 1 and 2 have the same name"),
        ([entry(), entry(token=OTHER)], "tokens 1 and 2 have the same name"),
        ([entry(), entry(name="b")], "tokens 1 and 2 are the same"),
        ([entry(), entry(name="b", token=None, sha256=HASH)], "tokens 1 and 2 are the same"),
    ],
)
def test_a_list_that_can_not_be_used_is_told_without_its_secrets(found: object, told: str) -> None:
    """Which token, what is wrong with it, what was expected."""
    message = refusal(found)
    assert told in message
    assert not {CANARY, HASH, HASH[:-1], OTHER} & set(message.replace("'", " ").split())
    assert CANARY not in message


def test_a_prefix_that_is_null_is_not_all_keys() -> None:
    """Templates write null where a variable was not set."""
    assert "prefix: input should be a valid string" in refusal(json.dumps([entry() | {"prefix": None}]))


def test_all_that_is_wrong_is_told_at_once() -> None:
    message = refusal([entry(scopes=["x"]), entry(name="b", token="short", prefix="b")])
    assert all(words in message for words in ("token 1 (ci): scope 1", "token 2 (b): token:", "token 2 (b): prefix:"))
