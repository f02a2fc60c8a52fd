"""`python -m bench [WORD …]`: measures the rows whose names contain the words, and holds them against their targets.

The exit code is 0 when everything could be measured, whether the targets were met or not: that the table says.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from subprocess import SubprocessError

from bench import report, rows
from bench.contest import Result, Row, hold
from bench.effort import SMOKE, Effort
from bench.programs import explain_missing
from bench.stage import Stage
from bench.wrk import Failed
from service.process.startup import StartupError

HOME = Path("instance")
"""Where the embedded etcd has its data, too: on a file system in memory, writing durably would cost nothing."""

RESULT = HOME / "bench.json"


def main(given: Sequence[str] | None = None) -> int:
    """0 measured, 1 something could not be measured, 2 wrong argument or a program is missing."""
    arguments = _arguments(given)
    chosen = rows.chosen(arguments.words)
    if not chosen:
        return _refuse(f"no row has all of {arguments.words}; the rows are:\n" + "\n".join(r.name for r in rows.ROWS))
    if missing := explain_missing(["wrk", *(program for row in chosen for program in row.programs)]):
        return _refuse(missing)
    effort = SMOKE if arguments.smoke else Effort(rounds=arguments.rounds, seconds=arguments.seconds)
    _say(f"each: {effort}{'; shows that everything runs, not how fast' if arguments.smoke else ''}")
    results = measure(chosen, effort)
    report.save(arguments.json, results, effort)
    verdicts = [result.met for result in results if result.met is not None]
    _say(f"\n{verdicts.count(True)} of {len(verdicts)} targets met; round by round: {arguments.json}")
    return 0 if len(results) == len(chosen) else 1


def measure(chosen: Sequence[Row[Stage]], effort: Effort) -> list[Result]:
    """All of these, printed as they come. One that can't be measured is missing in the result."""
    results = []
    HOME.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=HOME) as directory, Stage(Path(directory), effort) as stage:
        for row in chosen:
            try:
                results.append(hold(row, stage, effort.rounds))
            except (StartupError, Failed, OSError, ValueError, SubprocessError) as error:
                _say(f"{row.name}: not measured: {error}")
            else:
                _say(report.line(results[-1]))
    return results


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Ratios against peers, measured in turns.")
    parser.add_argument("words", nargs="*", metavar="WORD", help="only rows whose name contains all of them")
    parser.add_argument("--rounds", type=int, default=Effort().rounds, help="of each row (default: %(default)s)")
    parser.add_argument(
        "--seconds", type=int, default=Effort().seconds, help="of one measurement (default: %(default)s)"
    )
    parser.add_argument("--smoke", action="store_true", help="once and briefly: shows that it runs, not how fast")
    parser.add_argument("--json", type=Path, default=RESULT, help="file for all figures (default: %(default)s)")
    arguments = parser.parse_args(given)
    if min(arguments.rounds, arguments.seconds) < 1:
        parser.error("expected at least one round of at least one second, for example --rounds 5 --seconds 2")
    return arguments


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _refuse(why: str) -> int:
    sys.stderr.write(f"bench: {why}\n")
    return 2


if __name__ == "__main__":
    sys.exit(main())
