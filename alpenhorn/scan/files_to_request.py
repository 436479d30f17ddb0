"""Files that `node sync` and `group sync` request, and pending requests that they cancel, as SQL conditions.

In an archive that is in order, a node has few files that a group lacks, and looking for them would read all of its
copies.  The kept sums (`alpenhorn.scan.tallies`) tell in which parts of the archive they can be.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import NamedTuple

from alpenhorn.index.bulk import marks
from alpenhorn.index.connection import Index
from alpenhorn.index.selections import SelectionPart, limited
from alpenhorn.scan import tallies
from alpenhorn.scan.tallies import PartTally


class RequestSelection(NamedTuple):
    """A selection, by ids of rows.

    `node` or `group` None: any (for a cancellation).  `targets`: groups whose files are left out.  `files` None: no
    list of files was given.  `any_source`: a pending request from another node leaves a file out as well.  `ranges`:
    the ranges of file ids, without their ends, to look at; None: all.
    """

    node: int | None
    group: int | None
    acqs: tuple[int, ...] = ()
    targets: tuple[int, ...] = ()
    files: Sequence[int] | None = None
    any_source: bool = False
    ranges: Sequence[tuple[int, int]] | None = None


# A + before a column prevents SQLite from using its index.  Otherwise it would scan all pending requests of the group
# for each file and, with a list of files ({own} is + then), all copies on the node, or all pending requests, for each
# part of the list.
NEW = """
    FROM archivefilecopy c JOIN archivefile f ON f.id = c.file_id
    WHERE {own}c.node_id = ? AND {own}c.has_file = 'Y'{range}
      AND NOT EXISTS (SELECT 1 FROM archivefilecopy d WHERE d.file_id = c.file_id AND d.has_file = 'Y'
                      AND d.node_id IN (SELECT id FROM storagenode WHERE group_id IN ({groups})))
      AND NOT EXISTS (SELECT 1 FROM archivefilecopyrequest q
                      WHERE q.file_id = c.file_id AND q.group_to_id = ?{source}
                      AND +q.completed = 0 AND +q.cancelled = 0)
"""
RANGE = " AND c.file_id >= ? AND c.file_id < ?"
LEAST_SAVING = 4  # a range is read with the copies on all nodes
PENDING = """
    FROM archivefilecopyrequest r LEFT JOIN archivefile f ON f.id = r.file_id
    WHERE {own}r.completed = 0 AND r.cancelled = 0
"""


def new_requests(selection: RequestSelection) -> list[SelectionPart]:
    """Select files with a good copy on the node, none in the group, and no pending request from the node into it."""
    assert selection.node is not None and selection.group is not None
    groups = (selection.group, *selection.targets)
    source = "" if selection.any_source else " AND +q.node_from_id = c.node_id"
    in_range = "" if selection.ranges is None else RANGE
    sql = NEW.format(own=_own(selection), range=in_range, groups=marks(groups), source=source)
    if selection.ranges is not None:
        return [
            SelectionPart(sql, (selection.node, first, end, *groups, selection.group))
            for first, end in selection.ranges
        ]
    base = SelectionPart(sql, (selection.node, *groups, selection.group))
    return limited(base, selection.acqs, selection.files, "c.file_id")


def narrowed(index: Index, selection: RequestSelection) -> RequestSelection:
    """Return the selection, limited to the ranges in which there may be files to request if that saves time."""
    if selection.acqs or selection.files is not None:
        return selection
    assert selection.node is not None and selection.group is not None
    groups = (selection.group, *selection.targets)
    in_groups = f"SELECT id FROM storagenode WHERE group_id IN ({marks(groups)})"
    which = f"t.has_file = 'Y' AND (t.node_id = ? OR t.node_id IN ({in_groups}))"
    known = tallies.unchanged(index, which, (selection.node, *groups))
    targets = set(index.values(in_groups, groups))
    parts = [
        part
        for part in tallies.all_parts(index)
        if part not in known or _may_lack(known[part], selection.node, targets)
    ]
    if len(parts) * LEAST_SAVING > len(known):
        return selection
    return selection._replace(ranges=tallies.stretches(parts))


def _may_lack(part: PartTally, node_id: int, targets: Set[int]) -> bool:
    """Return whether a part may have files with a good copy on the node and none on the targets.

    `part`: with good copies only.
    """
    by_node: dict[int, tuple[int, int]] = {}
    for one in part.copies:
        files, ids = by_node.get(one.node_id, (0, 0))
        by_node[one.node_id] = files + one.files, ids + one.ids
    on_node = by_node.get(node_id)
    if on_node is None:
        return False
    held = [sums for target, sums in by_node.items() if target in targets]
    # Together: a group may have one copy of each file, on any of its nodes.
    held.append((sum(files for files, _ in held), sum(ids for _, ids in held)))
    return on_node not in held and (part.files, part.ids) not in held


def pending_requests(selection: RequestSelection) -> list[SelectionPart]:
    """Select the pending requests from the node, into the group, or both."""
    own = _own(selection)
    base = SelectionPart(PENDING.format(own=own), ())
    for column, value in (("r.node_from_id", selection.node), ("r.group_to_id", selection.group)):
        if value is not None:
            base = SelectionPart(f"{base.sql} AND {own}{column} = ?", (*base.values, value))
    return limited(base, selection.acqs, selection.files, "r.file_id")


def _own(selection: RequestSelection) -> str:
    return "" if selection.files is None and selection.ranges is None else "+"
