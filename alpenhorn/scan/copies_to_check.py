"""Which copies on a node `verify` is about: as conditions that count and change them in the database, so that a
million of them take a handful of statements and no memory.

A released copy is never among them: it is to go, and nobody needs to know whether it is good.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from alpenhorn.index.selections import SelectionPart, limited


class RecordedState(StrEnum):
    """What a copy is recorded as: has_file."""

    HEALTHY = "Y"
    CORRUPT = "X"
    MISSING = "N"


class CheckSelection(NamedTuple):
    """Ids of rows.  `states`: one or more.  `files` None: no list of files was given."""

    node: int
    states: frozenset[RecordedState] = frozenset()
    acqs: tuple[int, ...] = ()
    files: Sequence[int] | None = None


COPIES = "FROM archivefilecopy c JOIN archivefile f ON f.id = c.file_id WHERE c.node_id = ? AND {state}"


def known(states: frozenset[RecordedState], copy: str) -> str:
    """The state of a copy that can be checked, as a condition on the row that `copy` ("c.") stands for."""
    has = ", ".join(f"'{state}'" for state in sorted(states))
    # Said in this way both engines look the states up; of those not there only the wanted are missing.
    return (
        f"{copy}has_file IN ({has}) AND {copy}wants_file IN ('Y', 'M')"
        f" AND ({copy}has_file <> 'N' OR {copy}wants_file = 'Y')"
    )


def suspect(copy: str) -> str:
    """The state of a copy that waits for a check, as a condition likewise.

    One that a run claimed for deletion, when ever that was, may be gone: nobody may say what it is.
    """
    row = copy.lstrip("+")
    return (
        f"{copy}has_file = 'M' AND {copy}wants_file IN ('Y', 'M') AND NOT EXISTS (SELECT 1 FROM sync_claim k"
        f" WHERE k.kind = 'delete' AND k.file_id = {row}file_id AND k.target_id = {row}node_id)"
    )


def to_check(selection: CheckSelection) -> list[SelectionPart]:
    """The copies that can be checked and are in one of those states."""
    return _copies(selection, known(selection.states, f"{_own(selection)}c."))


def to_cancel(selection: CheckSelection) -> list[SelectionPart]:
    """The copies that wait for a check, whatever they were before."""
    return _copies(selection, suspect(f"{_own(selection)}c."))


def _copies(selection: CheckSelection, state: str) -> list[SelectionPart]:
    base = SelectionPart(COPIES.format(state=state), (selection.node,))
    return limited(base, selection.acqs, selection.files, "c.file_id")


def _own(selection: CheckSelection) -> str:
    """With a + before them SQLite does not take the states for the better index, and go through all copies of
    the node once for each part of a list of files."""
    return "" if selection.files is None else "+"
