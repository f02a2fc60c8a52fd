"""`python -m bench [--rows WORD …]`: measures, prints what came of it, and writes the tables into a document if asked.

The exit code is 0 when everything could be measured, whether the targets were met or not: that the table says.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from subprocess import SubprocessError

from bench import report, rows, wrk
from bench.contest import Contest, Rounds, hold
from bench.processes import explain_missing, say
from bench.stage import QUICK, Effort, Stage
from service.process.startup import StartupError

HOME = Path("instance")
"""Where the embedded etcd has its data, too: on a file system in memory, writing durably would cost nothing."""

RESULT = HOME / "bench.json"


def main(given: Sequence[str] | None = None) -> int:
    """0 measured, 1 something could not be measured, 2 wrong argument or a program is missing."""
    arguments = _arguments(given)
    chosen = rows.chosen(arguments.rows)
    if not chosen:
        known = "\n".join(contest.name for contest in rows.CONTESTS)
        return _refuse(f"no row has all of {arguments.rows}; the rows are:\n{known}")
    if missing := explain_missing("wrk"):
        return _refuse(missing)
    quick = arguments.quick
    effort = QUICK if quick else replace(Effort(), rounds=arguments.rounds, seconds=arguments.seconds)
    about = report.machine(effort)
    say(f"{about}{' This shows that everything runs, not how fast.' if quick else ''}\n")
    results = measure(chosen, effort, report.GROUPINGS[-1:] if quick else report.GROUPINGS)
    report.save(arguments.json, results, about, effort)
    say(f"\n{report.markdown(results, about)}\n\nround by round: {arguments.json}")
    if len(results) < len(chosen):
        return 1
    if arguments.document:
        report.write_document(arguments.document, report.markdown(results, about))
    return 0


def measure(chosen: Sequence[Contest[Stage]], effort: Effort, groupings: Sequence[str]) -> report.Results:
    """All of these, printed as they come. What can't be measured in each grouping is missing in the result."""
    results: dict[str, dict[str, Rounds]] = {contest.name: {} for contest in chosen}
    HOME.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=HOME) as home:
        for grouping in groupings:
            apart = grouping == report.GROUPINGS[-1]
            with Stage(Path(home) / grouping.replace(" ", "-"), effort, own_sessions=apart) as stage:
                for contest in chosen:
                    if (contest.peer or apart) and (rounds := _hold(contest, stage, grouping)):
                        results[contest.name][grouping] = rounds
    expected = {contest.name: 1 if contest.peer is None else len(groupings) for contest in chosen}
    return {name: found for name, found in results.items() if len(found) == expected[name]}


def _hold(contest: Contest[Stage], stage: Stage, grouping: str) -> Rounds | None:
    """One contest, printed; None when it can't be measured."""
    try:
        rounds = hold(contest, stage, stage.effort.rounds)
    except (StartupError, wrk.Failed, OSError, ValueError, SubprocessError) as error:
        say(f"{contest.name} ({grouping}): not measured: {error}")
        return None
    say(report.line(contest, grouping, rounds))
    return rounds


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Ratios against peers, measured in turns.")
    parser.add_argument("--rows", nargs="+", metavar="WORD", default=[], help="only rows with all of these words")
    parser.add_argument("--rounds", type=int, default=Effort().rounds, help="of each row (default: %(default)s)")
    parser.add_argument("--seconds", type=int, default=Effort().seconds, help="of one measurement (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="once and briefly: shows that it runs, not how fast")
    parser.add_argument("--json", type=Path, default=RESULT, help="file for all figures (default: %(default)s)")
    parser.add_argument("--document", type=Path, help="write the tables into this document, between their marks")
    arguments = parser.parse_args(given)
    if arguments.rounds < 1 or not 1 <= arguments.seconds <= wrk.LONGEST - wrk.GRACE:
        parser.error(
            f"expected at least one round of 1 to {wrk.LONGEST - wrk.GRACE} s, for example --rounds 5 --seconds 2"
        )
    if arguments.document and (arguments.quick or arguments.rows):
        parser.error("a document is written from all rows, measured in full: --document without --quick and --rows")
    return arguments


def _refuse(why: str) -> int:
    sys.stderr.write(f"bench: {why}\n")
    return 2


if __name__ == "__main__":
    sys.exit(main())
