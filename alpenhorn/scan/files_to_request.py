"""Files that `node sync` and `group sync` request, and pending requests that they cancel, as SQL conditions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from alpenhorn.index.bulk import marks
from alpenhorn.index.selections import SelectionPart, limited


class RequestSelection(NamedTuple):
    """A selection, by ids of rows.

    `node` or `group` None: any (for a cancellation).  `targets`: groups whose files are left out.  `files` None: no
    list of files was given.  `any_source`: a pending request from another node leaves a file out as well.
    """

    node: int | None
    group: int | None
    acqs: tuple[int, ...] = ()
    targets: tuple[int, ...] = ()
    files: Sequence[int] | None = None
    any_source: bool = False


# A + before a column prevents SQLite from using its index.  Otherwise it would scan all pending requests of the group
# for each file and, with a list of files ({own} is + then), all copies on the node, or all pending requests, for each
# part of the list.
NEW = """
    FROM archivefilecopy c JOIN archivefile f ON f.id = c.file_id
    WHERE {own}c.node_id = ? AND {own}c.has_file = 'Y'
      AND NOT EXISTS (SELECT 1 FROM archivefilecopy d WHERE d.file_id = c.file_id AND d.has_file = 'Y'
                      AND d.node_id IN (SELECT id FROM storagenode WHERE group_id IN ({groups})))
      AND NOT EXISTS (SELECT 1 FROM archivefilecopyrequest q
                      WHERE q.file_id = c.file_id AND q.group_to_id = ?{source}
                      AND +q.completed = 0 AND +q.cancelled = 0)
"""
PENDING = """
    FROM archivefilecopyrequest r LEFT JOIN archivefile f ON f.id = r.file_id
    WHERE {own}r.completed = 0 AND r.cancelled = 0
"""


def new_requests(selection: RequestSelection) -> list[SelectionPart]:
    """Select files with a good copy on the node, none in the group, and no pending request from the node into it."""
    assert selection.node is not None and selection.group is not None
    groups = (selection.group, *selection.targets)
    source = "" if selection.any_source else " AND +q.node_from_id = c.node_id"
    sql = NEW.format(own=_own(selection), groups=marks(groups), source=source)
    base = SelectionPart(sql, (selection.node, *groups, selection.group))
    return limited(base, selection.acqs, selection.files, "c.file_id")


def pending_requests(selection: RequestSelection) -> list[SelectionPart]:
    """Select the pending requests from the node, into the group, or both."""
    own = _own(selection)
    base = SelectionPart(PENDING.format(own=own), ())
    for column, value in (("r.node_from_id", selection.node), ("r.group_to_id", selection.group)):
        if value is not None:
            base = SelectionPart(f"{base.sql} AND {own}{column} = ?", (*base.values, value))
    return limited(base, selection.acqs, selection.files, "r.file_id")


def _own(selection: RequestSelection) -> str:
    return "" if selection.files is None else "+"
