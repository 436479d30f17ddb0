"""Records what is put into the trash of nodes, brought back from there, and deleted there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from alpenhorn.index.bulk import in_chunks
from alpenhorn.index.connection import Index
from alpenhorn.index.times import naive
from alpenhorn.model.events import FAILED, NO_FILE
from alpenhorn.model.nodes import NodeFact
from alpenhorn.model.trash import FoundInTrash, Restored, RestoreResult, deleted_at
from alpenhorn.reasons import Code
from alpenhorn.record.place import node_unmoved
from alpenhorn.record.run import FORMAT, Run, events

COLUMNS = ("node_id", "file_id", "batch", "trashed", "size_b")
COPY = ("file_id", "node_id", "has_file", "wants_file", "ready", "last_update")


def put(index: Index, node_id: int, batch: str, files: Sequence[tuple[int, int]]) -> None:
    """Record files in a batch, as (file id, bytes on the medium); call it inside a transaction."""
    if files:
        deleted = naive(deleted_at(batch) or 0.0).strftime(FORMAT)
        index.executemany(
            index.insert_ignore("sync_trash", COLUMNS),
            [(node_id, file_id, batch, deleted, space_b) for file_id, space_b in files],
        )


def found(
    index: Index, node: NodeFact, batch: str, files: Sequence[FoundInTrash], ids: dict[str, int]
) -> None:
    """Record what was found in a batch of which the index had no rows.

    `ids`: file ids by path.  One row stands for all files that the index does not know, so that the batch is not listed
    again.
    """
    rows = [(ids[file.path], file.space_b) for file in files if file.path in ids]
    if len(rows) < len(files) or not files:
        rows.append((NO_FILE, sum(file.space_b for file in files if file.path not in ids)))

    def work() -> None:
        if node_unmoved(index, node):
            put(index, node.id, batch, rows)

    index.retry(work)


def emptied(index: Index, node: NodeFact, batches: Iterable[str]) -> None:
    """Delete the rows of batches that are not on the node."""

    def work(batch: str) -> None:
        if node_unmoved(index, node):
            index.execute("DELETE FROM sync_trash WHERE node_id = ? AND batch = ?", (node.id, batch))

    for batch in batches:
        index.retry(lambda batch=batch: work(batch))  # type: ignore[misc]


def deleted(index: Index, node: NodeFact, row_ids: Sequence[int]) -> None:
    """Delete the rows of files that were deleted from the trash."""

    def work() -> None:
        if node_unmoved(index, node):
            _delete(index, row_ids)

    index.retry(work)


def restored(index: Index, run: Run, node: NodeFact, results: Sequence[RestoreResult]) -> bool:
    """Record files that were brought back: their copies are suspect and wanted, so that a check reads them in full.

    A copy that the index has on the node again, in whatever state, stays as it is.  A file that cannot be brought back,
    since something is at its path, is not asked for any more.  Return whether it was recorded: not if the node was
    moved.
    """
    by_outcome: dict[Restored, list[RestoreResult]] = {outcome: [] for outcome in Restored}
    for result in results:
        by_outcome[result.outcome].append(result)
    back = [result.file for result in by_outcome[Restored.BACK]]
    given_up = by_outcome[Restored.OCCUPIED] + by_outcome[Restored.GONE]

    def work() -> bool:
        if not node_unmoved(index, node):
            return False
        now = run.now()
        for marks, some in in_chunks([file.file_id for file in back]):
            index.execute(
                "UPDATE archivefilecopy SET has_file = 'M', wants_file = 'Y', last_update = ?"
                f" WHERE node_id = ? AND has_file = 'N' AND file_id IN ({marks})",
                (now, node.id, *some),
            )
        # The row of a copy may have been deleted meanwhile.
        index.executemany(
            index.insert_ignore("archivefilecopy", COPY),
            [(file.file_id, node.id, "M", "Y", 0, now) for file in back],
        )
        events(index, run, "undeleted", [(file.file_id, node.id, Code.UNDELETED()) for file in back])
        events(index, run, FAILED, [(one.file.file_id, node.id, one.why) for one in given_up])
        gone = [*back, *(one.file for one in by_outcome[Restored.GONE])]
        _delete(index, [file.row_id for file in gone])
        for marks, some in in_chunks([one.file.row_id for one in by_outcome[Restored.OCCUPIED]]):
            index.execute(f"UPDATE sync_trash SET asked = NULL WHERE id IN ({marks})", some)
        return True

    return index.retry(work)


def _delete(index: Index, row_ids: Sequence[int]) -> None:
    for marks, some in in_chunks(row_ids):
        index.execute(f"DELETE FROM sync_trash WHERE id IN ({marks})", some)
