"""Asks a live service for all that openapi.yaml describes, and for what it rules out: `python -m contract`.

schemathesis makes the requests, single ones and such as follow from one another, the same ones for the same seed; real
instances on a real etcd answer, every second one with tokens. Exits with 1 when an answer is not as described, or when
there were too few cases.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from service.site.docs_routes import DESCRIPTION
from tests.support.instances import PROJECT, InstanceProcess

CONFIG = Path(__file__).with_name("schemathesis.toml")
HOOKS = "contract.unsayable"
TOKEN = "for-everything-0123456789"
TOKENS = json.dumps([{"name": "everything", "token": TOKEN, "scopes": ["admin"]}])
LEAST = 5_000
"""Cases, in all runs together."""

SEEDS = 3
"""Seeds that one run may take: see `run`."""

_ONE_ERROR = re.compile(r"^Errors:\n\W*Runtime Error: 1\n\n", re.MULTILINE)
_CASES = re.compile(r"^\s*(\d+) generated", re.MULTILINE)


def main() -> int:
    asked = arguments()
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        # What one run deletes another must not read: each has an instance and an etcd of its own.
        instances = [
            InstanceProcess(
                directory / str(number), LOG_LEVEL="ERROR", **({"API_TOKENS": TOKENS} if number % 2 else {})
            )
            for number in range(asked.runs)
        ]
        urls = [stack.enter_context(instance).url for instance in instances]
        with ThreadPoolExecutor(asked.runs) as threads:
            seeds = range(asked.seed, asked.seed + asked.runs)
            reports = list(threads.map(partial(run, asked.examples, asked.runs), urls, seeds))
        codes = [report.returncode for report in reports] + [instance.stop() for instance in instances]
    for report in reports:
        sys.stdout.write(report.stdout[report.stdout.rfind("Test Phases:") if not report.returncode else 0 :])
        sys.stderr.write(report.stderr)
    cases = sum(int(number) for report in reports for number in _CASES.findall(report.stdout))
    sys.stdout.write(f"{cases} cases in all, of at least {asked.least}\n")
    return 1 if any(codes) or cases < asked.least else 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m contract", description=__doc__)
    parser.add_argument("--runs", type=int, default=2, help="at the same time, a seed each (default: %(default)s)")
    parser.add_argument("--examples", type=int, default=260, help="most for an operation (default: %(default)s)")
    parser.add_argument("--least", type=int, default=LEAST, help="cases in all (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the first run (default: %(default)s)")
    return parser.parse_args()


def run(examples: int, step: int, url: str, seed: int) -> subprocess.CompletedProcess[str]:
    """All phases, all checks; with the seed `step` further on if Hypothesis has failed by itself.

    Hypothesis makes a case that was taken larger, number by number. A case that becomes shorter meanwhile no longer has
    the number, and Hypothesis ends with an IndexError. That is no answer of the service, so it is asked anew.
    """
    report = _asked(examples, url, seed)
    for another in range(seed + step, seed + SEEDS * step, step):
        if not hypothesis_failed(report.stdout):
            break
        sys.stderr.write(f"Hypothesis failed by itself; seed {another} is taken\n")
        report = _asked(examples, url, another)
    return report


def hypothesis_failed(said: str) -> bool:
    """Whether nothing but that is wrong with a run."""
    alone = _ONE_ERROR.search(said) is not None and "= FAILURES =" not in said
    return alone and "hypothesis/internal/conjecture/optimiser.py" in said and "IndexError: " in said


def _asked(examples: int, url: str, seed: int) -> subprocess.CompletedProcess[str]:
    """One worker: with several, CPython 3.11's parser fails now and then."""
    return subprocess.run(
        [sys.executable, "-m", "schemathesis.cli", f"--config-file={CONFIG}", "run", DESCRIPTION, f"--url={url}",
         f"--max-examples={examples}", f"--seed={seed}", "--workers=1", "--no-color",
         "--suppress-health-check=all", f"--header=Authorization: Bearer {TOKEN}"],
        cwd=PROJECT,
        env={**os.environ, "SCHEMATHESIS_HOOKS": HOOKS},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
