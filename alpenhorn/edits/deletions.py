"""Deletion of files and acquisitions from the index, when no copy is left and nothing refers to them any more.

Events are kept, so that the history of a node or a run stays complete: they get the file's path as text, and no file.
SQLite gives the id of a deleted row to a later one, which must not get the events, attempts and verifications of
another file.
"""

from __future__ import annotations

from collections.abc import Sequence
from shlex import quote

from alpenhorn.errors import Refused
from alpenhorn.index.bulk import chunks, in_chunks, marks
from alpenhorn.index.connection import Index
from alpenhorn.index.selections import SelectionPart
from alpenhorn.model.events import NO_FILE
from alpenhorn.record import priorities, tallies
from alpenhorn.record.attempts import KINDS, succeeded
from alpenhorn.scan import files_to_delete
from alpenhorn.scan.names import NamedRow

EVENTS = 250  # events changed by one statement; three values each, of the 999 that SQLite takes
# Tables with rows about a file, which are deleted with it.
ABOUT_FILES = (
    "archivefilecopy",
    "archivefilecopyrequest",
    "sync_claim",
    "sync_file_claim",
    "sync_pin",
    "sync_restore",
    "sync_trash",
    "sync_digest",
)


def refuse_kept(index: Index, file_ids: Sequence[int], *, lock: bool = False) -> None:
    """Raise Refused if one of at most CHUNK files must stay in the index, with the reason and what to do."""
    kept = files_to_delete.first_kept(index, file_ids, lock=lock)
    if kept is not None:
        raise Refused(f"file {kept.path}: not deleted: {kept.why}")


def files(index: Index, parts: Sequence[SelectionPart]) -> int:
    """Delete the files of a selection and all rows about them, in one transaction; return the number of files.

    Raises Refused, and deletes none, if one of them must stay in the index by the rows as they are now.
    """

    def work() -> int:
        deleted = 0
        for sql, values in parts:
            for some in chunks(index.values(f"SELECT f.id {sql} ORDER BY f.id", values)):
                refuse_kept(index, some, lock=True)
                deleted += _delete(index, some)
        return deleted

    return index.retry(work)


def _delete(index: Index, file_ids: Sequence[int]) -> int:
    among, values = f"file_id IN ({marks(file_ids)})", tuple(file_ids)
    copies = index.values(f"SELECT id FROM archivefilecopy WHERE {among}", values)
    requests = index.values(f"SELECT id FROM archivefilecopyrequest WHERE {among}", values)
    for table, ids in (("archivefilecopy", copies), ("archivefilecopyrequest", requests)):
        for kind in KINDS[table]:
            succeeded(index, kind, ids)
    priorities.forget(index, requests)
    _detach_events(index, file_ids)
    # By node, since these tables have no index on files alone.
    for some_marks, some in in_chunks(index.values("SELECT id FROM storagenode")):
        for table in ("sync_verification", "sync_verified_status", "sync_tape"):
            index.execute(
                f"DELETE FROM {table} WHERE node_id IN ({some_marks}) AND {among}", (*some, *values)
            )
    tallies.forget_files(index, file_ids)
    for table in ABOUT_FILES:
        index.execute(f"DELETE FROM {table} WHERE {among}", values)
    return int(index.execute(f"DELETE FROM archivefile WHERE id IN ({marks(file_ids)})", values).rowcount)


def _detach_events(index: Index, file_ids: Sequence[int]) -> None:
    rows = index.execute(
        f"SELECT id, file_id, why FROM sync_event WHERE file_id IN ({marks(file_ids)})", tuple(file_ids)
    ).fetchall()
    path_of = files_to_delete.paths(index, file_ids) if rows else {}
    for some in chunks(rows, EVENTS):
        # MariaDB takes a round trip for each statement.
        texts = " ".join(["WHEN ? THEN ?"] * len(some))
        values = [
            value
            for event_id, file_id, why in some
            for value in (event_id, f"{path_of[file_id]}: {why}" if why else path_of[file_id])
        ]
        ids = [event_id for event_id, _, _ in some]
        index.execute(
            f"UPDATE sync_event SET file_id = ?, why = CASE id {texts} END WHERE id IN ({marks(ids)})",
            (NO_FILE, *values, *ids),
        )


def acq(index: Index, found: NamedRow) -> None:
    """Delete an acquisition; do nothing if it was deleted already.  Raises Refused if it has files."""
    lock = index.dialect.for_update

    def work() -> None:
        # While its row is locked, no file can be put into it, since that refers to the row.
        index.execute(f"SELECT id FROM archiveacq WHERE id = ?{lock}", (found.id,)).fetchone()
        left = index.value(f"SELECT name FROM archivefile WHERE acq_id = ? LIMIT 1{lock}", (found.id,))
        if left is not None:
            raise Refused(
                f"acquisition {found.name}: not deleted: file {found.name}/{left} was added to it in the"
                f" meantime; see: alpenhorn acq files {quote(found.name)}"
            )
        index.execute("DELETE FROM archiveacq WHERE id = ? AND name = ?", (found.id, found.name))

    index.retry(work)
