"""Which releases of etcd are warned about, and of what."""

from __future__ import annotations

import pytest

from consistency.etcd.releases import ADVICE, ADVICE_WITH_USERS, weaknesses

CORRUPTION = "members may come to hold different data after a crash under load"
PROGRESS = "progress notifications of a watch may overtake its events"
READS = "a read that is given up may end the etcd that it was sent to"
LEASES = "a lease may be revoked although it was renewed"


@pytest.mark.parametrize("version", ["3.5.22", "3.5.30", "3.6.5", "3.6.12", "3.7.0", "4.0.0"])
def test_a_recommended_release_has_no_weakness(version: str) -> None:
    assert weaknesses(version) == ()


@pytest.mark.parametrize(
    ("version", "faults"),
    [
        ("3.5.0", {CORRUPTION, PROGRESS, READS, LEASES}),
        ("3.5.2", {CORRUPTION, PROGRESS, READS, LEASES}),
        ("3.5.3", {PROGRESS, READS, LEASES}),
        ("3.5.6", {PROGRESS, READS, LEASES}),
        ("3.5.7", {PROGRESS, LEASES}),
        ("3.5.8", {LEASES}),
        ("3.5.12", {LEASES}),
        ("3.5.13", set()),
        ("3.4.22", {PROGRESS, READS, LEASES}),
        ("3.4.24", {PROGRESS, LEASES}),
        ("3.4.25", {LEASES}),
        ("3.4.30", {LEASES}),
        ("3.4.31", set()),
        ("3.6.0", set()),
    ],
)
def test_each_fault_ends_with_the_release_that_mended_it(version: str, faults: set[str]) -> None:
    """The bounds are those of etcd's changelogs."""
    assert {each for each in weaknesses(version) if each in (CORRUPTION, PROGRESS, READS, LEASES)} == faults


@pytest.mark.parametrize(
    ("version", "past"),
    [("3.4.44", True), ("3.5.32", True), ("3.5.33", False), ("3.6.13", True), ("3.6.14", False), ("3.7.0", True),
     ("3.7.1", False), ("3.8.0", False)],
)  # fmt: skip
def test_the_limits_of_roles_are_told_of_where_there_are_users(version: str, past: bool) -> None:
    """The bounds are those of etcd's last advisory on them; without users there are no limits."""
    beyond = "a user may get past the limits of its role"
    assert (beyond in weaknesses(version, users=True)) is past
    assert beyond not in weaknesses(version)


@pytest.mark.parametrize("version", ["3.5.13", "3.5.21", "3.6.0", "3.6.4", "3.4.39", "3.3.27"])
def test_what_is_older_than_recommended_is_told_even_without_a_known_fault(version: str) -> None:
    assert len(weaknesses(version)) == 1


@pytest.mark.parametrize(("version", "found"), [("3.5.0-rc.1", CORRUPTION), ("3.4.23+git", PROGRESS)])
def test_what_follows_the_numbers_does_not_matter(version: str, found: str) -> None:
    assert found in weaknesses(version)


@pytest.mark.parametrize("version", ["", "latest", "3.5"])
def test_what_is_no_version_is_told(version: str) -> None:
    """A proxy or another product may answer in etcd's place."""
    assert weaknesses(version) == (f"{version!r} is no version that this service knows",)


def test_the_advice_names_each_line() -> None:
    assert ADVICE == "use etcd ≥ 3.5.22 or ≥ 3.6.5"
    assert ADVICE_WITH_USERS == "use etcd ≥ 3.5.33 or ≥ 3.6.14 or ≥ 3.7.1"
