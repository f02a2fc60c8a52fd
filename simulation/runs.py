"""Many seeds, each in a run of its own, on every core. Owns the processes; what they give is small values."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from random import Random

from simulation.drawing import plan
from simulation.faults import FAULTS
from simulation.plan import Plan
from simulation.play import play
from simulation.record import Run
from simulation.surroundings import SimulatedEtcd
from simulation.verdict import judge, judged_as_guarded
from simulation.world import Tell


@dataclass(frozen=True)
class Summary:
    """What is kept of a seed's run. broken: the checks that found something.

    seconds: virtual. took: seconds of the processor. claim: the first violation's. guarded: how many default reads of
    guarded keys were judged; hits: of them. told: how many changes followers were told of.
    """

    seed: int
    operations: int
    steps: int
    seconds: float
    took: float
    faults: Counter[str]
    answers: Counter[str]
    broken: tuple[str, ...]
    claim: str
    guarded: int = 0
    hits: int = 0
    told: int = 0


@dataclass
class Totals:
    """Of several runs."""

    seeds: int = 0
    operations: int = 0
    steps: int = 0
    seconds: float = 0.0
    took: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    broken: list[Summary] = field(default_factory=list)
    guarded: int = 0
    hits: int = 0
    told: int = 0

    def add(self, run: Summary) -> None:
        """One more."""
        self.seeds += 1
        self.operations += run.operations
        self.steps += run.steps
        self.seconds += run.seconds
        self.took += run.took
        self.faults += run.faults
        self.answers += run.answers
        self.guarded += run.guarded
        self.hits += run.hits
        self.told += run.told
        if run.broken:
            self.broken.append(run)


def planned(seed: int, drift: float = 0.0) -> Plan:
    """The plan of a seed, with every fault that there is."""
    return plan(seed, faults=FAULTS, drift=drift)


def played(plan: Plan, tell: Tell | None = None) -> Run:
    """The run of a plan on the simulated etcd."""
    return play(plan, SimulatedEtcd, tell)


def summary(seed: int, drift: float = 0.0) -> Summary:
    """The run of a seed, judged."""
    begun = time.process_time()
    run = played(planned(seed, drift))
    violations = judge(run)
    judged = judged_as_guarded(run)
    return Summary(
        seed=seed,
        operations=len(run.history) + len(run.outside),
        steps=run.steps,
        seconds=run.seconds,
        took=time.process_time() - begun,
        faults=run.faults,
        answers=Counter(f"{operation.kind} {operation.level} {operation.outcome}" for operation in run.history),
        broken=tuple(dict.fromkeys(violation.check for violation in violations)),
        claim=violations[0].claim if violations else "",
        guarded=len(judged),
        hits=sum(read.cache == "HIT" for read in judged),
        told=sum(len(word.changes) for word in run.followed),
    )


def summaries(seeds: Sequence[int], *, jobs: int = 0, drift: float = 0.0) -> Iterator[Summary]:
    """Of each seed, in their order. jobs: processes, 0: as many as there are cores; 1: this one."""
    jobs = jobs or os.cpu_count() or 1
    if jobs == 1:
        yield from map(partial(summary, drift=drift), seeds)
        return
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(partial(summary, drift=drift), seeds, chunksize=2)


def fresh_seeds(base: int, many: int) -> list[int]:
    """Seeds that nobody has thought of, but for whoever knows their base."""
    random = Random(base)
    return [random.randrange(10**9) for _ in range(many)]
