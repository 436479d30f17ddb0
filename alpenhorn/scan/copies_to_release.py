"""Copies that `node clean` selects, as SQL conditions: a million copies take a few statements and no memory."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from alpenhorn.index.connection import Index
from alpenhorn.index.selections import SelectionPart, limited
from alpenhorn.scan.pins import EVERY_NODE, IN_FORCE


class Cut(NamedTuple):
    """A position in the order of registration: the last file to include."""

    registered: Any
    file_id: int


class ReleaseSelection(NamedTuple):
    """A selection, by ids of rows.

    `at_once`: release for immediate deletion, including removable copies.  `bad`: include suspect and corrupt copies.
    `targets`: groups that must each have another good copy.  `files` None: no list of files was given.  `before`: only
    files registered before this time (UTC).
    """

    node: int
    at_once: bool = False
    bad: bool = False
    acqs: tuple[int, ...] = ()
    targets: tuple[int, ...] = ()
    files: Sequence[int] | None = None
    before: datetime | None = None
    cut: Cut | None = None


THERE = "has_file IN ('Y', 'M', 'X')"
SIZE = "CASE WHEN f.size_b > 0 THEN f.size_b + 0 ELSE 0 END"
COPIES = "FROM archivefilecopy c JOIN archivefile f ON f.id = c.file_id WHERE c.node_id = ? AND {state}"
PINNED = f"""EXISTS (SELECT 1 FROM sync_pin p
    WHERE p.file_id = c.file_id AND p.node_id IN ({EVERY_NODE}, c.node_id) AND {IN_FORCE})"""
# Not EXISTS, which MariaDB makes a part of the join: with old statistics, it then combined all files with all copies.
IN_TARGET = """(SELECT 1 FROM archivefilecopy d JOIN storagenode n ON n.id = d.node_id
    WHERE d.file_id = c.file_id AND d.has_file = 'Y' AND d.node_id <> c.node_id AND n.group_id = ? LIMIT 1) = 1"""


def releasable(selection: ReleaseSelection, copy: str) -> str:
    """Return a condition for copies that can be released; `copy`: prefix of the row's columns ("c.")."""
    has = f"{copy}{THERE}" if selection.bad else f"{copy}has_file = 'Y'"
    wants = "'Y', 'M'" if selection.at_once else "'Y'"
    return f"{has} AND {copy}wants_file IN ({wants})"


def released(copy: str) -> str:
    """Return a condition for copies that are released or removable, and not deleted yet; `copy`: as in `releasable`."""
    return f"{copy}{THERE} AND {copy}wants_file IN ('M', 'N')"


def to_release(selection: ReleaseSelection, now: datetime) -> list[SelectionPart]:
    """Select the copies that can be released and are not pinned.  `now`: the time of the index's server."""
    return _releasable(selection, f"NOT {PINNED}", now)


def kept_by_pins(selection: ReleaseSelection, now: datetime) -> list[SelectionPart]:
    """Select the copies that could be released if they were not pinned."""
    return _releasable(selection, PINNED, now)


def _releasable(selection: ReleaseSelection, pinned: str, now: datetime) -> list[SelectionPart]:
    base = _copies(selection, releasable(selection, _own(selection) + "c."))
    for target in selection.targets:
        base = _and(base, IN_TARGET, target)
    if selection.cut is not None:
        at = selection.cut.registered
        order = "(f.registered < ? OR (f.registered = ? AND f.id <= ?))"
        base = _and(base, order, at, at, selection.cut.file_id)
    return limited(_and(base, pinned, now), selection.acqs, selection.files, "c.file_id")


def to_cancel(selection: ReleaseSelection) -> list[SelectionPart]:
    """Select the copies that are released or removable, and not deleted yet."""
    base = _copies(selection, released(_own(selection) + "c."))
    return limited(base, selection.acqs, selection.files, "c.file_id")


def _own(selection: ReleaseSelection) -> str:
    """Return the prefix of state columns: with a list of files, a + prevents SQLite from using the index on states,
    which would scan all copies of the node for each part of the list."""
    return "" if selection.files is None else "+"


def _copies(selection: ReleaseSelection, state: str) -> SelectionPart:
    base = SelectionPart(COPIES.format(state=state), (selection.node,))
    return base if selection.before is None else _and(base, "f.registered < ?", selection.before)


def _and(base: SelectionPart, condition: str, *values: Any) -> SelectionPart:
    return SelectionPart(f"{base.sql} AND {condition}", (*base.values, *values))


def scheduled(index: Index, selection: ReleaseSelection, now: datetime) -> int:
    """Return the total length of copies on the node that are released already and not pinned.

    With `at_once`, removable copies do not count.
    """
    wants = "'N'" if selection.at_once else "'M', 'N'"
    copies = COPIES.format(state=f"c.{THERE} AND c.wants_file IN ({wants})")
    return int(index.value(f"SELECT SUM({SIZE}) {copies} AND NOT {PINNED}", (selection.node, now)) or 0)


def cut(index: Index, selection: ReleaseSelection, now: datetime, bytes_: int) -> Cut | None:
    """Return the position in the order of registration at which `bytes_` are reached; None if the total is less."""
    parts = to_release(selection, now)
    if selection.files is None:
        (part,) = parts
        return index.fact(
            Cut,
            "SELECT s.registered, s.id AS file_id__id FROM (SELECT f.registered AS registered, f.id AS id,"
            f" SUM({SIZE}) OVER (ORDER BY f.registered, f.id ROWS UNBOUNDED PRECEDING) AS total {part.sql}) s"
            " WHERE s.total >= ? ORDER BY s.registered, s.id LIMIT 1",
            (*part.values, bytes_),
        )
    files = [
        (registered, file_id, size_b)
        for part in parts
        for registered, file_id, size_b in index.execute(
            f"SELECT f.registered, f.id, {SIZE} {part.sql}", part.values
        )
    ]
    # The column may have values of two types, which do not compare.
    files.sort(key=lambda file: (isinstance(file[0], str), file))
    for registered, file_id, size_b in files:
        bytes_ -= size_b
        if bytes_ <= 0:
            return Cut(registered, file_id)
    return None


def being_deleted(index: Index, *, node_id: int | None = None, file_id: int | None = None) -> dict[str, int]:
    """Return the number of copies on the node, or of the file, claimed for deletion, by name of their node."""
    sql = (
        "SELECT n.name, COUNT(*) FROM sync_claim k JOIN storagenode n ON n.id = k.target_id"
        " WHERE k.kind = 'delete' AND k.expires > ?"
    )
    values: list[Any] = [index.now()]
    for column, value in (("k.target_id", node_id), ("k.file_id", file_id)):
        if value is not None:
            sql += f" AND {column} = ?"
            values.append(value)
    return dict(index.execute(f"{sql} GROUP BY n.name", values).fetchall())
