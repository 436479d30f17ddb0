"""States of copies: the words shown, and the conditions on rows of archivefilecopy.

A copy without a row is Absent.
"""

from __future__ import annotations

from collections.abc import Iterable

ABSENT = "Absent"
REQUEST_PENDING = "completed = 0 AND cancelled = 0"

# Conditions for the state flags of listings; a removable copy counts as healthy.
CONDITIONS = {
    "healthy": "c.has_file = 'Y' AND c.wants_file IN ('Y', 'M')",
    "suspect": "c.has_file = 'M' AND c.wants_file IN ('Y', 'M')",
    "corrupt": "c.has_file = 'X' AND c.wants_file IN ('Y', 'M')",
    "missing": "c.has_file = 'N' AND c.wants_file = 'Y'",
}
HEALTHY = CONDITIONS["healthy"]


def changed(copy: str) -> str:
    """Return the condition that the owner of a copy changed it; `copy`: the name of its row in the statement.

    The last of these events of a copy tells what a check or import found.
    """
    return (
        f"({copy}.has_file = 'X' AND 'changed' = (SELECT e.what FROM sync_event e WHERE e.file_id = {copy}.file_id"
        f" AND e.node_id = {copy}.node_id AND e.what IN ('corrupt', 'changed') ORDER BY e.id DESC LIMIT 1))"
    )


CONDITIONS["changed"] = f"{CONDITIONS['corrupt']} AND {changed('c')}"

# Best first: INSTR of it orders the states of a group's copies.
RANKS = "YMXN"
GROUP_WORDS = {"Y": "Present", "M": "Suspect", "X": "Corrupt", "N": ABSENT}


def word(has: str | None, wants: str | None, changed: bool = False) -> str:
    """Return the word for a copy's state; `has` None: there is no row.

    `changed`: its owner changed it after it was registered.
    """
    if has is None:
        return ABSENT
    if has == "N":
        return "Missing" if wants == "Y" else "Removed"
    if wants == "N":
        return "Released"
    if has == "M":
        return "Suspect"
    if has == "X":
        return "Changed" if changed else "Corrupt"
    return "Removable" if wants == "M" else "Healthy"


def group_word(rank: int | None) -> str:
    """Return the word for a group's state; `rank`: position of its best copy in RANKS."""
    return GROUP_WORDS[RANKS[rank - 1]] if rank else ABSENT


def condition(flags: Iterable[str]) -> str:
    """Return a condition for copies in any of the states (keys of CONDITIONS); none given: healthy copies."""
    chosen = [CONDITIONS[flag] for flag in flags]
    return f"({' OR '.join(f'({text})' for text in chosen or [HEALTHY])})"
