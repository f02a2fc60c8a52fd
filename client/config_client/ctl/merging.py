"""Merges what two people have made of one text, line by line; where both changed the same, both are shown. Pure."""

from __future__ import annotations

from difflib import SequenceMatcher


def merge(base: str, mine: str, theirs: str) -> tuple[str, bool]:
    """Return the merged text, and whether nobody has to choose.

    Lines that both have kept are the fixed points; between two of them stands what one of them has changed, or what
    both have, with marks around it.
    """
    old, ours, others = (text.splitlines() for text in (base, mine, theirs))
    ours_of, others_of = _kept(old, ours), _kept(old, others)
    merged: list[str] = []
    clean = True
    at = (0, 0, 0)
    fixed = [(i, ours_of[i], others_of[i]) for i in range(len(old)) if i in ours_of and i in others_of]
    for point in [*fixed, (len(old), len(ours), len(others))]:
        part, fits = _between(old[at[0] : point[0]], ours[at[1] : point[1]], others[at[2] : point[2]])
        merged += part
        clean = clean and fits
        if point[0] < len(old):
            merged.append(old[point[0]])
        at = (point[0] + 1, point[1] + 1, point[2] + 1)
    end = "\n" if mine.endswith("\n") else ""
    return "\n".join(merged) + end, clean


def _kept(old: list[str], new: list[str]) -> dict[int, int]:
    """The lines that stand in both: where they stood, and where they stand."""
    blocks = SequenceMatcher(None, old, new, autojunk=False).get_matching_blocks()
    return {block.a + i: block.b + i for block in blocks for i in range(block.size)}


def _between(old: list[str], mine: list[str], theirs: list[str]) -> tuple[list[str], bool]:
    if mine == theirs or theirs == old:
        return mine, True
    if mine == old:
        return theirs, True
    return ["<<<<<<< yours", *mine, "=======", *theirs, ">>>>>>> theirs"], False
