"""Creation and removal of pins."""

from __future__ import annotations

import datetime

from alpenhorn.edits import files
from alpenhorn.index.connection import Index
from alpenhorn.record.claims import lock_files
from alpenhorn.scan.names import FileName

COLUMNS = ("file_id", "node_id", "reason", "pinned", "until")


def pin(
    index: Index,
    file: FileName,
    node_id: int,
    reason: str | None,
    until: datetime.datetime | None,
    now: datetime.datetime,
) -> None:
    """Pin the file's copy on the node (0: on every node); replace an earlier pin.

    `now`: the time of the index's server.  Raises NotFound if the file was deleted in the meantime.
    """

    def work() -> None:
        files.lock_row(index, file)
        # A claim for deletion reads the pins while it has the copies locked; locking them here, too, prevents a
        # deletion that misses the pin.
        lock = index.dialect.for_update
        if lock:
            index.execute(f"SELECT id FROM archivefilecopy WHERE file_id = ?{lock}", (file.id,))
        if index.galera:
            lock_files(index, [file.id])
        sql = index.upsert("sync_pin", COLUMNS, COLUMNS[:2], COLUMNS[2:])
        index.execute(sql, (file.id, node_id, reason, now, until))

    index.retry(work)


def unpin(index: Index, file_id: int, node_id: int) -> bool:
    """Remove the pin; return False if there was none, or it had expired."""

    def work() -> bool:
        now = index.now()
        index.execute(
            "DELETE FROM sync_pin WHERE file_id = ? AND node_id = ? AND until <= ?", (file_id, node_id, now)
        )
        cursor = index.execute("DELETE FROM sync_pin WHERE file_id = ? AND node_id = ?", (file_id, node_id))
        return int(cursor.rowcount) == 1

    return index.retry(work)
