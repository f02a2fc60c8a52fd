"""What the protocol reads out of a policy (rule 15)."""

from __future__ import annotations

import json
import re

import pytest

from consistency.core.model import LARGEST_POLICY, Kept, Policy


def policy(**members: object) -> Policy:
    return Policy.read(json.dumps(members).encode(), 7)


def test_without_a_policy_nothing_is_guarded_and_history_is_kept() -> None:
    none = Policy.none()
    assert (none.text, none.mod_revision, none.fault) == (None, 0, "")
    assert not none.guards("flags/a")
    assert none.history == Kept(keep=20, max_bytes=65536)


def test_what_begins_with_a_guarded_prefix_is_guarded() -> None:
    found = policy(guarded=["flags/", "limits"])
    assert found.guards("flags/a")
    assert found.guards("limits/b")
    assert not found.guards("flag")
    assert not found.guards("team/flags/a")
    assert (found.mod_revision, found.fault) == (7, "")


def test_the_empty_prefix_guards_everything() -> None:
    assert policy(guarded=[""]).guards("whatever")


def test_members_that_are_not_the_protocols_are_left_alone() -> None:
    found = policy(schemas=[{"prefix": "a", "schema": {}}], later=1, history={"keep": 0, "later": 1})
    assert (found.fault, found.history) == ("", Kept(keep=0, max_bytes=65536))


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (b"", "Expecting value"),
        (b"\xff\xfe\x00", "codec can't decode"),
        (b"[" * 100_000, "recursion"),
        (b"[]", "no JSON object"),
        (b'{"guarded": "flags/"}', "guarded is no list"),
        (b'{"guarded": [1]}', "guarded is no list"),
        (b'{"history": []}', "history is no JSON object"),
        (b'{"history": {"keep": -1}}', r"history\.keep is no number"),
        (b'{"history": {"keep": true}}', r"history\.keep is no number"),
        (b'{"history": {"max_bytes": "1"}}', r"history\.max_bytes is no number"),
        (b'{"x": "' + b"x" * LARGEST_POLICY + b'"}', "at most 262,144"),
    ],
)
def test_a_text_that_cannot_be_read_guards_everything_and_says_why(text: bytes, fault: str) -> None:
    found = Policy.read(text, 7)
    assert re.search(fault, found.fault)
    assert found.guards("whatever")
    assert (found.text, found.mod_revision, found.history) == (text, 7, Kept())
