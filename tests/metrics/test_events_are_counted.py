"""Every event of the protocol moves the samples it should, and no others."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest
from prometheus_client import CollectorRegistry

from consistency.core import events
from consistency.core.events import Event
from metrics import Instruments, counters
from tests.metrics.sample import EVENTS, Moved

PROJECT = Path(__file__).parents[2]
OURS = re.compile(r"config_(?!build_info|ready)")


def samples(registry: CollectorRegistry) -> Moved:
    """All samples of ours but the histograms' buckets."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in registry.collect()
        for sample in family.samples
        if OURS.match(sample.name) and not sample.name.endswith("_bucket")
    }


@pytest.mark.parametrize(("event", "expected"), EVENTS, ids=repr)
def test_event_is_counted(event: Event, expected: Moved) -> None:
    """The metrics that an event should move grow by exactly that much; all others stay."""
    registry = CollectorRegistry()
    instruments = Instruments(registry)
    before = samples(registry)

    instruments.observe(event)

    after = samples(registry)
    assert {name: after[name] - before.get(name, 0.0) for name in after if after[name] != before.get(name)} == expected


def test_no_event_class_goes_without_a_test() -> None:
    """A new event has to be added to the sample, or this fails."""
    assert {type(event) for event, _ in EVENTS} == set(get_args(Event))


@pytest.mark.parametrize(
    ("event", "known", "metric"),
    [
        (events.ReadServed, counters.BYPASS_REASONS, "config_cache_bypasses_total"),
        (events.Invalidated, counters.INVALIDATION_CAUSES, "config_cache_invalidations_total"),
        (events.WatchEnded, counters.WATCH_END_CAUSES, "config_watch_ends_total"),
        (events.Left, counters.LEAVE_CAUSES, "config_member_leaves_total"),
        (events.JoinFailed, counters.JOIN_FAILURE_CAUSES, "config_member_join_failures_total"),
        (events.ScopeReset, counters.RESET_CAUSES, "config_change_resets_total"),
        (events.WorkerFailed, (*counters.WORKERS, *counters.ERRANDS), "config_worker_failures_total"),
    ],
)
def test_every_cause_the_protocol_names_has_its_series_from_the_start(
    event: type[Event], known: tuple[str, ...], metric: str
) -> None:
    """A counter born with its first failure hides it from rate(). The events' docstrings name the causes."""
    assert set(re.findall(r'"([^"]+)"', event.__doc__ or "")) == set(known)
    registry = CollectorRegistry()
    Instruments(registry)
    assert {dict(labels).popitem()[1] for name, labels in samples(registry) if name == metric} == set(known)


def test_the_workers_are_those_that_tell_of_their_failures() -> None:
    """By the places that make them; a worker without an observer is not counted."""
    files = [file for room in ("consistency", "service") for file in (PROJECT / room).rglob("*.py")]
    sources = "".join(file.read_text() for file in files)
    made = re.findall(r'Worker\("([^"]+)", \S+, (?:observer|self\.observe)\)', sources)
    assert sorted(made) == sorted(counters.WORKERS)
