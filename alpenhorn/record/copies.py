"""Records copies that were read in full and found good: row, verification, and actions by rule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from alpenhorn.index.bulk import in_chunks
from alpenhorn.index.connection import Index
from alpenhorn.model.nodes import NodeFact
from alpenhorn.reasons import Code, Reason
from alpenhorn.record import requests, tape_batches
from alpenhorn.record.run import Run, events
from alpenhorn.scan.good_since import TO_REPLACE
from alpenhorn.scan.rules import Rule, held_by_group, rules_at, unrequested

COPY = ("file_id", "node_id", "has_file", "wants_file", "ready", "size_b", "last_update")
VERIFIED = ("file_id", "node_id", "verified")
NEVER_READ = "1970-01-01 00:00:00"  # time of a verification: recorded as good, but never read by a run


def file_facts(index: Index, file_ids: Sequence[int]) -> dict[int, tuple[int | None, str | None]]:
    """Return length and MD5 sum (lower case) of files by id; they cannot change until the transaction ends."""
    lock = index.dialect.in_share_mode
    found: dict[int, tuple[int | None, str | None]] = {}
    for marks, some in in_chunks(file_ids):
        sql = f"SELECT id, size_b, LOWER(md5sum) FROM archivefile WHERE id IN ({marks}){lock}"
        rows = index.execute(sql, some).fetchall()
        found.update((file_id, (size_b, md5sum)) for file_id, size_b, md5sum in rows)
    return found


def good(
    index: Index,
    run: Run,
    node: NodeFact,
    copies: Sequence[tuple[int, int | None]],
    what: str,
    why: Sequence[Reason],
    update: Sequence[str] = COPY[2:],
    read: str | None = None,
) -> None:
    """Record copies as good and wanted (Y/Y); call it inside a transaction.

    `copies`: (file id, space used on the medium); `what` and `why`, one for each copy, are written to the history;
    `update`: columns to set in existing rows; `read`: when their reading began; None: now.
    """
    if not copies:
        return
    now = run.now()
    index.executemany(
        index.upsert("archivefilecopy", COPY, COPY[:2], update),
        [(file_id, node.id, "Y", "Y", 1, space_b, now) for file_id, space_b in copies],
    )
    verified(index, node.id, [file_id for file_id, _ in copies], read or now)
    # What is on tape under that name may be an earlier copy.
    tape_batches.collect_again(index, run, node, [file_id for file_id, _ in copies])
    # Before became_good, so that the history shows the copy before the actions that follow from it.
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


def read_as_source(index: Index, source_id: int, node_id: int, file_ids: Sequence[int]) -> None:
    """Give copies the times at which those of the same bytes on the node `source_id` were last read."""
    for marks, some in in_chunks(file_ids):
        index.execute(
            index.upsert_from(
                "sync_verification",
                VERIFIED,
                f"SELECT file_id, ?, verified FROM sync_verification WHERE node_id = ? AND file_id IN ({marks})",
                ("node_id", "file_id"),
                ("verified",),
            ),
            (node_id, source_id, *some),
        )


def once_good(index: Index, node_id: int, file_ids: Sequence[int]) -> None:
    """Keep the evidence that copies were recorded as good, in the transaction that makes them suspect or corrupt.

    Without evidence, a pull will not replace what is at the path, which may be another file.  The evidence is a row of
    sync_verification.  A copy without one was recorded as good by another program; its new row has the oldest time, so
    that it is the first to be read again if it becomes good.
    """
    for marks, some in in_chunks(file_ids):
        _keep_evidence(
            index, f"id, ?, ? FROM archivefile WHERE id IN ({marks})", (node_id, NEVER_READ, *some)
        )


def once_good_among(index: Index, selected: str, values: Sequence[Any]) -> None:
    """Keep the evidence, as `once_good` does, for the copies recorded as good among those that a query selects.

    `selected`: its text from FROM on; `c` is the copy's row; it must end in a condition.
    """
    rows = f"c.file_id, c.node_id, ? {selected} AND +c.has_file = 'Y'"
    _keep_evidence(index, rows, (NEVER_READ, *values))


def _keep_evidence(index: Index, rows: str, values: Sequence[Any]) -> None:
    # An existing row is "updated" to its own node_id, so it does not change.
    key = ("node_id", "file_id")
    sql = index.upsert_from("sync_verification", VERIFIED, f"SELECT {rows}", key, ("node_id",))
    index.execute(sql, values)


def to_replace(index: Index, node_id: int, file_ids: Sequence[int]) -> int:
    """Allow pulls to replace corrupt copies that their owners changed, whose files are then kept under another name.

    Returns the number of copies.  Those that are no longer corrupt, or that a pull may replace anyway, are left alone.
    """
    lock = index.dialect.for_update
    changed = 0
    for marks, some in in_chunks(file_ids):
        corrupt = index.values(
            f"SELECT file_id FROM archivefilecopy"
            f" WHERE node_id = ? AND has_file = 'X' AND file_id IN ({marks}){lock}",
            (node_id, *some),
        )
        changed += len(set(corrupt) - with_evidence(index, node_id, corrupt))
        for some_marks, those in in_chunks(corrupt):
            rows = f"id, ?, ? FROM archivefile WHERE id IN ({some_marks})"
            _keep_evidence(index, rows, (node_id, TO_REPLACE, *those))
    return changed


def never_good(index: Index, node_id: int, file_ids: Sequence[int]) -> None:
    """Delete the evidence of earlier copies where a file was found in place of a missing copy.

    The old evidence does not apply to the new file.
    """
    for marks, some in in_chunks(file_ids):
        index.execute(
            f"DELETE FROM sync_verification WHERE node_id = ? AND file_id IN ({marks})", (node_id, *some)
        )


def never_good_among(index: Index, selected: str, values: Sequence[Any]) -> None:
    """Delete the evidence, as `never_good` does, for the copies recorded as absent among those that a query selects.

    `selected`: see `once_good_among`.
    """
    rows = index.execute(f"SELECT c.node_id, c.file_id {selected} AND +c.has_file = 'N'", values).fetchall()
    by_node: dict[int, list[int]] = {}
    for node_id, file_id in rows:
        by_node.setdefault(node_id, []).append(file_id)
    for node_id, file_ids in by_node.items():
        never_good(index, node_id, file_ids)


def with_evidence(index: Index, node_id: int, file_ids: Sequence[int]) -> set[int]:
    """Return the files of which the index once recorded a good copy on the node."""
    found: set[int] = set()
    for marks, some in in_chunks(file_ids):
        sql = f"SELECT file_id FROM sync_verification WHERE node_id = ? AND file_id IN ({marks})"
        found.update(index.values(sql, (node_id, *some)))
    return found


def became_good(index: Index, run: Run, node: NodeFact, file_ids: Sequence[int]) -> None:
    """Apply the rules, in the transaction that records the copies, so that a crash cannot lose the actions."""
    for rule in rules_at(index, node.id, node.group_id):
        if rule.autosync and rule.node_id == node.id:
            _request(index, run, rule, file_ids)
        if rule.autoclean and rule.group_id == node.group_id:
            _release(index, run, rule, file_ids)


def _request(index: Index, run: Run, rule: Rule, file_ids: Sequence[int]) -> None:
    now = run.now()
    for part in unrequested(rule.node_id, rule.group_id, file_ids):
        wanted = index.values(f"SELECT f.id {part.sql} ORDER BY f.id", part.values)
        requests.create(index, ((file_id, rule.group_id, rule.node_id) for file_id in wanted), now)
        why = Code.AUTOSYNC(node=rule.node, group=rule.group)
        events(index, run, "requested", [(file_id, rule.node_id, why) for file_id in wanted])


def _release(index: Index, run: Run, rule: Rule, file_ids: Sequence[int]) -> None:
    now = run.now()
    for part in held_by_group(rule.node_id, rule.group_id, file_ids):
        copies = index.execute(f"SELECT c.id, c.file_id {part.sql}", part.values).fetchall()
        for marks, some in in_chunks([copy_id for copy_id, _ in copies]):
            index.execute(
                "UPDATE archivefilecopy SET wants_file = 'N', last_update = ?"
                f" WHERE wants_file <> 'N' AND id IN ({marks})",
                (now, *some),
            )
        why = Code.AUTOCLEAN(group=rule.group)
        events(index, run, "released", [(file_id, rule.node_id, why) for _, file_id in copies])
