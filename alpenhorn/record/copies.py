"""A copy that was read in full and found good: its row, its verification, and what follows by rule."""

from __future__ import annotations

from collections.abc import Sequence

from alpenhorn.index.bulk import in_chunks
from alpenhorn.index.connection import Index
from alpenhorn.model import NodeFact
from alpenhorn.record.run import Run, events

COPY = ("file_id", "node_id", "has_file", "wants_file", "ready", "size_b", "last_update")
VERIFIED = ("file_id", "node_id", "verified")

# The + keeps SQLite from going through all pending requests of the group for each file.
AUTOSYNC = """
    INSERT INTO archivefilecopyrequest (file_id, group_to_id, node_from_id, completed, cancelled, timestamp)
    SELECT c.file_id, ?, c.node_id, 0, 0, ? FROM archivefilecopy c
    WHERE c.node_id = ? AND c.file_id IN ({marks})
      AND NOT EXISTS (SELECT 1 FROM archivefilecopy d JOIN storagenode n ON n.id = d.node_id
                      WHERE d.file_id = c.file_id AND n.group_id = ? AND d.has_file = 'Y')
      AND NOT EXISTS (SELECT 1 FROM archivefilecopyrequest r
                      WHERE r.file_id = c.file_id AND r.group_to_id = ? AND +r.completed = 0 AND +r.cancelled = 0)
"""


def good(
    index: Index,
    run: Run,
    node: NodeFact,
    copies: Sequence[tuple[int, int | None]],
    what: str,
    why: Sequence[str],
    update: Sequence[str] = COPY[2:],
) -> None:
    """Record copies as Y/Y; to be called inside a transaction.

    `copies`: (file id, space used on the medium); `what` and, for each copy, `why` go to the event log;
    `update`: the columns that are set where the copy has a row already.
    """
    if not copies:
        return
    now = run.now()
    index.executemany(
        index.upsert("archivefilecopy", COPY, COPY[:2], update),
        [(file_id, node.id, "Y", "Y", 1, space_b, now) for file_id, space_b in copies],
    )
    verified(index, node.id, [file_id for file_id, _ in copies], now)
    became_good(index, node, [file_id for file_id, _ in copies], now)
    events(index, run, what, [(copies[i][0], node.id, why[i]) for i in range(len(copies))])


def verified(index: Index, node_id: int, file_ids: Sequence[int], now: str) -> None:
    index.executemany(
        index.upsert("sync_verification", VERIFIED, ("node_id", "file_id"), ("verified",)),
        [(file_id, node_id, now) for file_id in file_ids],
    )


def became_good(index: Index, node: NodeFact, file_ids: Sequence[int], now: str) -> None:
    """The automatic actions, in the transaction that records the copies, so that no crash can lose them."""
    edges = index.execute(
        "SELECT t.node_from_id, t.group_to_id, t.autosync, t.autoclean FROM storagetransferaction t"
        " JOIN storagenode n ON n.id = t.node_from_id"
        " WHERE (t.node_from_id = ? OR t.group_to_id = ?) AND n.group_id <> t.group_to_id",
        (node.id, node.group_id),
    ).fetchall()
    for node_from, group_to, autosync, autoclean in edges:
        for marks, some in in_chunks(file_ids):
            if autosync and node_from == node.id:
                index.execute(
                    AUTOSYNC.format(marks=marks), (group_to, now, node.id, *some, group_to, group_to)
                )
            if autoclean and group_to == node.group_id:
                index.execute(
                    "UPDATE archivefilecopy SET wants_file = 'N', last_update = ?"
                    f" WHERE node_id = ? AND wants_file <> 'N' AND file_id IN ({marks})",
                    (now, node_from, *some),
                )
