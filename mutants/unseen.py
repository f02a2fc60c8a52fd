"""Why the simulation does not find a mutant: the last column of its table, by the mutant's title.

A break that the seeds of the table do not find has to be here (`tests/mutants/test_simulated.py`). The reasons begin
with one of `KINDS`. A break of a promise that the simulation could meet is no reason: it wants a fault or a check.
"""

from __future__ import annotations

from collections.abc import Mapping

KINDS: Mapping[str, str] = {
    "costs: ": "only cost something",
    "covered: ": "are covered by another clause",
    "elsewhere: ": "take what the simulation has not",
    "seldom: ": "take what happens seldom",
}
"""With the words of the table's opening. costs: no promise breaks; something is slower, or done more often than it need
be. covered: another clause, which is named, keeps the promise in every run here; this one is a second lock on the same
door. elsewhere: it takes what the simulation has not, which is named. seldom: it is known which events it takes."""

NEVER = tuple(KINDS)[:-1]
"""More seeds are not run on these: they would not find them either."""

UNSEEN: Mapping[str, str] = {
    # what others than the loop's own thread would see
    "rule 3: in a hit: don't look whether the window has changed": "elsewhere: hits from other threads; there is one",
}
