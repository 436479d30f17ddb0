"""Copies that `node verify` selects, as SQL conditions: a million copies take a few statements and no memory.

Released copies are never selected: they will be deleted, so their state does not matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from alpenhorn.index.selections import SelectionPart, limited


class RecordedState(StrEnum):
    """The recorded state of a copy: has_file."""

    HEALTHY = "Y"
    CORRUPT = "X"
    MISSING = "N"


class CheckSelection(NamedTuple):
    """A selection, by ids of rows.  `states`: one or more.  `files` None: no list of files was given."""

    node: int
    states: frozenset[RecordedState] = frozenset()
    acqs: tuple[int, ...] = ()
    files: Sequence[int] | None = None


COPIES = "FROM archivefilecopy c JOIN archivefile f ON f.id = c.file_id WHERE c.node_id = ? AND {state}"


def known(states: frozenset[RecordedState], copy: str) -> str:
    """Return a condition for copies that can be checked; `copy`: prefix of the row's columns ("c.")."""
    has = ", ".join(f"'{state}'" for state in sorted(states))
    # In this form both engines use the index on the states.  A copy with has_file N is missing only if it is wanted.
    return (
        f"{copy}has_file IN ({has}) AND {copy}wants_file IN ('Y', 'M')"
        f" AND ({copy}has_file <> 'N' OR {copy}wants_file = 'Y')"
    )


def suspect(copy: str) -> str:
    """Return a condition for copies that wait for a check; `copy`: prefix of the row's columns.

    Not copies claimed for deletion, at any time: they may have been deleted, so their state is unknown.
    """
    row = copy.lstrip("+")
    return (
        f"{copy}has_file = 'M' AND {copy}wants_file IN ('Y', 'M') AND NOT EXISTS (SELECT 1 FROM sync_claim k"
        f" WHERE k.kind = 'delete' AND k.file_id = {row}file_id AND k.target_id = {row}node_id)"
    )


def to_check(selection: CheckSelection) -> list[SelectionPart]:
    """Select the copies that can be checked and are in one of the states."""
    return _copies(selection, known(selection.states, f"{_own(selection)}c."))


def to_cancel(selection: CheckSelection) -> list[SelectionPart]:
    """Select the copies that wait for a check."""
    return _copies(selection, suspect(f"{_own(selection)}c."))


def _copies(selection: CheckSelection, state: str) -> list[SelectionPart]:
    base = SelectionPart(COPIES.format(state=state), (selection.node,))
    return limited(base, selection.acqs, selection.files, "c.file_id")


def _own(selection: CheckSelection) -> str:
    """Return the prefix of state columns: with a list of files, a + prevents SQLite from using the index on states,
    which would scan all copies of the node for each part of the list."""
    return "" if selection.files is None else "+"
