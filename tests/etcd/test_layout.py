"""Names of keys in etcd, and back."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from consistency.etcd.transactions import Layout, decode, encode, range_end, successor

LAYOUT = Layout("team/shop")


def test_the_table_of_keys() -> None:
    """PROTOCOL.md, what is in etcd."""
    assert LAYOUT.document("a/b") == b"team/shop/config/a/b"
    assert LAYOUT.version == b"team/shop/version"
    assert LAYOUT.fleet == b"team/shop/fleet"
    assert LAYOUT.member(7) == b"team/shop/members/07"
    assert LAYOUT.ack(7) == b"team/shop/members/07/ack"
    assert LAYOUT.departure(0x1F) == b"team/shop/members/departed/1f"
    assert LAYOUT.wait(0x1F) == b"team/shop/members/waiting/1f"


@pytest.mark.parametrize("prefix", ["team/shop", "team/shop/", "team/shop//"])
def test_slashes_at_the_end_of_the_prefix_make_no_difference(prefix: str) -> None:
    """Two instances that disagree on a slash must not be two fleets."""
    assert Layout(prefix) == LAYOUT


@pytest.mark.parametrize("prefix", ["a\nb", "\x00", "a\x7f"])
def test_a_prefix_with_control_characters_is_refused(prefix: str) -> None:
    """Whatever that was, it was no name."""
    with pytest.raises(ValueError, match="control character"):
        Layout(prefix)


@pytest.mark.parametrize(
    ("raw", "slot"),
    [
        (b"team/shop/members/00", 0), (b"team/shop/members/63", 63), (b"team/shop/members/64", None),
        (b"team/shop/members/07/ack", None), (b"team/shop/members/7", None), (b"team/shop/members/", None),
        (b"team/shop/members/-1", None), (b"other/members/07", None), (b"team/shop/members/\xd9\xa0\xd9\xa1", None),
    ],
)  # fmt: skip
def test_only_the_64_slots_are_members(raw: bytes, slot: int | None) -> None:
    """Rule 9; acknowledgements lie beneath them (rule 12)."""
    assert LAYOUT.slot_of(raw) == LAYOUT.held_slot_of(raw, 1) == slot
    assert LAYOUT.held_slot_of(raw, 0) is None


def test_the_slots_and_their_acknowledgements_lie_together() -> None:
    """A synchronous write ranges over these and nothing else (rule 12)."""
    for key in (LAYOUT.member(0), LAYOUT.member(63), LAYOUT.ack(63)):
        assert LAYOUT.members <= key < LAYOUT.slots_end
    assert LAYOUT.slots_end < LAYOUT.departure(0) < LAYOUT.wait(0) < range_end(LAYOUT.members)


@pytest.mark.parametrize(
    ("raw", "lease"),
    [
        (b"team/shop/members/departed/1f", 0x1F), (b"team/shop/members/departed/", None),
        (b"team/shop/members/departed/1F", None), (b"team/shop/members/departed/0x1", None),
        (b"team/shop/members/departed/" + b"f" * 17, None), (b"other/members/departed/1f", None),
        (b"team/shop/members/07", None), (b"team/shop/members/departed/1/ack", None),
    ],
)  # fmt: skip
def test_only_a_lease_has_departed(raw: bytes, lease: int | None) -> None:
    """Rule 9; it is neither a member nor an acknowledgement. So it is with who waits for a slot."""
    waiting = raw.replace(b"/departed/", b"/waiting/")
    assert (LAYOUT.departed_lease_of(raw), LAYOUT.waiting_lease_of(waiting)) == (lease, lease)
    if lease is not None:
        assert (LAYOUT.departed_lease_of(waiting), LAYOUT.waiting_lease_of(raw)) == (None, None)
        for key in (raw, waiting):
            assert (LAYOUT.slot_of(key), LAYOUT.acked_slot_of(key, 1)) == (None, None)


@pytest.mark.parametrize(
    ("raw", "slot"),
    [
        (b"team/shop/members/00/ack", 0), (b"team/shop/members/63/ack", 63), (b"team/shop/members/64/ack", None),
        (b"team/shop/members/07", None), (b"team/shop/members/07/ack/ack", None), (b"team/shop/members/ack", None),
        (b"other/members/07/ack", None), (b"team/shop/members/07ack", None),
    ],
)  # fmt: skip
def test_only_the_64_slots_have_acknowledgements(raw: bytes, slot: int | None) -> None:
    """Rule 12."""
    assert LAYOUT.acked_slot_of(raw, 1) == slot
    assert LAYOUT.acked_slot_of(raw, 0) is None


@pytest.mark.parametrize("slot", [-1, 64])
def test_a_slot_beyond_63_is_refused(slot: int) -> None:
    """Rule 9."""
    with pytest.raises(ValueError, match="between 0 and 63"):
        LAYOUT.member(slot)


@given(st.text().filter(lambda text: not any("\ud800" <= char <= "\udfff" for char in text)))
def test_every_key_comes_back_as_it_went(key: str) -> None:
    """Names are UTF-8, whatever they are."""
    assert LAYOUT.key_of(LAYOUT.document(key)) == key


@given(st.binary())
def test_bytes_that_are_no_text_survive_a_listing(raw: bytes) -> None:
    """A key put by another tool must not make a listing fail, or a page begin elsewhere."""
    assert encode(decode(raw)) == raw


def test_a_key_from_elsewhere_has_no_name() -> None:
    """It is not beneath the prefix."""
    with pytest.raises(ValueError, match="not beneath"):
        LAYOUT.key_of(b"team/shop/version")


@given(st.binary(min_size=1), st.binary())
@example(b"a", b"\xff")
@example(b"a\xff", b"\xff")
@example(b"\xff", b"\xff")
def test_a_range_holds_what_starts_with_its_prefix_and_nothing_else(prefix: bytes, other: bytes) -> None:
    """etcd's range end; b"\\0" stands for "no end"."""
    for key in (other, prefix + other, prefix[:-1] + other):
        end = range_end(prefix)
        assert (prefix <= key and (end == b"\x00" or key < end)) == key.startswith(prefix)


@given(st.binary(), st.binary())
def test_nothing_lies_between_a_key_and_its_successor(key: bytes, other: bytes) -> None:
    """What makes `after` exclusive."""
    assert not key < other < successor(key)
