"""The words for the state of a copy, and the same words as conditions on a row of archivefilecopy.

A copy without a row reads as has_file N; for it there is the word Absent.
"""

from __future__ import annotations

from collections.abc import Iterable

ABSENT = "Absent"
REQUEST_PENDING = "completed = 0 AND cancelled = 0"

# What the flags of the lists choose: a copy that may be removed when space is needed still counts.
CONDITIONS = {
    "healthy": "c.has_file = 'Y' AND c.wants_file IN ('Y', 'M')",
    "suspect": "c.has_file = 'M' AND c.wants_file IN ('Y', 'M')",
    "corrupt": "c.has_file = 'X' AND c.wants_file IN ('Y', 'M')",
    "missing": "c.has_file = 'N' AND c.wants_file = 'Y'",
}
HEALTHY = CONDITIONS["healthy"]

# Best first: INSTR of it orders the states of a group's copies.
RANKS = "YMXN"
GROUP_WORDS = {"Y": "Present", "M": "Suspect", "X": "Corrupt", "N": ABSENT}


def word(has: str | None, wants: str | None) -> str:
    """The word shown for a copy; has None: there is no row."""
    if has is None:
        return ABSENT
    if has == "N":
        return "Missing" if wants == "Y" else "Removed"
    if wants == "N":
        return "Released"
    if has == "M":
        return "Suspect"
    if has == "X":
        return "Corrupt"
    return "Removable" if wants == "M" else "Healthy"


def group_word(rank: int | None) -> str:
    """The word for a group's state, from the position in RANKS of its best copy."""
    return GROUP_WORDS[RANKS[rank - 1]] if rank else ABSENT


def condition(flags: Iterable[str]) -> str:
    """The copies in any of those states (the keys of CONDITIONS); none given: the healthy ones."""
    chosen = [CONDITIONS[flag] for flag in flags]
    return f"({' OR '.join(f'({text})' for text in chosen or [HEALTHY])})"
