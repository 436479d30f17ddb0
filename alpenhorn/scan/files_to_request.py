"""The files that `node sync` and `group sync` request, and the pending requests that they cancel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from alpenhorn.index.bulk import marks
from alpenhorn.index.selections import SelectionPart, limited


class RequestSelection(NamedTuple):
    """Ids of rows.  `node` or `group` None: any (for a cancellation).  `targets`: groups whose files are
    left out.  `files` None: no list of files was given."""

    node: int | None
    group: int | None
    acqs: tuple[int, ...] = ()
    targets: tuple[int, ...] = ()
    files: Sequence[int] | None = None


# A column with a + before it is an expression, for which SQLite uses no index: it would go through all
# pending requests of the group for each file, and with a list of files ({own} is + then) through all copies
# on the node, or all pending requests, for each part of the list.
NEW = """
    FROM archivefilecopy c JOIN archivefile f ON f.id = c.file_id
    WHERE {own}c.node_id = ? AND {own}c.has_file = 'Y'
      AND NOT EXISTS (SELECT 1 FROM archivefilecopy d WHERE d.file_id = c.file_id AND d.has_file = 'Y'
                      AND d.node_id IN (SELECT id FROM storagenode WHERE group_id IN ({groups})))
      AND NOT EXISTS (SELECT 1 FROM archivefilecopyrequest q
                      WHERE q.file_id = c.file_id AND q.group_to_id = ?
                      AND +q.completed = 0 AND +q.cancelled = 0)
"""
PENDING = """
    FROM archivefilecopyrequest r LEFT JOIN archivefile f ON f.id = r.file_id
    WHERE {own}r.completed = 0 AND r.cancelled = 0
"""


def new_requests(selection: RequestSelection) -> list[SelectionPart]:
    """The files that are Y on the node and neither Y nor already requested in the group."""
    assert selection.node is not None and selection.group is not None
    groups = (selection.group, *selection.targets)
    sql = NEW.format(own=_own(selection), groups=marks(groups))
    base = SelectionPart(sql, (selection.node, *groups, selection.group))
    return limited(base, selection.acqs, selection.files, "c.file_id")


def pending_requests(selection: RequestSelection) -> list[SelectionPart]:
    """The pending requests from the node into the group, whichever of the two is given."""
    own = _own(selection)
    base = SelectionPart(PENDING.format(own=own), ())
    for column, value in (("r.node_from_id", selection.node), ("r.group_to_id", selection.group)):
        if value is not None:
            base = SelectionPart(f"{base.sql} AND {own}{column} = ?", (*base.values, value))
    return limited(base, selection.acqs, selection.files, "r.file_id")


def _own(selection: RequestSelection) -> str:
    return "" if selection.files is None else "+"
