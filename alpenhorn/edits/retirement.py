"""Retirement of nodes: its state, and the cancellation of the requests and releases that followed from it.

What is left to do is found by comparing the copies with those elsewhere (`alpenhorn.edits.retirement_comparison`).
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from typing import NamedTuple

from alpenhorn.edits.requests import cancel_selection
from alpenhorn.errors import NotFound
from alpenhorn.index.bulk import update
from alpenhorn.index.connection import Index
from alpenhorn.index.selections import Progress, SelectionPart, counted
from alpenhorn.reasons import Code
from alpenhorn.scan import retirements as scan

# What the retirement of a node has requested or released, and nobody has changed since then.  Pending requests are
# found by group, for which there is an index; without it, all finished requests would be read.
OWN_REQUESTS = """
    FROM archivefilecopyrequest r LEFT JOIN archivefile f ON f.id = r.file_id
    WHERE r.group_to_id IN (SELECT g.id FROM storagegroup g) AND r.completed = 0 AND r.cancelled = 0
      AND r.file_id IN (SELECT e.file_id FROM sync_event e WHERE e.node_id = ? AND +e.at = r.timestamp AND e.code = ?)
"""
OWN_RELEASES = """
    FROM archivefilecopy c LEFT JOIN archivefile f ON f.id = c.file_id
    WHERE c.node_id = ? AND c.has_file IN ({states}) AND c.wants_file = 'N'
      AND EXISTS (SELECT 1 FROM sync_event e WHERE e.file_id = c.file_id AND e.node_id = c.node_id AND e.code = ?)
"""


def retire(
    index: Index,
    node_id: int,
    groups: Sequence[int],
    releases: bool,
    now: datetime.datetime,
    *,
    declared_lost: bool = False,
) -> None:
    """Retire a node, or add groups and settings to its retirement.  Raises NotFound if it was removed."""
    lock = index.dialect.for_update

    def work() -> None:
        if index.value(f"SELECT id FROM storagenode WHERE id = ?{lock}", (node_id,)) is None:
            raise NotFound("the node was removed in the meantime; nothing was changed")
        before = scan.of_node(index, node_id)
        if before is None or before.cancelled:
            _forget(index, node_id)
            columns = (
                "node_id",
                "began",
                "releases",
                "declared_lost",
                "cancelled",
                "event_id",
                "stuck",
                "nowhere",
            )
            index.execute(
                index.insert_ignore("sync_retirement", columns),
                (node_id, now, int(releases), int(declared_lost), 0, 0, 0, 0),
            )
        else:
            index.execute(
                "UPDATE sync_retirement SET releases = ?, declared_lost = ?, compared_at = NULL WHERE node_id = ?",
                (
                    int(releases or before.releases),
                    int(declared_lost or before.declared_lost),
                    node_id,
                ),
            )
        for group_id in groups:
            index.execute(
                index.insert_ignore("sync_retirement_group", ("node_id", "group_id")), (node_id, group_id)
            )

    index.retry(work)


def _forget(index: Index, node_id: int) -> None:
    index.execute("DELETE FROM sync_retirement WHERE node_id = ?", (node_id,))
    index.execute("DELETE FROM sync_retirement_group WHERE node_id = ?", (node_id,))
    index.execute("DELETE FROM sync_index WHERE name = ?", (scan.row_name(node_id),))


class Undone(NamedTuple):
    """Numbers of cancelled requests and releases."""

    requests: int
    releases: int


def cancel(
    index: Index, node_id: int, now: datetime.datetime, progress: Progress = lambda done, of: None
) -> Undone:
    """End the retirement of a node, then cancel those of its requests and releases that are pending.

    If this is interrupted, a second call continues it.
    """
    index.retry(
        lambda: index.execute("UPDATE sync_retirement SET cancelled = 1 WHERE node_id = ?", (node_id,))
    )
    # Copies on a lost medium were not deleted, so they are missing again.
    before = scan.of_node(index, node_id)
    states = "'Y', 'M', 'X', 'N'" if before is not None and before.declared_lost else "'Y', 'M', 'X'"
    requests = SelectionPart(OWN_REQUESTS, (node_id, str(Code.RETIREMENT_REQUEST)))
    releases = SelectionPart(OWN_RELEASES.format(states=states), (node_id, str(Code.RETIREMENT_RELEASE)))
    cancelled = _in_pieces(
        index, requests, "r.id", progress, lambda parts: cancel_selection(index, parts, now)
    )
    state = f"u.has_file IN ({states}) AND u.wants_file = 'N'"
    wanted = {"wants_file": "Y", "last_update": now}
    wanted_again = _in_pieces(
        index,
        releases,
        "c.id",
        progress,
        lambda parts: update(index, "archivefilecopy", wanted, state, "c.id", parts),
    )
    index.retry(lambda: _forget(index, node_id))
    return Undone(cancelled, wanted_again)


def _in_pieces(
    index: Index,
    part: SelectionPart,
    row: str,
    progress: Progress,
    change: Callable[[Sequence[SelectionPart]], int],
) -> int:
    found = counted(index, [part], row, progress)
    done = changed = 0
    for piece in found.pieces:
        progress(done, found.total.files)
        changed += change(piece.parts)
        done += piece.files
    return changed
