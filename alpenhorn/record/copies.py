"""A copy that was read in full and found good: its row, its verification, and what follows by rule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from alpenhorn.index.bulk import in_chunks
from alpenhorn.index.connection import Index
from alpenhorn.model.nodes import NodeFact
from alpenhorn.reasons import Code, Reason
from alpenhorn.record.run import Run, events
from alpenhorn.scan.rules import Edge, edges_at, held_by_group, unrequested

COPY = ("file_id", "node_id", "has_file", "wants_file", "ready", "size_b", "last_update")
VERIFIED = ("file_id", "node_id", "verified")
NEVER_READ = "1970-01-01 00:00:00"  # as the time of a verification: recorded as good, and not read by us


def file_facts(index: Index, file_ids: Sequence[int]) -> dict[int, tuple[int | None, str | None]]:
    """The length and MD5 sum (lower case) of files by id; they stay so until the transaction ends."""
    lock = index.dialect.in_share_mode
    found: dict[int, tuple[int | None, str | None]] = {}
    for marks, some in in_chunks(file_ids):
        sql = f"SELECT id, size_b, LOWER(md5sum) FROM archivefile WHERE id IN ({marks}){lock}"
        found.update((file_id, (size_b, md5sum)) for file_id, size_b, md5sum in index.execute(sql, some))
    return found


def good(
    index: Index,
    run: Run,
    node: NodeFact,
    copies: Sequence[tuple[int, int | None]],
    what: str,
    why: Sequence[Reason],
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
    # In this order in the log, too: a copy is there, and then something follows from it.
    events(index, run, what, [(copies[i][0], node.id, why[i]) for i in range(len(copies))])
    became_good(index, run, node, [file_id for file_id, _ in copies])


def verified(index: Index, node_id: int, file_ids: Sequence[int], now: str) -> None:
    for marks, some in in_chunks(file_ids):
        index.execute(
            index.upsert_from(
                "sync_verification",
                VERIFIED,
                f"SELECT id, ?, ? FROM archivefile WHERE id IN ({marks})",
                ("node_id", "file_id"),
                ("verified",),
            ),
            (node_id, now, *some),
        )


def once_good(index: Index, node_id: int, file_ids: Sequence[int]) -> None:
    """Keep the evidence that copies on a node were recorded as good, in the transaction that makes them suspect or
    corrupt: only what was once a good copy may be replaced by a pull.

    The evidence is a row of sync_verification.  A copy that has none was recorded as good by another program, and
    gets one whose time makes it the first to be read again should it become good.
    """
    for marks, some in in_chunks(file_ids):
        _keep_evidence(
            index, f"id, ?, ? FROM archivefile WHERE id IN ({marks})", (node_id, NEVER_READ, *some)
        )


def once_good_among(index: Index, selected: str, values: Sequence[Any]) -> None:
    """As `once_good`, for those of the copies that a query finds which are recorded as good.  `selected`: its text
    from FROM on, in which `c` is the copy's row, ending in a condition."""
    rows = f"c.file_id, c.node_id, ? {selected} AND +c.has_file = 'Y'"
    _keep_evidence(index, rows, (NEVER_READ, *values))


def _keep_evidence(index: Index, rows: str, values: Sequence[Any]) -> None:
    # An update that changes nothing leaves a row that is there as it is.
    key = ("node_id", "file_id")
    sql = index.upsert_from("sync_verification", VERIFIED, f"SELECT {rows}", key, ("node_id",))
    index.execute(sql, values)


def never_good(index: Index, node_id: int, file_ids: Sequence[int]) -> None:
    """Drop the evidence of earlier copies, where something was found at the path of a copy that was not there: it
    says nothing about what lies there now."""
    for marks, some in in_chunks(file_ids):
        index.execute(
            f"DELETE FROM sync_verification WHERE node_id = ? AND file_id IN ({marks})", (node_id, *some)
        )


def never_good_among(index: Index, selected: str, values: Sequence[Any]) -> None:
    """As `never_good`, for those of the copies that a query finds which are recorded as not there; `selected` as in
    `once_good_among`."""
    rows = index.execute(f"SELECT c.node_id, c.file_id {selected} AND +c.has_file = 'N'", values).fetchall()
    by_node: dict[int, list[int]] = {}
    for node_id, file_id in rows:
        by_node.setdefault(node_id, []).append(file_id)
    for node_id, file_ids in by_node.items():
        never_good(index, node_id, file_ids)


def with_evidence(index: Index, node_id: int, file_ids: Sequence[int]) -> set[int]:
    """Those of the files of which the index once recorded a good copy on the node."""
    found: set[int] = set()
    for marks, some in in_chunks(file_ids):
        sql = f"SELECT file_id FROM sync_verification WHERE node_id = ? AND file_id IN ({marks})"
        found.update(index.values(sql, (node_id, *some)))
    return found


def became_good(index: Index, run: Run, node: NodeFact, file_ids: Sequence[int]) -> None:
    """The automatic actions, in the transaction that records the copies, so that no crash can lose them."""
    for edge in edges_at(index, node.id, node.group_id):
        if edge.autosync and edge.node_id == node.id:
            _request(index, run, edge, file_ids)
        if edge.autoclean and edge.group_id == node.group_id:
            _release(index, run, edge, file_ids)


def _request(index: Index, run: Run, edge: Edge, file_ids: Sequence[int]) -> None:
    now = run.now()
    for part in unrequested(edge.node_id, edge.group_id, file_ids):
        wanted = index.values(f"SELECT f.id {part.sql} ORDER BY f.id", part.values)
        index.executemany(
            "INSERT INTO archivefilecopyrequest"
            " (file_id, group_to_id, node_from_id, completed, cancelled, timestamp) VALUES (?, ?, ?, 0, 0, ?)",
            [(file_id, edge.group_id, edge.node_id, now) for file_id in wanted],
        )
        why = Code.AUTOSYNC(node=edge.node, group=edge.group)
        events(index, run, "requested", [(file_id, edge.node_id, why) for file_id in wanted])


def _release(index: Index, run: Run, edge: Edge, file_ids: Sequence[int]) -> None:
    now = run.now()
    for part in held_by_group(edge.node_id, edge.group_id, file_ids):
        held = index.execute(f"SELECT c.id, c.file_id {part.sql}", part.values).fetchall()
        for marks, some in in_chunks([copy_id for copy_id, _ in held]):
            index.execute(
                "UPDATE archivefilecopy SET wants_file = 'N', last_update = ?"
                f" WHERE wants_file <> 'N' AND id IN ({marks})",
                (now, *some),
            )
        why = Code.AUTOCLEAN(group=edge.group)
        events(index, run, "released", [(file_id, edge.node_id, why) for _, file_id in held])
