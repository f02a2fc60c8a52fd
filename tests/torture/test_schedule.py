"""A schedule is decided by its seed, and asks of the world only what it can do."""

from __future__ import annotations

import inspect
from itertools import pairwise

import pytest

from torture.schedule import ETCD, INSTANCES, SETTLING, Step, plan
from torture.world import World


def test_the_same_seed_gives_the_same_schedule_and_another_seed_another() -> None:
    assert plan(7, 120, 5) == plan(7, 120, 5)
    assert plan(7, 120, 5) != plan(8, 120, 5)


def test_a_schedule_survives_its_file() -> None:
    steps = plan(1, 300, 5)
    assert [Step.from_json(step.to_json()) for step in steps] == steps


@pytest.mark.parametrize("seed", range(5))
def test_every_kind_of_fault_comes_within_five_minutes(seed: int) -> None:
    assert {step.kind for step in plan(seed, 300, 5)} == {*ETCD, *INSTANCES}


@pytest.mark.parametrize("seed", range(5))
def test_every_fault_begins_after_the_start_and_is_over_before_the_end(seed: int) -> None:
    steps = plan(seed, 60, 5)
    assert all(SETTLING <= step.at <= 60 - SETTLING for step in steps)
    assert [step.at for step in steps] == sorted(step.at for step in steps)


@pytest.mark.parametrize("lane", [ETCD, INSTANCES], ids=["etcd", "instances"])
def test_within_a_lane_one_fault_follows_the_other(lane: dict[str, object]) -> None:
    """So that the cure of one is not the cure of another."""
    steps = [step for step in plan(3, 300, 5) if step.kind in lane]
    assert all(earlier.fault <= later.fault for earlier, later in pairwise(steps))


def test_the_world_can_do_every_step() -> None:
    for step in plan(1, 300, 5):
        inspect.signature(getattr(World, step.action)).bind(None, *step.arguments)
