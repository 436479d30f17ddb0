"""Deletion of a node that holds nothing from the index, with its rules, its requests and the records of its copies.

The history keeps its events: they get the negative id of a row with the name of the node, since SQLite gives the id of
a deleted row to a later one.
"""

from __future__ import annotations

import datetime
from shlex import quote
from typing import NamedTuple

from alpenhorn.errors import Refused
from alpenhorn.formats import count
from alpenhorn.index.bulk import marks
from alpenhorn.index.connection import Index
from alpenhorn.index.selections import Progress
from alpenhorn.record.attempts import KINDS
from alpenhorn.scan import inodes, retirements
from alpenhorn.scan.names import NamedRow

PIECE = 20_000  # rows in one transaction
# Tables with rows about a node, and the column with its id; the first may have millions of rows.
LARGE = (
    ("archivefilecopy", "node_id", "id"),
    ("archivefilecopyrequest", "node_from_id", "id"),
    ("archivefileimportrequest", "node_id", "id"),
    ("sync_verification", "node_id", "file_id"),
    ("sync_verified_status", "node_id", "file_id"),
    ("sync_tape", "node_id", "file_id"),
    ("sync_trash", "node_id", "id"),
)
SMALL = (
    ("storagetransferaction", "node_from_id"),
    ("sync_pin", "node_id"),
    ("sync_former_name", "node_id"),
    ("sync_restore", "node_id"),
    ("sync_node", "node_id"),
    ("sync_medium", "node_id"),
    ("sync_tally", "node_id"),
    ("sync_claim", "node_id"),
    ("sync_retirement", "node_id"),
    ("sync_retirement_group", "node_id"),
)
MISSING = """
    SELECT COUNT(*) FROM archivefilecopy c WHERE c.node_id = ? AND c.has_file = 'N' AND c.wants_file = 'Y'
      AND NOT EXISTS (SELECT 1 FROM archivefilecopy d WHERE d.file_id = c.file_id AND d.has_file = 'Y')
"""


class NodeRemains(NamedTuple):
    """What goes with a node: numbers of pending requests from it, of its rules, and of pending import requests.

    `trashed`: number of deleted files in its trash, which stay on the disk.
    """

    requests: int
    rules: int
    imports: int
    trashed: int


class _Node(NamedTuple):
    name: str
    active: bool


def remains(index: Index, node: NamedRow) -> NodeRemains:
    requests = index.value(
        "SELECT COUNT(*) FROM archivefilecopyrequest WHERE node_from_id = ? AND completed = 0 AND cancelled = 0",
        (node.id,),
    )
    rules = index.value(
        "SELECT COUNT(*) FROM storagetransferaction WHERE node_from_id = ? AND (autosync = 1 OR autoclean = 1)",
        (node.id,),
    )
    imports = index.value(
        "SELECT COUNT(*) FROM archivefileimportrequest WHERE node_id = ? AND completed = 0", (node.id,)
    )
    trashed = index.value("SELECT COUNT(*) FROM sync_trash WHERE node_id = ?", (node.id,))
    return NodeRemains(requests, rules, imports, trashed)


def refuse_used(index: Index, node: NamedRow, missing_ok: bool, *, lock: bool = False) -> None:
    """Raise Refused if a node must stay in the index, with the reason and what to do.

    `missing_ok`: the records of missing copies may go although their files have no good copy elsewhere.  `lock`: the
    node's row until the transaction ends, so that no copy can be added.
    """
    name, again = quote(node.name), f"alpenhorn node retire {quote(node.name)}"
    for_update = index.dialect.for_update if lock else ""
    row = index.fact(
        _Node, f"SELECT name, active FROM storagenode WHERE id = ?{for_update}", (node.id,), active=bool
    )
    if row is None:
        return
    if row.name != node.name:
        raise Refused(f"node {node.name}: was renamed to {row.name!r} in the meantime; nothing was changed")
    in_share_mode = index.dialect.in_share_mode if lock else ""
    present = index.value(
        "SELECT COUNT(*) FROM archivefilecopy WHERE node_id = ? AND has_file IN ('Y', 'M', 'X')"
        f"{in_share_mode}",
        (node.id,),
    )
    if present:
        raise Refused(
            f"node {node.name}: not deleted: {count(present, 'copy is', 'copies are')} on it; to have them copied"
            f" elsewhere and deleted: {again} --release; if its disk is dead: {again} --lost"
        )
    if row.active:
        raise Refused(f"node {node.name}: not deleted: it is active; first: alpenhorn node deactivate {name}")
    claims = index.value(
        "SELECT COUNT(*) FROM sync_claim WHERE node_id = ? AND expires > ?", (node.id, index.now())
    )
    if claims:
        raise Refused(f"node {node.name}: not deleted: a run is working on it; try again when it has ended")
    missing = 0 if missing_ok else index.value(MISSING, (node.id,))
    if missing:
        raise Refused(
            f"node {node.name}: not deleted: {count(missing, 'copy', 'copies')} missing there, of files without a good"
            f" copy elsewhere; to list them: {again} --list; to delete their records too: --missing-ok"
        )


def delete(
    index: Index,
    node: NamedRow,
    missing_ok: bool,
    now: datetime.datetime,
    progress: Progress = lambda done, of: None,
) -> None:
    """Delete a node, in pieces, of which the last removes its row; a second call continues an interrupted one.

    Raises Refused as `refuse_used` does.
    """
    refuse_used(index, node, missing_ok)
    events = index.value("SELECT COUNT(*) FROM sync_event WHERE node_id = ?", (node.id,))
    if events:
        gone = index.retry(lambda: _named(index, node.name, now))
        done = 0
        while moved := index.retry(lambda: _move_events(index, node.id, -gone)):
            done += moved
            progress(done, max(events, done))
    for table, column, key in LARGE:
        while index.retry(lambda at=(table, column, key): _delete_piece(index, node, missing_ok, *at)):  # type: ignore[misc]
            pass

    def work() -> None:
        refuse_used(index, node, missing_ok, lock=True)
        for table, column, key in LARGE:
            while _delete_piece(index, node, missing_ok, table, column, key):
                pass
        for table, column in SMALL:
            index.execute(f"DELETE FROM {table} WHERE {column} = ?", (node.id,))
        index.execute("DELETE FROM sync_backoff WHERE kind = 'node' AND subject_id = ?", (node.id,))
        index.execute("DELETE FROM sync_condition WHERE subject = ?", (node.name,))
        noted = (retirements.row_name(node.id), inodes.row_name(node.id))
        index.execute("DELETE FROM sync_index WHERE name IN (?, ?)", noted)
        index.execute("DELETE FROM storagenode WHERE id = ? AND name = ?", (node.id, node.name))

    index.retry(work)


def _named(index: Index, name: str, now: datetime.datetime) -> int:
    """Return the id of the row that names a deleted node; one of an interrupted deletion is used again."""
    at = now.strftime("%Y-%m-%d %H:%M:%S")
    sql = (
        "SELECT MAX(w.id) FROM sync_deleted_node w WHERE w.name = ? AND EXISTS"
        " (SELECT 1 FROM storagenode n WHERE n.name = w.name) AND w.deleted = ?"
    )
    found = index.value(sql, (name, at))
    if found is None:
        index.execute("INSERT INTO sync_deleted_node (name, deleted) VALUES (?, ?)", (name, at))
        found = index.value(sql, (name, at))
    return int(found)


def _move_events(index: Index, node_id: int, to: int) -> int:
    """Give the oldest events of a node another id; return their number."""
    last = index.value(
        f"SELECT at FROM sync_event WHERE node_id = ? ORDER BY at LIMIT 1 OFFSET {PIECE}", (node_id,)
    )
    until, values = ("", ()) if last is None else (" AND at <= ?", (last,))
    sql = f"UPDATE sync_event SET node_id = ? WHERE node_id = ?{until}"
    return int(index.execute(sql, (to, node_id, *values)).rowcount)


def _delete_piece(index: Index, node: NamedRow, missing_ok: bool, table: str, column: str, key: str) -> int:
    """Delete rows about a node; return their number.  Raises Refused if it is in use again."""
    refuse_used(index, node, missing_ok)
    last = index.value(
        f"SELECT {key} FROM {table} WHERE {column} = ? ORDER BY {key} LIMIT 1 OFFSET {PIECE}", (node.id,)
    )
    until, values = ("", ()) if last is None else (f" AND {key} <= ?", (last,))
    among = f"FROM {table} WHERE {column} = ?{until}"
    if table in KINDS:
        kinds = KINDS[table]
        index.execute(
            f"DELETE FROM sync_attempt WHERE kind IN ({marks(kinds)}) AND subject_id IN (SELECT id {among})",
            (*kinds, node.id, *values),
        )
    if table == "archivefilecopyrequest":
        index.execute(
            f"DELETE FROM sync_priority WHERE request_id IN (SELECT id {among})", (node.id, *values)
        )
    return int(index.execute(f"DELETE {among}", (node.id, *values)).rowcount)
