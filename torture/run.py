"""One run: a world, a workload and a schedule of faults, then the checks. Owns the order of things and the directory.

The directory keeps everything that tells what happened: `schedule.jsonl`, `faults.jsonl` (what was done, and what could
not be), `history.jsonl`, `truth.jsonl`, `control.jsonl`, `violations.txt`, and the logs of every process.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from tests.support.instances import PROJECT, environment
from torture.case import Case
from torture.checker import check
from torture.client import offers
from torture.followed import Told, read_followed
from torture.history import CHECKED, Operation, read_history, write_lines
from torture.order import linearizable_across_keys
from torture.schedule import Step
from torture.truth import Change, Truth
from torture.violations import Violation
from torture.workload import Load
from torture.world import BOUND, World

SLACK = 0.01
"""Seconds that clocks of different rates may make of one bound."""

CLIENTS = 40
FOLLOWERS = 16
LIBRARY = 20
AFTERMATH = 3.0
"""Seconds of work after everything has recovered."""

ENDS_WITHIN = 45.0
"""Seconds that a process of clients may take to come back."""

GUARDED = (f"{CHECKED}hot-0", f"{CHECKED}hot-1", f"{CHECKED}warm-1", f"{CHECKED}cold-2")
"""Prefixes of keys that are guarded from the beginning to the end."""

GUARDING = "guarded.txt"
"""The file that says so, a prefix a line."""

SHOWN = 10
"""Violations of one check that are rendered."""


class WorldFailed(Exception):
    """The run says nothing about the service: etcd or the harness itself failed."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a run gave. `faults`: how many of each kind happened; `missed`: the steps that could not be done."""

    history: Sequence[Operation]
    followed: Sequence[Told]
    truth: Truth
    faults: Counter[str]
    missed: Sequence[str]
    violations: Sequence[Violation]
    guarded: tuple[str, ...] = ()


def run(
    directory: Path, steps: Sequence[Step], *, seed: int, seconds: float, instances: int, rate: float,
    say: Callable[[str], None],
) -> Result:  # fmt: skip
    """Raises WorldFailed. `say` is told about the progress."""
    directory.mkdir(parents=True, exist_ok=True)
    write_lines(directory / "schedule.jsonl", (step.to_json() for step in steps))
    try:
        with World(directory, instances) as world:
            offered = offers(world.instances[0].port)
            say(f"{instances} instances on 3 etcd members are ready; beside the basics they offer {', '.join(offered)}")
            say(f"guarded: {', '.join(_guard(world, directory)) or 'nothing'}")
            ports = tuple(instance.port for instance in world.instances)
            history, followed, held = (str(directory / f"{name}.jsonl") for name in ("history", "followed", "held"))
            library = LIBRARY if "changes" in offered else 0
            load = Load(seed, CLIENTS, rate, ports, offered, history, followed, held, FOLLOWERS, library)
            with working("library", load, directory), working("workload", load, directory):
                faults, missed = _suffer(world, steps, seconds, say)
                lasting = world.recover()
                say("every fault is over; a few more operations")
                time.sleep(AFTERMATH)
            world.control.catch_up()
            world.control.close()
            truth, control = _keep(world, directory)
    except (AssertionError, OSError, subprocess.SubprocessError) as error:
        raise WorldFailed(f"{type(error).__name__}: {error}") from error
    write_lines(directory / "faults.jsonl", [json.dumps([kind, number]) for kind, number in faults.items()] + missed)
    _check_world(world, truth, control)
    say("checking what was kept")
    return judge(directory, [Violation("no recovery", problem) for problem in lasting])


def judge(directory: Path, known: Sequence[Violation] = ()) -> Result:
    """Checks what a directory keeps, also of an earlier run; `known` violations come first. Raises OSError."""
    history = list(read_history(directory / "history.jsonl"))
    followed = [*_followed(directory / "followed.jsonl"), *_followed(directory / "held.jsonl")]
    truth = Truth(map(Change.from_json, _lines(directory / "truth.jsonl")))
    guarded = tuple(_lines(directory / GUARDING)) if (directory / GUARDING).exists() else ()
    violations = [*known, *check(history, truth, bound=BOUND, slack=SLACK, followed=followed, guarded=guarded)]
    (directory / "violations.txt").write_text("\n\n".join(violation.excerpt(truth) for violation in violations))
    told = [json.loads(line) for line in _lines(directory / "faults.jsonl")]
    faults = Counter({what: many for what, many in told if isinstance(many, int)})
    return Result(
        history, followed, truth, faults, [f"{what}: {why}" for what, why in told if isinstance(why, str)], violations,
        guarded,
    )  # fmt: skip


def _guard(world: World, directory: Path) -> tuple[str, ...]:
    """The prefixes that are guarded from now on: none by a service that knows no policy."""
    policy = json.dumps({"guarded": GUARDED}).encode()
    answer = world.instances[0].request("PUT", "/policy", data=policy, headers={"If-None-Match": "*"})
    guarded = GUARDED if answer.status_code == HTTPStatus.CREATED else ()
    write_lines(directory / GUARDING, guarded)
    return guarded


def _followed(path: Path) -> Iterator[Told]:
    """Nothing of a run in which nobody followed."""
    return read_followed(path) if path.exists() else iter(())


def _lines(path: Path) -> Iterator[str]:
    with path.open() as lines:
        yield from (line.rstrip("\n") for line in lines)


@contextlib.contextmanager
def working(name: str, load: Load, directory: Path) -> Iterator[None]:
    """A process of clients, which must live until the end: torture.workload, torture.library."""
    log = directory / f"{name}.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", f"torture.{name}"],
            stdin=subprocess.PIPE, stdout=file, stderr=file, cwd=PROJECT,
            env=environment(PYTHONPATH=str(PROJECT / "client")),
        )  # fmt: skip
        assert process.stdin is not None
        try:
            process.stdin.write(load.to_json().encode() + b"\n")
            process.stdin.flush()
            yield
            assert process.poll() is None, f"torture.{name} ended by itself; see {log}"
            process.stdin.close()
            assert process.wait(ENDS_WITHIN) == 0, f"torture.{name} failed; see {log}"
        finally:
            process.kill()
            process.wait()


def _suffer(
    world: World, steps: Sequence[Step], seconds: float, say: Callable[[str], None]
) -> tuple[Counter[str], list[str]]:
    """Does every step at its time. A fault counts when its first step was done."""
    begun, seen, missed = time.monotonic(), set[int](), list[str]()
    faults: Counter[str] = Counter()
    for step in steps:
        time.sleep(max(0.0, begun + step.at - time.monotonic()))
        problem = world.perform(step)
        say(f"{step}{f'   MISSED: {problem}' if problem else ''}")
        if problem:
            missed.append(json.dumps([str(step), problem]))
        elif step.fault not in seen:
            faults[step.kind] += 1
        seen.add(step.fault)
    time.sleep(max(0.0, begun + seconds - time.monotonic()))
    return faults, missed


def _keep(world: World, directory: Path) -> tuple[Truth, list[Operation]]:
    truth, control = Truth(world.control.changes()), world.control.reads()
    write_lines(directory / "truth.jsonl", (change.to_json() for change in truth.changes))
    write_lines(directory / "control.jsonl", (operation.to_json() for operation in control))
    return truth, control


def _check_world(world: World, truth: Truth, control: Sequence[Operation]) -> None:
    """Whether the truth is whole, and etcd kept its own word to a client that asked it directly."""
    if world.control.failure:
        raise WorldFailed(world.control.failure)
    if gaps := truth.gaps():
        raise WorldFailed(f"the truth has gaps: {gaps[:3]}")
    own = list(linearizable_across_keys(Case(control, truth, BOUND, SLACK)))
    if own:
        shown = "\n".join(violation.excerpt(truth) for violation in own[:3])
        raise WorldFailed(f"etcd itself answered {len(own)} linearizable reads with what was past:\n{shown}")
